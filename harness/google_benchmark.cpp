// Reads and prints: compiled at -O1.
#include "harness/google_benchmark.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "harness/stats.hpp"

namespace wb {
namespace {

using nlohmann::json;

constexpr const char* backend_name = "google-benchmark";
constexpr const char* aggregate_prefix = "aggregate ";

/// Fields of an entry that are the library's own; every other number is a counter of the user.
bool own_field(const std::string& key) {
    static const char* own[] = {"family_index", "per_family_instance_index",
                                "repetitions",  "repetition_index",
                                "threads",      "iterations",
                                "real_time",    "cpu_time"};
    return std::find(std::begin(own), std::end(own), key) != std::end(own);
}

class Reader {
public:
    explicit Reader(std::string place) : place_(std::move(place)) {}

    GoogleBenchmarks read(const std::string& text) {
        const json all = json::parse(text, nullptr, false);
        if (all.is_discarded()) refuse("is no JSON", "it cannot be read");
        if (!all.is_object() || !all.contains("benchmarks") || !all["benchmarks"].is_array())
            refuse("has no list \"benchmarks\"", "that is where Google Benchmark writes its times");
        context(all.value("context", json::object()));
        for (const json& entry : all["benchmarks"]) take(entry);
        for (auto& [key, r] : aggregated_)
            if (r.m.samples_s.empty() && r.m.status == Status::ok) only_aggregates(r);
        for (const std::string& key : order_) out_.set.results.push_back(std::move(aggregated_.at(key)));
        if (order_.empty()) refuse("holds no benchmark", "there is nothing to import");
        return std::move(out_);
    }

private:
    [[noreturn]] void refuse(const std::string& problem, const std::string& why) const {
        throw Error({place_, problem, why, "Write it with --benchmark_out=FILE --benchmark_out_format=json."});
    }

    template <class T>
    T field(const json& entry, const char* key, std::optional<T> otherwise = {}) const {
        if (!entry.contains(key) && otherwise) return *otherwise;
        try {
            return entry.at(key).get<T>();
        } catch (const json::exception&) {
            refuse(fmt::format("benchmark {} has no {} that can be read", entries_, key), "a time needs it");
        }
    }

    void context(const json& c) {
        if (!c.is_object()) refuse("has a context that is no object", "it names the machine");
        RunInfo info;
        const auto text = [&](const char* key) {
            return c.contains(key) && c[key].is_string() ? c[key].get<std::string>() : std::string();
        };
        info.date = text("date");
        info.anchor = host_ = text("host_name").empty() ? "unknown host" : text("host_name");
        info.command = text("executable");
        info.experiment = backend_name;
        info.title = "Imported from " + place_;
        info.environment_before = c.dump(-1, ' ', false, json::error_handler_t::replace);
        info.run_id = Digest().add(info.environment_before).add(place_).hex();
        if (text("library_build_type") == "debug") info.warnings.push_back("the benchmark library is a debug build");
        if (c.contains("cpu_scaling_enabled") && c["cpu_scaling_enabled"] == true)
            info.warnings.push_back("the processor's clock was free to change");
        out_.set.runs.push_back(std::move(info));
    }

    /// The case of an entry, made when first seen.
    Result& case_of(const json& entry) {
        const auto name = field<std::string>(entry, "name");
        const auto run_name = field<std::string>(entry, "run_name", name);
        const int threads = field<int>(entry, "threads", 1);
        const std::string key = fmt::format("{} {} | {} | threads={}", backend_name, run_name, host_, threads);
        const auto [at, fresh] = aggregated_.try_emplace(key);
        if (!fresh) return at->second;
        order_.push_back(key);
        Result& r = at->second;
        r.key = r.m.key = key;
        r.full_key = Digest().add(key).add(out_.set.runs.front().run_id).hex();
        r.label = r.params = run_name;
        r.workload = r.backend = backend_name;
        r.system = host_;
        r.threads = threads;
        r.fingerprint = Digest().add(backend_name).add(run_name).hex();
        r.m.kind = Kind::measured;
        if (entry.contains("label")) r.m.detail = field<std::string>(entry, "label");
        return r;
    }

