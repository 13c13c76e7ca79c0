#include "harness/validate/point_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <map>
#include <system_error>

#include "core/error.hpp"
#include "core/suggest.hpp"
#include "harness/validate/measured_points.hpp"

namespace wb {
namespace {

std::vector<std::string> split(const std::string& text, char at) {
    std::vector<std::string> parts{""};
    for (char c : text)
        if (c == at)
            parts.emplace_back();
        else
            parts.back() += c;
    return parts;
}

std::vector<std::string> metric_names() {
    std::vector<std::string> out;
    for (const Metric& m : all_metrics()) out.emplace_back(m.name);
    return out;
}

void require_known(const std::string& place, const char* what, const std::string& word,
                   const std::vector<std::string>& known, const char* why) {
    if (std::find(known.begin(), known.end(), word) == known.end())
        throw Error({place, fmt::format("unknown {} {}", what, in_quotes(word)), why, did_you_mean(word, known)});
}

double finite(const std::string& place, const std::string& text) {
    double value = 0;
    const auto r = std::from_chars(text.data(), text.data() + text.size(), value);
    if (r.ec == std::errc::invalid_argument || r.ptr != text.data() + text.size())
        throw Error({place, fmt::format("value {} is no number", in_quotes(text)), "values are plain decimals in SI",
                     "Write 0.0000012 or 1.2e-6."});
    if (r.ec != std::errc() || !std::isfinite(value))
        throw Error({place, fmt::format("value {} is not finite", in_quotes(text)),
                     "an error relative to it would mean nothing", "Leave the row out."});
    return value;
}

/// Keys whose values are numbers.
const std::vector<std::string>& numeric_keys() {
    static const std::vector<std::string> keys{"batch",
                                               "heads",
                                               "kv_heads",
                                               "seq_q",
                                               "seq_kv",
                                               "seq",
                                               "head_dim",
                                               "hidden",
                                               "layers",
                                               "ffn",
                                               "vocab",
                                               "experts",
                                               "topk",
                                               "moe_ffn",
                                               "shared_experts",
                                               "rows",
                                               "cols",
                                               "m",
                                               "n",
                                               "k",
                                               "groups",
                                               "tile",
                                               "clock_mhz",
                                               "gpus",
                                               "nodes",
                                               "bytes",
                                               "tp",
                                               "pp",
                                               "dp",
                                               "cp",
                                               "ep",
                                               "vp",
                                               "fsdp",
                                               "input",
                                               "output",
                                               "seq_in",
                                               "seq_out",
                                               "global_batch",
                                               "micro_batch",
                                               "gpus_per_node",
                                               "causal",
                                               "trans_a",
                                               "trans_b",
                                               "gated",
                                               "kernel_only"};
    return keys;
}

void check_number(const Point& p, const std::string& key, const std::string& text) {
    if (std::find(numeric_keys().begin(), numeric_keys().end(), key) == numeric_keys().end()) return;
    double value = 0;
    const auto r = std::from_chars(text.data(), text.data() + text.size(), value);
    if (r.ec != std::errc() || r.ptr != text.data() + text.size() || !std::isfinite(value) || value < 0)
        throw Error(
            {p.place, fmt::format("{} is {}", key, in_quotes(text)), "it must be a finite number, 0 or more", ""});
}

void read_params(Point& p) {
    if (p.params_text.empty()) return;
    for (const std::string& pair : split(p.params_text, ';')) {
        const std::size_t at = pair.find('=');
        if (at == std::string::npos || at == 0 || at + 1 == pair.size())
            throw Error({p.place, fmt::format("{} in params is no key=value", in_quotes(pair)),
                         "params are key=value;key=value", "Leave out what is not known."});
        const std::string key = pair.substr(0, at);
        if (p.has(key))
            throw Error(
                {p.place, fmt::format("params hold {} twice", in_quotes(key)), "only one of them can be true", ""});
        check_number(p, key, pair.substr(at + 1));
        p.params.emplace_back(key, pair.substr(at + 1));
    }
}

Point read_row(const std::string& line, const std::string& place, const std::vector<std::string>& systems) {
    const std::vector<std::string> cells = split(line, ',');
    if (cells.size() != 11)
        throw Error({place, fmt::format("has {} columns instead of 11", cells.size()),
                     "columns are parted by commas, and no cell holds one",
                     fmt::format("They are {}.", point_columns)});
    Point p;
    std::string* const fields[] = {&p.id,   &p.system, &p.workload, &p.params_text, &p.metric, &p.value_text,
                                   &p.unit, &p.group,  &p.quality,  &p.source,      &p.locator};
    for (std::size_t i = 0; i < cells.size(); ++i) *fields[i] = cells[i];
    p.place = place;
    if (p.id.empty() || p.group.empty())
        throw Error({place, fmt::format("{} is empty", p.id.empty() ? "id" : "group"), "errors are told by it", ""});
    require_known(place, "system", p.system, systems, "its figures are not in configs/systems");
    require_known(place, "workload", p.workload, all_families(), "it belongs to no family");
    require_known(place, "metric", p.metric, metric_names(), "what was measured is not known");
    const Metric& metric = *find_metric(p.metric);
    if (p.unit != metric.unit)
        throw Error({place, fmt::format("unknown unit {} for {}", in_quotes(p.unit), p.metric),
                     fmt::format("it is in {}, in SI", metric.unit),
                     fmt::format("Convert it and write \"{}\".", metric.unit)});
    require_known(place, "quality", p.quality, {"raw", "table", "claim", "derived"},
                  "how far to trust it is not known");
    p.value = finite(place, p.value_text);
    if (p.value < 0 || (p.value == 0 && metric.sense != Sense::amount))
        throw Error(
            {place, fmt::format("value {} is not positive", p.value_text), fmt::format("a {} is", p.metric), ""});
    read_params(p);
    return p;
}

}  // namespace

std::vector<Point> read_points(const std::string& path, const std::vector<std::string>& systems) {
    if (is_results_file(path)) return measured_points(path, systems);
    std::ifstream in(path, std::ios::binary);
    if (!in) throw Error({path, "cannot be opened", "it should hold published measurements", "Check the path."});
    std::vector<Point> points;
    std::string line;
    for (int n = 1; std::getline(in, line); ++n) {
        if (!line.empty() && line.back() == '\r') line.pop_back();
        const std::string place = fmt::format("{}:{}", path, n);
        if (n == 1) {
            if (line != point_columns)
                throw Error({place, "is not the header of a file of points", "columns are known by their order",
                             fmt::format("Write {}.", point_columns)});
        } else if (!line.empty()) {
            points.push_back(read_row(line, place, systems));
        }
    }
    if (in.bad()) throw Error({path, "cannot be read to its end", "rows would be missing", ""});
    if (points.empty()) throw Error({path, "holds no rows", "there is nothing to judge", ""});
    return points;
}

std::vector<Point> read_all_points(const Files& files, const std::vector<std::string>& more, bool only_more) {
    const std::vector<std::string> systems = files.names("systems", ".toml");
    std::vector<std::string> paths;
    if (!only_more)
        for (const std::string& name : files.names("validation", ".csv"))
            paths.push_back(files.find("validation/" + name + ".csv"));
    if (!only_more)
        for (std::string& path : kept_measurements(files.roots())) paths.push_back(std::move(path));
    const std::size_t shipped = paths.size();
    paths.insert(paths.end(), more.begin(), more.end());
    std::vector<Point> all;
    for (std::size_t file = 0; file < paths.size(); ++file) {
        std::map<std::string, std::size_t> earlier;
        for (std::size_t i = 0; i < all.size(); ++i) earlier.emplace(all[i].id, i);
        for (Point& p : read_points(paths[file], systems)) {
            const auto at = earlier.find(p.id);
            p.shipped = file < shipped || (at != earlier.end() && all[at->second].shipped);
            if (at == earlier.end())
                all.push_back(std::move(p));
            else
                all[at->second] = std::move(p);
        }
    }
    return all;
}

}  // namespace wb
