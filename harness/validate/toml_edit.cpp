#include "harness/validate/toml_edit.hpp"

#include <fmt/format.h>

#include <cmath>
#include <cstdlib>

#include "core/error.hpp"

namespace wb {
namespace {

/// Begin and end of what stands for the value in a line: 3, 2.5e-6 or "1.5 us".
struct Place {
    std::size_t begin, end;
};

std::size_t after_spaces(const std::string& text, std::size_t at) {
    const std::size_t found = text.find_first_not_of(" \t", at);
    return found == std::string::npos ? text.size() : found;
}

Place literal(const std::string& line, std::size_t at) {
    at = after_spaces(line, at);
    if (at < line.size() && line[at] == '"') return {at, line.find('"', at + 1) + 1};
    return {at, std::min(line.find_first_of(" \t,}#", at), line.size())};
}

/// Where the value of `key` stands in this line, if it does.
bool find_value(const std::string& line, const std::string& key, Place& place) {
    std::size_t at = after_spaces(line, 0);
    if (line.compare(at, key.size(), key) != 0) return false;
    at = after_spaces(line, at + key.size());
    const auto word = [&](const std::string& w) {
        if (line.compare(at, w.size(), w) != 0) return false;
        at = after_spaces(line, at + w.size());
        return true;
    };
    if (word(".value")) {
        if (!word("=")) return false;
    } else if (!word("=") || !word("{")) {
        return false;
    } else {
        at = line.find("value", at);
        if (at == std::string::npos) return false;
        at += 5;
        at = after_spaces(line, at);
        if (!word("=")) return false;
    }
    place = literal(line, at);
    return place.end > place.begin && place.end <= line.size();
}

std::string rewritten(const std::string& old, double stored, double value) {
    const bool quoted = old.starts_with('"');
    const std::string inner = quoted ? old.substr(1, old.size() - 2) : old;
    char* rest = nullptr;
    const double number = std::strtod(inner.c_str(), &rest);
    const double unit = stored == 0 || number == 0 ? 1 : stored / number;
    const std::string text = fmt::format("{:.5g}{}", value / unit, rest);
    return quoted ? "\"" + text + "\"" : text;
}

}  // namespace

std::string with_constant(const std::string& text, const std::string& file, const std::string& table,
                          const std::string& key, double stored, double value) {
    std::string out, section;
    bool done = false;
    for (std::size_t at = 0; at < text.size();) {
        const std::size_t end = std::min(text.find('\n', at), text.size());
        std::string line = text.substr(at, end - at);
        at = end + 1;
        const std::size_t first = after_spaces(line, 0);
        if (first < line.size() && line[first] == '[') section = line.substr(first, line.find(']') - first + 1);
        Place place{};
        if (!done && section == "[" + table + "]" && find_value(line, key, place)) {
            const std::string old = line.substr(place.begin, place.end - place.begin);
            line = line.substr(0, place.begin) + rewritten(old, stored, value) + line.substr(place.end);
            done = true;
        }
        out += line;
        if (end < text.size()) out += '\n';
    }
    if (!done)
        throw Error({file, fmt::format("[{}] has no line for the value of {}", table, key),
                     "it cannot be rewritten in place", "Edit the file by hand."});
    return out;
}

}  // namespace wb
