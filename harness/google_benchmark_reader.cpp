// Reads and prints: compiled at -O1.
#include <fmt/format.h>

#include <cctype>
#include <cmath>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "harness/google_benchmark.hpp"

namespace wb {
namespace {

using nlohmann::json;

/// Fields of an entry that are the library's own; every other number is a counter of the user.
bool own_field(const std::string& key) {
    static const std::set<std::string> own{"name",
                                           "run_name",
                                           "run_type",
                                           "family_index",
                                           "per_family_instance_index",
                                           "repetitions",
                                           "threads",
                                           "real_time",
                                           "cpu_time",
                                           "time_unit",
                                           "repetition_index",
                                           "label",
                                           "iterations",
                                           "rms",
                                           "big_o",
                                           "skipped",
                                           "cpu_coefficient",
                                           "real_coefficient",
                                           "error_message",
                                           "aggregate_name",
                                           "aggregate_unit",
                                           "error_occurred",
                                           "skip_message"};
    return own.contains(key);
}

/// A number that JSON has no word for, from the words that libraries of all versions write.
std::optional<double> not_finite(std::string word) {
    for (char& c : word) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const bool negative = word.starts_with('-');
    if (negative) word.erase(0, 1);
    if (word == "nan") return std::numeric_limits<double>::quiet_NaN();
    if (word == "inf" || word == "infinity") return negative ? -HUGE_VAL : HUGE_VAL;
    return {};
}

/// As JSON wants it: libraries write NaN and Infinity as bare words, and before 1.5 the back slashes of a path and
/// control characters of a label as they are.
std::string as_json(const std::string& text) {
    const auto letter = [&](std::size_t i) {
        return i < text.size() && std::isalpha(static_cast<unsigned char>(text[i]));
    };
    std::string out;
    bool inside = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (inside && c == '\\') {
            const bool escape =
                i + 1 < text.size() && std::string_view("\"\\/bfnrtu").find(text[i + 1]) != std::string::npos;
            out += escape ? std::string{c, text[++i]} : "\\\\";
        } else if (inside || !(letter(i) || (c == '-' && letter(i + 1)))) {
            if (c == '"') inside = !inside;
            out += inside && static_cast<unsigned char>(c) < ' ' ? ' ' : c;
        } else {
            std::string word{c};
            while (letter(i + 1)) word += text[++i];
            out += not_finite(word) ? '"' + word + '"' : word;
        }
    }
    return out;
}

std::optional<double> number(const json& value) {
    if (value.is_number()) return value.get<double>();
    return value.is_string() ? not_finite(value.get<std::string>()) : std::nullopt;
}

class Reader {
public:
    explicit Reader(std::string place) : place_(std::move(place)) {}

    GoogleBenchmarks read(const std::string& text) {
        const json all = json::parse(as_json(text), nullptr, false);
        if (all.is_discarded()) refuse("is no JSON", "it cannot be read");
        if (!all.is_object() || !all.contains("benchmarks") || !all["benchmarks"].is_array())
            refuse("has no list \"benchmarks\"", "that is where Google Benchmark writes its times");
        context(all.value("context", json::object()));
        for (const json& entry : all["benchmarks"])
            if (entry.is_object() && entry.contains("name") && entry["name"].is_string())
                names_.insert(entry["name"].get<std::string>());
        for (const json& entry : all["benchmarks"]) take(entry);
        for (const std::string& key : order_) {
            Result& r = by_key_.at(key);
            if (r.m.samples_s.empty() && r.m.status == Status::ok && !only_aggregates(r))
                ++out_.left_out;
            else
                out_.set.results.push_back(std::move(r));
        }
        if (entries_ == 0) refuse("holds no benchmark", "there is nothing to import");
        if (out_.set.results.empty()) refuse("has no benchmark with a time", "there is nothing to import");
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
        info.experiment = google_benchmark_name;
        info.title = "Imported from " + place_;
        info.environment_before = c.dump(-1, ' ', false, json::error_handler_t::replace);
        info.run_id = Digest().add(info.environment_before).add(place_).hex();
        if (text("library_build_type") == "debug") info.warnings.push_back("the benchmark library is a debug build");
        if (c.contains("cpu_scaling_enabled") && c["cpu_scaling_enabled"] == true)
            info.warnings.push_back("the processor's clock was free to change");
        if (c.contains("json_schema_version") && c["json_schema_version"] != 1)
            info.warnings.push_back(fmt::format("written in version {} of the library's form; 1 is known",
                                                c["json_schema_version"].dump()));
        out_.set.runs.push_back(std::move(info));
    }

