#include "harness/tco/effort.hpp"

#include <cctype>
#include <sstream>

namespace wb::tco {
namespace {

/// Without blanks around it.
std::string trimmed(const std::string& line) {
    const auto begin = line.find_first_not_of(" \t\r");
    return begin == std::string::npos ? "" : line.substr(begin, line.find_last_not_of(" \t\r") - begin + 1);
}

bool is_header(const std::string& line) {
    const auto name = line.find_first_not_of('[');
    return line[0] == '[' && name <= 2 && name < line.size() && std::isalpha(static_cast<unsigned char>(line[name]));
}

/// Whether it is `use = "SYSTEM"`, or a list with it.
bool names(const std::string& line, const std::string& system) {
    return line.starts_with("use") && line.find('=') != std::string::npos &&
           line.find("\"" + system + "\"") != std::string::npos;
}

}  // namespace

ExperimentLines lines_of(const std::string& experiment_toml, const std::string& system) {
    ExperimentLines out;
    std::istringstream in(experiment_toml);
    std::string header;
    int lines = 0;
    bool mine = false;
    const auto close = [&] {
        if (header == "[[workload]]") out.workloads += lines;
        if (header == "[[system]]" && mine) out.system += lines;
        lines = 0;
        mine = false;
    };
    for (std::string line; std::getline(in, line);) {
        line = trimmed(line);
        if (line.empty() || line[0] == '#') continue;
        if (is_header(line)) {
            close();
            header = line.substr(0, line.rfind(']') + 1);
        }
        ++lines;
        mine = mine || names(line, system);
    }
    close();
    return out;
}

}  // namespace wb::tco
