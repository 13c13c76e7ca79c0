#include "harness/validate/measured_points.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/tables.hpp"
#include "harness/result_file.hpp"

namespace wb {
namespace {

/// What Params::key() wrote; values may hold spaces, names hold none.
std::vector<std::pair<std::string, std::string>> parts_of(const std::string& text) {
    std::vector<std::pair<std::string, std::string>> out;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find(' ', at), text.size()), equals = text.find('=', at);
        if (equals < end)
            out.emplace_back(text.substr(at, equals - at), text.substr(equals + 1, end - equals - 1));
        else if (!out.empty())
            out.back().second += " " + text.substr(at, end - at);
        at = end + 1;
    }
    return out;
}

/// No cell of a file of points holds a comma.
std::string cell(std::string text) {
    std::replace(text.begin(), text.end(), ',', ';');
    return text;
}

bool is_workload(const std::string& name) {
    return std::any_of(all_workloads().begin(), all_workloads().end(),
                       [&](const Workload& w) { return w.name == name; });
}

Point point_of(const Result& r, const RunInfo& info, const std::string& place) {
    Point p;
    p.id = "RUN-" + Digest().add(r.key).hex().substr(0, 12);
    p.system = r.system;
    p.workload = family_of_workload(r.workload);
    p.params = parts_of(r.params);
    p.params.emplace_back("gpus", std::to_string(r.units));
    for (const auto& [key, value] : p.params) p.params_text += (p.params_text.empty() ? "" : ";") + key + "=" + value;
    p.params_text = cell(p.params_text);
    p.metric = "time";
    p.unit = "s";
    p.value = r.median_s();
    p.value_text = fmt::format("{}", p.value);
    p.group = fmt::format("run-{}-{}", r.system, r.workload);
    p.quality = "raw";
    p.source = cell(fmt::format("waferbench run {} of {}", info.run_id.substr(0, 8), info.date));
    p.locator = cell(fmt::format("{}: {} | {}", place, r.label, r.m.detail));
    p.place = place;
    p.run = r.workload;
    p.run_mapping = r.m.mapping;
    return p;
}

}  // namespace

bool is_results_file(const std::string& path) {
    const std::string ending = std::filesystem::path(path).extension().string();
    return ending == ".h5" || ending == ".journal";
}

std::vector<Point> measured_points(const std::string& path, const std::vector<std::string>& systems) {
    const ResultSet set = read_results(path);
    const RunInfo info = set.runs.empty() ? RunInfo{} : set.runs.back();
    std::vector<Point> out;
    for (const Result& r : set.results) {
        const bool known = std::find(systems.begin(), systems.end(), r.system) != systems.end();
        const bool told = r.m.kind == Kind::measured && r.m.status == Status::ok && !r.m.samples_s.empty();
        if (known && told && r.median_s() > 0 && is_workload(r.workload)) out.push_back(point_of(r, info, path));
    }
    if (out.empty())
        throw Error({path, "holds no measured case of a machine in configs/systems", "there is nothing to judge",
                     "Run an experiment whose [[system]] names the file of this machine."});
    return out;
}

std::vector<std::string> kept_measurements(const std::vector<std::string>& config_folders) {
    std::vector<std::string> out;
    for (const std::string& folder : config_folders) {
        std::error_code none;
        for (const auto& file : std::filesystem::directory_iterator(folder + "/../results/baseline", none))
            if (const std::string name = file.path().filename().string();
                name.starts_with("measured-") && is_results_file(name))
                out.push_back(file.path().lexically_normal().string());
    }
    std::sort(out.begin(), out.end());
    return out;
}

}  // namespace wb