    /// Which statistic an entry is, and of what; before 1.5 its name alone said so. Nothing for a run.
    std::optional<std::pair<std::string, std::string>> aggregate(const json& entry, const std::string& name) const {
        const auto type = field<std::string>(entry, "run_type", "");
        if (type == "iteration") return {};
        if (type == "aggregate")
            return {
                {field<std::string>(entry, "aggregate_name", "value"), field<std::string>(entry, "run_name", name)}};
        for (const std::string which : {"mean", "median", "stddev", "cv", "BigO", "RMS"}) {
            if (!name.ends_with("_" + which)) continue;
            const std::string of = name.substr(0, name.size() - which.size() - 1);
            if (names_.contains(of) || (names_.contains(of + "_mean") && names_.contains(of + "_stddev")))
                return {{which, of}};
        }
        return {};
    }

    static int threads_of(const std::string& name) {
        const std::size_t at = name.find("/threads:");
        return at == std::string::npos ? 1 : std::max(1, std::atoi(name.c_str() + at + 9));
    }

    /// The case of an entry, made when first seen.
    Result& case_of(const json& entry, const std::string& run_name) {
        const int threads = field<int>(entry, "threads", threads_of(run_name));
        const std::string key = fmt::format("{} {} | {} | threads={}", google_benchmark_name, run_name, host_, threads);
        const auto [at, fresh] = by_key_.try_emplace(key);
        if (!fresh) return at->second;
        order_.push_back(key);
        Result& r = at->second;
        r.key = r.m.key = key;
        r.full_key = Digest().add(key).add(out_.set.runs.front().run_id).hex();
        r.label = r.params = run_name;
        r.workload = r.backend = google_benchmark_name;
        r.system = host_;
        r.threads = threads;
        r.fingerprint = Digest().add(google_benchmark_name).add(run_name).hex();
        r.m.kind = Kind::measured;
        if (entry.contains("label")) r.m.detail = field<std::string>(entry, "label");
        r.m.series.push_back({google_benchmark_unit, "s", "the unit of time in the file", "", {0}, {unit_of(entry)}});
        return r;
    }

    void take(const json& entry) {
        ++entries_;
        if (!entry.is_object()) refuse(fmt::format("benchmark {} is no object", entries_), "");
        const auto name = field<std::string>(entry, "name");
        const bool failed = field<bool>(entry, "error_occurred", false), skipped = field<bool>(entry, "skipped", false);
        if (!failed && !skipped && !entry.contains("real_time")) {  // BigO and RMS of a fit, names alone
            ++out_.left_out;
            return;
        }
        const auto statistic = aggregate(entry, name);
        Result& r = case_of(entry, statistic ? statistic->second : field<std::string>(entry, "run_name", name));
        const auto fail = [&](Status status, std::string why) {
            r.m.status = status;
            r.m.reason = why.empty() ? "the benchmark says no more" : std::move(why);
        };
        if (failed || skipped)
            return fail(failed ? Status::failed : Status::skipped,
                        field<std::string>(entry, failed ? "error_message" : "skip_message", ""));
        const bool share =
            field<std::string>(entry, "aggregate_unit",
                               statistic && statistic->first == "cv" ? "percentage" : "time") == "percentage";
        const double unit = share ? 1 : unit_of(entry), real_s = time(entry, "real_time") * unit,
                     processor_s = time(entry, "cpu_time") * unit;
        if (!statistic && !(real_s >= 0 && std::isfinite(real_s)))
            return fail(Status::failed, fmt::format("a real_time of {} (no run takes that long)", real_s / unit));
        const std::string prefix = statistic ? google_benchmark_aggregate + statistic->first + " " : "";
        if (!statistic) r.m.samples_s.push_back(real_s);
        if (statistic) add(r, prefix + "real_time", share ? "1" : "s", real_s);
        add(r, prefix + "cpu_time", share ? "1" : "s", processor_s);
        if (entry.contains("iterations"))
            add(r, prefix + "iterations", "1", static_cast<double>(field<std::int64_t>(entry, "iterations")));
        const bool by_real_time =
            r.label.find("/real_time") != std::string::npos || r.label.find("/manual_time") != std::string::npos;
        counters(r, entry, prefix, by_real_time ? real_s : processor_s);
    }