    void take(const json& entry) {
        ++entries_;
        if (!entry.is_object()) refuse(fmt::format("benchmark {} is no object", entries_), "");
        const bool aggregate = field<std::string>(entry, "run_type", "iteration") == "aggregate";
        if (aggregate && !entry.contains("real_time")) {  // BigO and RMS of a fit
            ++out_.left_out;
            return;
        }
        Result& r = case_of(entry);
        const bool failed = field<bool>(entry, "error_occurred", false), skipped = field<bool>(entry, "skipped", false);
        if (failed || skipped) {
            r.m.status = failed ? Status::failed : Status::skipped;
            r.m.reason = field<std::string>(entry, failed ? "error_message" : "skip_message", "");
            if (r.m.reason.empty()) r.m.reason = "the benchmark says no more";
            return;
        }
        const std::string prefix =
            aggregate ? aggregate_prefix + field<std::string>(entry, "aggregate_name") + " " : "";
        const bool share = field<std::string>(entry, "aggregate_unit", "time") == "percentage";
        const double unit = share ? 1 : seconds_of(field<std::string>(entry, "time_unit", "ns"));
        const double real_s = time(entry, "real_time") * unit, processor_s = time(entry, "cpu_time") * unit;
        if (!aggregate) r.m.samples_s.push_back(real_s);
        if (aggregate) add(r, prefix + "real_time", share ? "1" : "s", real_s);
        add(r, prefix + "cpu_time", share ? "1" : "s", processor_s);
        if (!aggregate) add(r, "iterations", "1", static_cast<double>(field<std::int64_t>(entry, "iterations", 1)));
        counters(r, entry, prefix,
                 r.label.find("/real_time") != std::string::npos || r.label.find("/manual_time") != std::string::npos
                     ? real_s
                     : processor_s);
    }

    /// Rates are of the time that the benchmark counts: processor time unless its name says otherwise.
    void counters(Result& r, const json& entry, const std::string& prefix, double counted_s) {
        for (const auto& [key, value] : entry.items()) {
            if (!value.is_number() || own_field(key)) continue;
            const double v = value.get<double>();
            add(r, prefix + key, key == "bytes_per_second" ? "B/s" : key == "items_per_second" ? "1/s" : "", v);
            if (!prefix.empty() && prefix != std::string(aggregate_prefix) + "median ") continue;
            if (key == "bytes_per_second") r.compulsory_bytes = v * counted_s;
            if (const double scale = flops_scale(key); scale > 0) r.flops = v * scale * counted_s;
        }
    }

    static double flops_scale(const std::string& counter) {
        static const std::map<std::string, double> names{{"FLOP/s", 1},     {"FLOPS", 1},     {"MFLOP/s", 1e6},
                                                         {"MFLOPS", 1e6},   {"GFLOP/s", 1e9}, {"GFLOPS", 1e9},
                                                         {"TFLOP/s", 1e12}, {"TFLOPS", 1e12}};
        const auto at = names.find(counter);
        return at == names.end() ? 0 : at->second;
    }

    double time(const json& entry, const char* key) const {
        const auto v = field<double>(entry, key);
        if (!std::isfinite(v) || v < 0)
            refuse(fmt::format("benchmark {} has a {} of {}", entries_, key, v), "no run takes that long");
        return v;
    }

    double seconds_of(const std::string& unit) const {
        static const std::map<std::string, double> units{{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}};
        const auto at = units.find(unit);
        if (at == units.end())
            refuse(fmt::format("benchmark {} has times in \"{}\"", entries_, unit), "the units are ns, us, ms and s");
        return at->second;
    }

    static void add(Result& r, const std::string& name, const std::string& unit, double value) {
        for (Series& s : r.m.series)
            if (s.name == name) {
                s.at.push_back(static_cast<double>(s.values.size()));
                s.values.push_back(value);
                return;
            }
        r.m.series.push_back({name, unit, "as Google Benchmark reports it", "repetition", {0}, {value}});
    }

    void only_aggregates(Result& r) const {
        for (const char* which : {"median", "mean"})
            for (const Series& s : r.m.series)
                if (s.name == fmt::format("{}{} real_time", aggregate_prefix, which) && r.m.samples_s.empty()) {
                    r.m.samples_s.push_back(s.values.front());
                    r.m.reason = fmt::format("aggregates alone: the {}", which);
                }
        if (r.m.samples_s.empty()) refuse(fmt::format("\"{}\" has no median and no mean", r.label), "it has no time");
    }

