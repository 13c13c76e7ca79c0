// Reads and prints: compiled at -O1.
#include "harness/google_benchmark.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>

#include "harness/stats.hpp"

namespace wb {
namespace {

using nlohmann::json;

bool imported(const Result& r) { return r.workload == google_benchmark_name; }

std::string name_of(const Result& r) {
    if (imported(r)) return r.label;
    std::string out = fmt::format("{}/{}", r.label, r.system);
    if (r.units > 1) out += fmt::format(" x{}", r.units);
    if (!r.mesh.empty()) out += " " + r.mesh;
    if (r.ranks > 1) out += fmt::format(", {} ranks", r.ranks);
    return out + fmt::format("/{}/{}", r.backend, name(r.m.kind));
}

double value_at(const Result& r, const std::string& name, std::size_t i, double otherwise) {
    for (const Series& s : r.m.series)
        for (std::size_t k = 0; s.name == name && k < s.values.size(); ++k)
            if (s.at[k] == static_cast<double>(i)) return s.values[k];
    return otherwise;
}

/// In which the times of a case are written: as read, else in nanoseconds.
double unit_s(const Result& r) { return value_at(r, google_benchmark_unit, 0, 1e-9); }

json entry_of(const Result& r, const char* type) {
    const double unit = unit_s(r);
    json e{{"name", name_of(r)},
           {"run_name", name_of(r)},
           {"run_type", type},
           {"threads", std::max(1, r.threads)},
           {"time_unit", unit < 1e-7   ? "ns"
                         : unit < 1e-4 ? "us"
                         : unit < 0.1  ? "ms"
                                       : "s"}};
    if (!r.m.detail.empty()) e["label"] = r.m.detail;
    return e;
}

constexpr char unquoted = '\x01';  // before a word that stands without quotes

/// As the library writes numbers, also those for which JSON has no word.
json number(double value) {
    if (std::isfinite(value)) return value;
    return unquoted + std::string(std::isnan(value) ? "NaN" : value > 0 ? "Infinity" : "-Infinity");
}

std::string without_quotes(std::string text) {
    const std::string mark = "\"\\u0001";
    for (std::size_t at = text.find(mark); at != std::string::npos; at = text.find(mark, at)) {
        text.erase(at, mark.size());
        text.erase(text.find('"', at), 1);
    }
    return text;
}

void samples(json& to, const Result& r) {
    const std::vector<double>& all = r.m.samples_s;
    for (std::size_t i = 0; i < all.size(); ++i) {
        json e = entry_of(r, "iteration");
        e["repetitions"] = all.size();
        e["repetition_index"] = i;
        e["iterations"] = static_cast<std::int64_t>(value_at(r, "iterations", i, 1));
        e["real_time"] = all[i] / unit_s(r);
        e["cpu_time"] = number(value_at(r, "cpu_time", i, all[i]) / unit_s(r));
        if (!imported(r) && r.flops > 0) e["FLOP/s"] = r.flops / all[i];
        if (!imported(r) && r.compulsory_bytes > 0) e["bytes_per_second"] = r.compulsory_bytes / all[i];
        for (const Series& s : r.m.series)
            if (imported(r) && !e.contains(s.name) && s.name != google_benchmark_unit &&
                !s.name.starts_with(google_benchmark_aggregate))
                for (std::size_t k = 0; k < s.values.size(); ++k)
                    if (s.at[k] == static_cast<double>(i)) e[s.name] = number(s.values[k]);
        to.push_back(std::move(e));
    }
}

/// The statistics that a file held, one entry each.
void stored_aggregates(json& to, const Result& r) {
    std::vector<std::pair<std::string, json>> entries;
    for (const Series& s : r.m.series) {
        if (!s.name.starts_with(google_benchmark_aggregate) || s.values.empty()) continue;
        const std::size_t begin = std::string(google_benchmark_aggregate).size();
        const bool is_time = s.name.ends_with(" real_time") || s.name.ends_with(" cpu_time");
        // A statistic's name may have blanks, and so may a counter's: the time comes first and tells where it ends.
        if (s.name.ends_with(" real_time")) {
            const std::string which = s.name.substr(begin, s.name.size() - begin - 10);
            json e = entry_of(r, "aggregate");
            e["name"] = fmt::format("{}_{}", name_of(r), which);
            e["aggregate_name"] = which;
            e["aggregate_unit"] = s.unit == "s" ? "time" : "percentage";
            entries.emplace_back(s.name.substr(0, s.name.size() - 9), std::move(e));
        }
        for (auto& [prefix, e] : entries)
            if (s.name.starts_with(prefix))
                e[s.name.substr(prefix.size())] =
                    number(is_time && s.unit == "s" ? s.values.front() / unit_s(r) : s.values.front());
    }
    for (auto& [prefix, e] : entries) to.push_back(std::move(e));
}

void aggregates(json& to, const Result& r) {
    std::vector<double> real = r.m.samples_s, processor;
    if (real.size() < 2) return;
    for (std::size_t i = 0; i < real.size(); ++i) processor.push_back(value_at(r, "cpu_time", i, real[i]));
    const auto mean = [](const std::vector<double>& v) {
        return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
    };
    const auto deviation = [&](const std::vector<double>& v) {
        double sum = 0;
        for (const double x : v) sum += (x - mean(v)) * (x - mean(v));
        return std::sqrt(sum / static_cast<double>(v.size() - 1));
    };
    const auto write = [&](const char* which, const char* unit, double scale, auto&& of) {
        json e = entry_of(r, "aggregate");
        e["name"] = fmt::format("{}_{}", name_of(r), which);
        e["aggregate_name"] = which;
        e["aggregate_unit"] = unit;
        e["repetitions"] = e["iterations"] = real.size();
        e["real_time"] = number(of(real) * scale);
        e["cpu_time"] = number(of(processor) * scale);
        to.push_back(std::move(e));
    };
    write("mean", "time", 1 / unit_s(r), mean);
    write("median", "time", 1 / unit_s(r), [](const std::vector<double>& v) { return *median(v); });
    write("stddev", "time", 1 / unit_s(r), deviation);
    write("cv", "percentage", 1,
          [&](const std::vector<double>& v) { return mean(v) > 0 ? deviation(v) / mean(v) : 0; });
}

void entries_of(json& to, const Result& r) {
    if (r.m.status == Status::skipped && !imported(r)) return;
    if (r.m.status != Status::ok || r.m.samples_s.empty()) {
        const bool skipped = r.m.status == Status::skipped;
        json e = entry_of(r, "iteration");
        e["iterations"] = 0;
        e["real_time"] = e["cpu_time"] = 0.0;
        e[skipped ? "skipped" : "error_occurred"] = true;
        e[skipped ? "skip_message" : "error_message"] = r.m.reason;
        return to.push_back(std::move(e));
    }
    const auto has_aggregate = [](const Series& s) { return s.name.starts_with(google_benchmark_aggregate); };
    const bool stored = std::any_of(r.m.series.begin(), r.m.series.end(), has_aggregate);
    if (!imported(r) || !r.m.reason.starts_with(google_benchmark_alone)) samples(to, r);
    stored ? stored_aggregates(to, r) : aggregates(to, r);
}

}  // namespace

std::string to_google_benchmark(const ResultSet& set) {
    json context = json::object();
    if (!set.runs.empty()) {
        const RunInfo& run = set.runs.back();
        const json before = json::parse(run.environment_before, nullptr, false);
        if (run.experiment == google_benchmark_name && before.is_object()) context = before;
        context["date"] = run.date;
        context["host_name"] = run.anchor;
        context["executable"] = run.command;
    }
    if (!context.contains("num_cpus")) context["num_cpus"] = 0;  // report.py of Google's tools reads both
    if (!context.contains("mhz_per_cpu")) context["mhz_per_cpu"] = 0;
    context["json_schema_version"] = 1;
    json entries = json::array();
    for (const Result& r : set.results) entries_of(entries, r);
    const json all{{"context", std::move(context)}, {"benchmarks", std::move(entries)}};
    return without_quotes(all.dump(1, ' ', false, json::error_handler_t::replace)) + "\n";
}

}  // namespace wb
