#include "harness/tco/yield.hpp"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cmath>
#include <map>

#include "core/error.hpp"
#include "core/mapping.hpp"
#include "harness/stats.hpp"
#include "harness/validate/bands.hpp"

namespace wb::tco {
namespace {

/// Names and values, in order; a word without "=" belongs to the value before it.
std::vector<std::pair<std::string, std::string>> split(const std::string& params) {
    std::vector<std::pair<std::string, std::string>> out;
    std::size_t at = 0;
    while (at < params.size()) {
        const std::size_t end = std::min(params.find(' ', at), params.size());
        const std::string word = params.substr(at, end - at);
        const auto equals = word.find('=');
        if (equals != std::string::npos)
            out.emplace_back(word.substr(0, equals), word.substr(equals + 1));
        else if (!out.empty())
            out.back().second += " " + word;
        at = end + 1;
    }
    return out;
}

double number(const std::string& params, const std::string& name, double fallback) {
    const std::string text = param_of(params, name);
    double value = fallback;
    if (!text.empty()) std::from_chars(text.data(), text.data() + text.size(), value);
    return value;
}

/// The load on a server is what moves along a front; all else tells one front from another.
std::string family_of(const Result& r) {
    static constexpr std::array load{"arrival",  "requests", "batch", "max_batch", "slo_ttft",     "slo_tpot",
                                     "attained", "find",     "seed",  "policy",    "token_budget", "lengths"};
    std::string out = r.workload;
    for (const auto& [name, value] : split(r.params)) {
        bool moves = value.empty() || value == "0" || value == "false";
        for (const char* l : load) moves = moves || name == l;
        if (!moves) out += " " + name + "=" + value;
    }
    return out;
}

const Series* find(const Result& r, const char* name) {
    for (const Series& s : r.m.series)
        if (s.name == name && !s.values.empty()) return &s;
    return nullptr;
}

void serving_yield(const Result& r, Yield& y) {
    const Series *out = find(r, "throughput"), *requests = find(r, "request_rate"), *tpot = find(r, "tpot"),
                 *ttft = find(r, "ttft");
    if (out) y.output_tokens = out->values[0] * y.run_s;
    if (requests) y.input_tokens = requests->values[0] * number(r.params, "input", 0) * y.run_s;
    if (tpot) y.interactivity = 1 / tpot->values.front();
    if (ttft) y.ttft_s = ttft->values.front(), y.tail_s = ttft->values.back();
}

void token_yield(const Result& r, Yield& y) {
    const double batch = number(r.params, "batch", 1), seq = number(r.params, "seq", 0);
    const double tokens = number(r.params, "tokens", 0), requests = number(r.params, "requests", 1);
    if (r.workload == "serve") return serving_yield(r, y);
    if (r.workload == "decode") {
        y.output_tokens = batch;
        y.interactivity = 1 / y.run_s;
    } else if (r.workload == "prefill") {
        y.input_tokens = batch * seq;
        y.ttft_s = y.run_s;
    } else if (r.workload == "generate") {
        y.input_tokens = batch * seq;
        y.output_tokens = batch * tokens;
    } else if (r.workload == "coe") {
        y.input_tokens = batch * requests * seq;
        y.output_tokens = batch * requests * tokens;
    } else if (r.workload == "train" || r.workload == "finetune") {
        y.trained_tokens = batch * seq;
    } else if (r.workload == "pipeline") {
        y.trained_tokens = batch * seq * number(r.params, "steps", 0);
    }
    y.coupled = y.trained_tokens > 0;
}

void spread(const Result& r, Yield& y) {
    if (r.m.kind == Kind::measured) {
        // The 95 % interval of the median, drawn in to the 10th and 90th percentile of a normal distribution.
        const Summary s = summarise(r.m.samples_s);
        const double part = 1.2816 / 1.96;
        y.low = std::pow(s.median_interval.low / s.median, part);
        y.high = std::pow(s.median_interval.high / s.median, part);
        return;
    }
    y.low = std::min(r.m.band.low, 1.0);  // a band that leaves the number itself out still has it as its median
    y.high = std::max(r.m.band.high, 1.0);
    y.band_unknown = r.m.band.source.empty();
    y.extrapolated = is_extrapolated(r.m.band);
    y.unjudged = is_unseen(r.m.band);
}

Yield yield_of(const Result& r) {
    Yield y;
    y.label = r.label, y.workload = r.workload, y.fingerprint = r.fingerprint, y.key = r.key;
    y.family = family_of(r);
    y.system = r.system, y.mapping = r.m.mapping, y.backend = r.backend;
    y.kind = r.m.kind;
    y.units = r.units;
    y.detail = r.m.detail;
    if (r.m.status != Status::ok || r.m.samples_s.empty()) {
        y.reason = r.m.reason.empty() ? std::string(name(r.m.status)) : r.m.reason;
        return y;
    }
    y.run_s = r.median_s();
    y.flops = r.flops;
    if (r.m.energy && r.m.kind == Kind::measured) y.energy_J = r.m.energy->si();
    spread(r, y);
    token_yield(r, y);
    try {
        if (!r.m.mapping.empty() && !y.coupled) y.replicas = std::max(1, Mapping::parse(r.m.mapping).data);
    } catch (const Error&) {
        y.replicas = 1;  // a mapping of another kind: all units fail together
    }
    return y;
}

/// Words of a filter; "-word" excludes.
bool passes(const std::string& key, const std::string& filter) {
    std::size_t at = 0;
    while (at < filter.size()) {
        const std::size_t end = std::min(filter.find(' ', at), filter.size());
        std::string word = filter.substr(at, end - at);
        at = end + 1;
        const bool exclude = word.starts_with('-');
        if (exclude) word.erase(0, 1);
        if (!word.empty() && (key.find(word) != std::string::npos) == exclude) return false;
    }
    return true;
}

void refuse_invalid(const Result& r) {
    const Verification& v = r.m.verification;
    if (r.m.status != Status::invalid && !(v.done && !(v.error <= v.tolerance))) return;
    throw Error({r.label + " on " + r.system, "failed its verification",
                 "what it yields is wrong, so there is nothing to divide a cost by",
                 "Leave it out with --filter, or run it again."});
}

}  // namespace

std::string Yield::name() const { return units > 1 ? fmt::format("{} x{}", system, units) : system; }

std::string param_of(const std::string& params, const std::string& name) {
    for (const auto& [key, value] : split(params))
        if (key == name) return value;
    return "";
}

std::map<std::string, System> systems_of(const std::vector<ResultSet>& sets) {
    std::map<std::string, System> out;
    for (const ResultSet& set : sets)
        for (const RunInfo& run : set.runs)
            for (const auto& [id, text] : run.systems)
                out.insert_or_assign(id, parse_system(text, "stored system " + id, id));
    return out;
}

std::vector<Yield> yields_of(const std::vector<ResultSet>& sets, const std::string& filter) {
    std::vector<Yield> out;
    std::map<std::string, std::string> work;  // label -> fingerprint
    const std::map<std::string, System> systems = systems_of(sets);
    for (const ResultSet& set : sets)
        for (const Result& r : set.results) {
            if (r.m.kind == Kind::bound || !passes(r.key, filter)) continue;
            refuse_invalid(r);
            const auto [at, fresh] = work.emplace(r.label, r.fingerprint);
            if (!fresh && !r.fingerprint.empty() && at->second != r.fingerprint)
                throw Error({r.label,
                             fmt::format("{} ran other work than the systems before it (fingerprint {} against {})",
                                         r.system, r.fingerprint.substr(0, 8), at->second.substr(0, 8)),
                             "costs of different work cannot be set side by side",
                             "Run them with one version of one experiment, or give the files one at a time."});
            out.push_back(yield_of(r));
            const auto s = systems.find(r.system);
            if (s == systems.end()) continue;
            const auto node = s->second.node.find("units");
            if (node != s->second.node.end()) out.back().node_units = std::max(1, static_cast<int>(node->second.value));
        }
    return out;
}

}  // namespace wb::tco
