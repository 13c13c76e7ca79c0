#include "harness/validate/point.hpp"

#include <fmt/format.h>
#include <map>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/error.hpp"

namespace wb {

const std::vector<Metric>& all_metrics() {
    static const std::vector<Metric> metrics{
        {"time", "s", Sense::time},
        {"cycles", "cycles", Sense::time},
        {"ttft_mean", "s", Sense::time},
        {"ttft_p99", "s", Sense::time},
        {"tpot_mean", "s", Sense::time},
        {"tokens_per_s", "tokens/s", Sense::rate},
        {"samples_per_s", "1/s", Sense::rate},
        {"steps_per_s", "1/s", Sense::rate},
        {"flop_per_s", "FLOP/s", Sense::rate},
        {"flop_per_s_per_device", "FLOP/s", Sense::rate},
        {"bandwidth", "B/s", Sense::rate},
        {"bus_bandwidth", "B/s", Sense::rate},
        {"logical_bandwidth", "B/s", Sense::rate},
        {"mfu", "1", Sense::rate},
        {"bytes", "B", Sense::amount},
        {"energy_ratio", "1", Sense::amount},
        {"count", "1", Sense::amount},
        {"fraction", "1", Sense::amount},
        {"rate", "1/s", Sense::amount},
        {"tokens", "1", Sense::amount},
    };
    return metrics;
}

const Metric* find_metric(const std::string& name) {
    for (const Metric& m : all_metrics())
        if (m.name == name) return &m;
    return nullptr;
}

const std::vector<std::string>& all_families() {
    static const std::vector<std::string> families{"attention", "collective",  "decode", "energy",     "gemm",
                                                   "hpc",       "layer",       "link",   "memory",     "pipeline",
                                                   "prefill",   "reliability", "serve",  "train_step", "vector"};
    return families;
}

std::string family_of_workload(const std::string& workload) {
    static const std::map<std::string, std::string> others{
        {"gemv", "gemm"},       {"train", "train_step"},    {"stage", "pipeline"},   {"compile", "pipeline"},
        {"load", "pipeline"},   {"checkpoint", "pipeline"}, {"restore", "pipeline"}, {"evaluate", "pipeline"},
        {"switch", "pipeline"}, {"route", "prefill"}};
    const auto at = others.find(workload);
    return at == others.end() ? workload : at->second;
}

const std::string* Point::find(const std::string& key) const {
    for (const auto& [k, v] : params)
        if (k == key) return &v;
    return nullptr;
}

const std::string& Point::word(const std::string& key) const {
    if (const std::string* v = find(key)) return *v;
    throw Error({"", fmt::format("the row does not say \"{}\"", key), "", ""});
}

std::int64_t Point::integer(const std::string& key) const {
    const std::string& v = word(key);
    std::int64_t n = 0;
    const auto r = std::from_chars(v.data(), v.data() + v.size(), n);
    if (r.ec == std::errc() && r.ptr == v.data() + v.size()) return n;
    throw Error({"", fmt::format("{} is \"{}\"", key, v), "it must be a whole number", ""});
}

double Point::number(const std::string& key) const {
    const std::string& v = word(key);
    double x = 0;
    const auto r = std::from_chars(v.data(), v.data() + v.size(), x);
    if (r.ec == std::errc() && r.ptr == v.data() + v.size() && std::isfinite(x)) return x;
    throw Error({"", fmt::format("{} is \"{}\"", key, v), "it must be a finite number", ""});
}

std::string Point::word_or(const std::string& key, const std::string& fallback) const {
    const std::string* v = find(key);
    return v ? *v : fallback;
}

std::int64_t Point::integer_or(const std::string& key, std::int64_t fallback) const {
    return has(key) ? integer(key) : fallback;
}

Sense Point::sense() const { return find_metric(metric)->sense; }

}  // namespace wb