    /// Rates are of the time that the benchmark counts: processor time unless its name says otherwise.
    void counters(Result& r, const json& entry, const std::string& prefix, double counted_s) {
        for (const auto& [key, value] : entry.items()) {
            const std::optional<double> v = own_field(key) ? std::nullopt : number(value);
            if (!v) continue;
            add(r, prefix + key, key == "bytes_per_second" ? "B/s" : key == "items_per_second" ? "1/s" : "", *v);
            if (!prefix.empty() && prefix != std::string(google_benchmark_aggregate) + "median ") continue;
            const double work = *v * counted_s;
            if (!std::isfinite(work)) continue;
            if (key == "bytes_per_second") r.compulsory_bytes = work;
            if (const double scale = flops_scale(key); scale > 0) r.flops = work * scale;
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
        if (entry.contains(key))
            if (const std::optional<double> v = number(entry[key])) return *v;
        refuse(fmt::format("benchmark {} has no {} that can be read", entries_, key), "a time needs it");
    }

    double unit_of(const json& entry) const {
        static const std::map<std::string, double> units{{"ns", 1e-9}, {"us", 1e-6}, {"ms", 1e-3}, {"s", 1}};
        const auto unit = field<std::string>(entry, "time_unit", "ns");
        const auto at = units.find(unit);
        if (at == units.end())
            refuse(fmt::format("benchmark {} has times in \"{}\"", entries_, unit), "the units are ns, us, ms and s");
        return at->second;
    }

    /// A value of the newest repetition; of a statistic, of its newest entry.
    static void add(Result& r, const std::string& name, const std::string& unit, double value) {
        const bool statistic = name.starts_with(google_benchmark_aggregate);
        auto at = std::find_if(r.m.series.begin(), r.m.series.end(), [&](const Series& s) { return s.name == name; });
        if (at == r.m.series.end())
            at = r.m.series.insert(at, {name, unit, "as Google Benchmark reports it", "repetition", {}, {}});
        at->at.push_back(static_cast<double>(statistic ? at->values.size() : r.m.samples_s.size() - 1));
        at->values.push_back(value);
    }

    /// The median stands for the samples, else the mean, else the first statistic that is a time and no deviation.
    static bool only_aggregates(Result& r) {
        const std::string begin = google_benchmark_aggregate, end = " real_time";
        const Series* best = nullptr;
        for (const Series& s : r.m.series) {
            if (!s.name.starts_with(begin) || !s.name.ends_with(end) || s.unit != "s" ||
                s.name == begin + "stddev" + end)
                continue;
            const bool better = s.name == begin + "median" + end ||
                                (s.name == begin + "mean" + end && best && best->name != begin + "median" + end);
            if (!best || better) best = &s;
        }
        if (!best || !std::isfinite(best->values.front())) return false;
        r.m.samples_s.push_back(best->values.front());
        r.m.reason = fmt::format("{}the {}", google_benchmark_alone,
                                 best->name.substr(begin.size(), best->name.size() - begin.size() - end.size()));
        return true;
    }

    std::string place_, host_;
    GoogleBenchmarks out_;
    std::set<std::string> names_;
    std::map<std::string, Result> by_key_;
    std::vector<std::string> order_;
    int entries_ = 0;
};

}  // namespace

GoogleBenchmarks from_google_benchmark(const std::string& text, const std::string& place) {
    return Reader(place).read(text);
}

}  // namespace wb