    std::string place_, host_;
    GoogleBenchmarks out_;
    std::map<std::string, Result> aggregated_;  // by key
    std::vector<std::string> order_;
    int entries_ = 0;
};

std::string name_of(const Result& r) {
    if (r.workload == backend_name) return r.label;
    std::string out = fmt::format("{}/{}", r.label, r.system);
    if (r.units > 1) out += fmt::format(" x{}", r.units);
    if (!r.mesh.empty()) out += " " + r.mesh;
    if (r.ranks > 1) out += fmt::format(", {} ranks", r.ranks);
    return out + fmt::format("/{}/{}", r.backend, name(r.m.kind));
}

json entry_of(const Result& r, const char* type) {
    json e{{"name", name_of(r)},
           {"run_name", name_of(r)},
           {"run_type", type},
           {"threads", std::max(1, r.threads)},
           {"time_unit", "ns"}};
    if (!r.m.detail.empty()) e["label"] = r.m.detail;
    return e;
}

double value_at(const Result& r, const std::string& name, std::size_t i, double otherwise) {
    for (const Series& s : r.m.series)
        if (s.name == name && i < s.values.size()) return s.values[i];
    return otherwise;
}

void rates(json& e, const Result& r, double seconds) {
    if (r.flops > 0) e["FLOP/s"] = r.flops / seconds;
    if (r.compulsory_bytes > 0) e["bytes_per_second"] = r.compulsory_bytes / seconds;
}

void samples(json& to, const Result& r) {
    const std::vector<double>& all = r.m.samples_s;
    for (std::size_t i = 0; i < all.size(); ++i) {
        json e = entry_of(r, "iteration");
        e["repetitions"] = all.size();
        e["repetition_index"] = i;
        e["iterations"] = static_cast<std::int64_t>(value_at(r, "iterations", i, 1));
        e["real_time"] = all[i] * 1e9;
        e["cpu_time"] = value_at(r, "cpu_time", i, all[i]) * 1e9;
        if (r.workload != backend_name)
            rates(e, r, all[i]);
        else
            for (const Series& s : r.m.series)
                if (s.name != "iterations" && s.name != "cpu_time" && i < s.values.size() &&
                    !s.name.starts_with(aggregate_prefix))
                    e[s.name] = s.values[i];
        to.push_back(std::move(e));
    }
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
        e["real_time"] = of(real) * scale;
        e["cpu_time"] = of(processor) * scale;
        to.push_back(std::move(e));
    };
    write("mean", "time", 1e9, mean);
    write("median", "time", 1e9, [](const std::vector<double>& v) { return *median(v); });
    write("stddev", "time", 1e9, deviation);
    write("cv", "percentage", 1,
          [&](const std::vector<double>& v) { return mean(v) > 0 ? deviation(v) / mean(v) : 0; });
}

}  // namespace

GoogleBenchmarks from_google_benchmark(const std::string& text, const std::string& place) {
    return Reader(place).read(text);
}

std::string to_google_benchmark(const ResultSet& set) {
    json context = json::object();
    if (!set.runs.empty()) {
        const RunInfo& run = set.runs.back();
        const json before = json::parse(run.environment_before, nullptr, false);
        if (run.experiment == backend_name && before.is_object()) context = before;
        context["date"] = run.date;
        context["host_name"] = run.anchor;
        context["executable"] = run.command;
    }
    if (!context.contains("num_cpus")) context["num_cpus"] = 0;  // report.py of Google's tools reads both
    if (!context.contains("mhz_per_cpu")) context["mhz_per_cpu"] = 0;
    json entries = json::array();
    for (const Result& r : set.results) {
        if (r.m.status == Status::skipped) continue;
        if (r.m.status != Status::ok || r.m.samples_s.empty()) {
            json e = entry_of(r, "iteration");
            e["iterations"] = 0;
            e["real_time"] = e["cpu_time"] = 0.0;
            e["error_occurred"] = true;
            e["error_message"] = r.m.reason;
            entries.push_back(std::move(e));
            continue;
        }
        samples(entries, r);
        aggregates(entries, r);
    }
    return json{{"context", std::move(context)}, {"benchmarks", std::move(entries)}}.dump(
               1, ' ', false, json::error_handler_t::replace) +
           "\n";
}

}  // namespace wb
