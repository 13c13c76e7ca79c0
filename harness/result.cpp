// Reads and prints: compiled at -O1.
#include "harness/result.hpp"

#include <fmt/format.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "harness/stats.hpp"

namespace wb {
namespace {

using nlohmann::json;

/// JSON has no NaN: null stands for it.
json number(double v) { return std::isfinite(v) ? json(v) : json(nullptr); }
double number(const json& j) { return j.is_null() ? std::numeric_limits<double>::quiet_NaN() : j.get<double>(); }

json numbers(const std::vector<double>& values) {
    json out = json::array();
    for (double v : values) out.push_back(number(v));
    return out;
}
std::vector<double> numbers(const json& j) {
    std::vector<double> out;
    for (const json& v : j) out.push_back(number(v));
    return out;
}

/// Not measured on a host whose rates are known: nothing.
void put_ceiling(json& j, const Ceiling& c) {
    if (c.time > Seconds(0)) j["ceiling"] = {number(c.time.si()), number(c.compute.si()), c.limit};
}
Ceiling ceiling_from(const json& j) {
    if (!j.contains("ceiling")) return {};
    const json& c = j.at("ceiling");
    return {Seconds(number(c.at(0))), Seconds(number(c.at(1))), c.at(2)};
}

json levels_json(const std::vector<MemoryUse>& levels) {
    json out = json::array();
    for (const MemoryUse& u : levels)
        out.push_back({u.level, number(u.capacity.si()), number(u.peak.si()), number(u.traffic.si())});
    return out;
}
std::vector<MemoryUse> levels_from(const json& j) {
    std::vector<MemoryUse> out;
    for (const json& u : j)
        out.push_back({u.at(0), Bytes(number(u.at(1))), Bytes(number(u.at(2))), Bytes(number(u.at(3)))});
    return out;
}

json calls_json(const std::vector<CommUse>& calls) {
    json out = json::array();
    for (const CommUse& u : calls)
        out.push_back(
            {u.fabric, u.operation, u.calls, number(u.bytes.si()), number(u.time.si()), number(u.exposed.si())});
    return out;
}
std::vector<CommUse> calls_from(const json& j) {
    std::vector<CommUse> out;
    for (const json& u : j)
        out.push_back(
            {u.at(0), u.at(1), u.at(2), Bytes(number(u.at(3))), Seconds(number(u.at(4))), Seconds(number(u.at(5)))});
    return out;
}

json phase_json(const PhaseUse& p) {
    json j{{"name", p.name},
           {"times", p.times},
           {"time_s", {number(p.time.si()), number(p.fastest.si())}},
           {"memory_B", number(p.memory.si())},
           {"communication_B", number(p.communication.si())},
           {"calls", p.calls},
           {"exposed_s", number(p.exposed.si())},
           {"flops", number(p.useful.si())},
           {"band", {number(p.band.low), number(p.band.high), p.band.source}},
           {"limit", p.limit}};
    if (p.energy) j["energy_J"] = number(p.energy->si());
    put_ceiling(j, p.ceiling);
    if (!p.levels.empty()) j["levels"] = levels_json(p.levels);
    if (!p.collectives.empty()) j["collectives"] = calls_json(p.collectives);
    if (p.counted) j["counted_B"] = number(p.counted->si());
    return j;
}

PhaseUse phase_from(const json& j) {
    PhaseUse p;
    p.name = j.at("name");
    p.times = j.at("times");
    p.time = Seconds(number(j.at("time_s").at(0)));
    p.fastest = Seconds(number(j.at("time_s").at(1)));
    p.memory = Bytes(number(j.at("memory_B")));
    p.communication = Bytes(number(j.at("communication_B")));
    p.calls = j.at("calls");
    p.exposed = Seconds(number(j.at("exposed_s")));
    p.useful = Flops(number(j.at("flops")));
    p.band = {number(j.at("band").at(0)), number(j.at("band").at(1)), j.at("band").at(2)};
    p.limit = j.at("limit");
    if (j.contains("energy_J")) p.energy = Joules(number(j.at("energy_J")));
    p.ceiling = ceiling_from(j);
    p.levels = levels_from(j.value("levels", json::array()));
    p.collectives = calls_from(j.value("collectives", json::array()));
    if (j.contains("counted_B")) p.counted = Bytes(number(j.at("counted_B")));
    return p;
}

json grid_json(const Grid& g) {
    return {{"name", g.name},
            {"unit", g.unit},
            {"about", g.about},
            {"rows", g.rows},
            {"columns", g.columns},
            {"rows_per_cell", g.rows_per_cell},
            {"columns_per_cell", g.columns_per_cell},
            {"mean", number(g.mean)},
            {"largest", number(g.largest)},
            {"values", numbers(g.values)}};
}

Grid grid_from(const json& j) {
    return {j.at("name"),
            j.at("unit"),
            j.at("about"),
            j.at("rows"),
            j.at("columns"),
            j.at("rows_per_cell"),
            j.at("columns_per_cell"),
            number(j.at("mean")),
            number(j.at("largest")),
            numbers(j.at("values"))};
}

json measurement_json(const Measurement& m) {
    json j{{"status", name(m.status)},
           {"reason", m.reason},
           {"kind", name(m.kind)},
           {"samples_s", numbers(m.samples_s)},
           {"band", {number(m.band.low), number(m.band.high), m.band.source}},
           {"useful", number(m.useful.si())},
           {"overhead", number(m.overhead.si())},
           {"mapping", m.mapping},
           {"dtype", m.resolved_dtype},
           {"detail", m.detail},
           {"prepare_s", number(m.prepare_s)},
           {"verify_s", number(m.verify_s)},
           {"harness_s", number(m.harness_s)},
           {"warnings", m.warnings},
           {"verification",
            {{"done", m.verification.done},
             {"method", m.verification.method},
             {"error", number(m.verification.error)},
             {"tolerance", number(m.verification.tolerance)}}}};
    for (const auto& r : m.rank_samples_s) j["rank_samples_s"].push_back(numbers(r));
    for (const Span& s : m.spans)
        j["spans"].push_back({s.op, s.resource, s.phase, number(s.start.si()), number(s.duration.si()),
                              number(s.bytes.si()), number(s.flops.si())});
    if (!m.memory.empty()) j["memory"] = levels_json(m.memory);
    if (!m.communication.empty()) j["communication"] = calls_json(m.communication);
    for (const PhaseUse& p : m.phases) j["phases"].push_back(phase_json(p));
    for (const Series& s : m.series)
        j["series"].push_back({s.name, s.unit, s.about, s.at_unit, numbers(s.at), numbers(s.values)});
    for (const Grid& g : m.grids) j["grids"].push_back(grid_json(g));
    for (const Text& t : m.texts) j["texts"].push_back({t.name, t.text});
    if (m.energy) j["energy_J"] = number(m.energy->si());
    put_ceiling(j, m.ceiling);
    return j;
}

Measurement measurement_from(const json& j) {
    Measurement m;
    m.status = status_from_name(j.at("status").get<std::string>()).value();
    m.kind = kind_from_name(j.at("kind").get<std::string>()).value();
    m.reason = j.at("reason");
    m.samples_s = numbers(j.at("samples_s"));
    m.band = {number(j.at("band").at(0)), number(j.at("band").at(1)), j.at("band").at(2)};
    m.useful = Flops(number(j.at("useful")));
    m.overhead = Flops(number(j.at("overhead")));
    m.mapping = j.at("mapping");
    m.resolved_dtype = j.at("dtype");
    m.detail = j.at("detail");
    m.prepare_s = number(j.at("prepare_s"));
    m.verify_s = number(j.at("verify_s"));
    m.harness_s = number(j.at("harness_s"));
    m.warnings = j.at("warnings").get<std::vector<std::string>>();
    const json& v = j.at("verification");
    m.verification = {v.at("done"), v.at("method"), number(v.at("error")), number(v.at("tolerance"))};
    for (const json& r : j.value("rank_samples_s", json::array())) m.rank_samples_s.push_back(numbers(r));
    for (const json& s : j.value("spans", json::array()))
        m.spans.push_back({s.at(0), s.at(1), s.at(2), Seconds(number(s.at(3))), Seconds(number(s.at(4))),
                           Bytes(number(s.at(5))), Flops(number(s.at(6)))});
    m.memory = levels_from(j.value("memory", json::array()));
    m.communication = calls_from(j.value("communication", json::array()));
    for (const json& p : j.value("phases", json::array())) m.phases.push_back(phase_from(p));
    for (const json& s : j.value("series", json::array()))
        m.series.push_back({s.at(0), s.at(1), s.at(2), s.at(3), numbers(s.at(4)), numbers(s.at(5))});
    for (const json& g : j.value("grids", json::array())) m.grids.push_back(grid_from(g));
    for (const json& t : j.value("texts", json::array())) m.texts.push_back({t.at(0), t.at(1)});
    if (j.contains("energy_J")) m.energy = Joules(number(j.at("energy_J")));
    m.ceiling = ceiling_from(j);
    return m;
}

Result result_from(const json& j) {
    Result r;
    r.key = j.at("key");
    r.full_key = j.at("full_key");
    r.label = j.at("label");
    r.workload = j.at("workload");
    r.params = j.at("params");
    r.system = j.at("system");
    r.backend = j.at("backend");
    r.fingerprint = j.at("fingerprint");
    r.mesh = j.value("mesh", "");  // absent before schema 1.1
    r.units = j.at("units");
    r.ranks = j.at("ranks");
    r.threads = j.at("threads");
    r.flops = number(j.at("flops"));
    r.matmul_flops = number(j.at("matmul_flops"));
    r.compulsory_bytes = number(j.at("compulsory_bytes"));
    r.m = measurement_from(j.at("measurement"));
    r.m.key = r.key;
    return r;
}

RunInfo run_from(const json& j) {
    RunInfo i;
    for (const auto& [name, field] : {std::pair{"run_id", &i.run_id},
                                      {"experiment", &i.experiment},
                                      {"title", &i.title},
                                      {"date", &i.date},
                                      {"command", &i.command},
                                      {"config_toml", &i.config_toml},
                                      {"environment_before", &i.environment_before},
                                      {"environment_after", &i.environment_after},
                                      {"build", &i.build_json},
                                      {"mpi", &i.mpi},
                                      {"host", &i.anchor}})
        *field = j.at(name).get<std::string>();
    i.systems = j.at("systems").get<std::map<std::string, std::string>>();
    i.warnings = j.at("warnings").get<std::vector<std::string>>();
    i.ranks = j.at("ranks");
    return i;
}

}  // namespace

double Result::median_s() const { return median(m.samples_s).value_or(std::numeric_limits<double>::quiet_NaN()); }

std::string to_record(const Result& r) {
    const json j{{"type", "case"},
                 {"key", r.key},
                 {"full_key", r.full_key},
                 {"label", r.label},
                 {"workload", r.workload},
                 {"params", r.params},
                 {"system", r.system},
                 {"backend", r.backend},
                 {"fingerprint", r.fingerprint},
                 {"mesh", r.mesh},
                 {"units", r.units},
                 {"ranks", r.ranks},
                 {"threads", r.threads},
                 {"flops", number(r.flops)},
                 {"matmul_flops", number(r.matmul_flops)},
                 {"compulsory_bytes", number(r.compulsory_bytes)},
                 {"measurement", measurement_json(r.m)}};
    return j.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string to_record(const RunInfo& i) {
    const json j{{"type", "run"},
                 {"run_id", i.run_id},
                 {"experiment", i.experiment},
                 {"title", i.title},
                 {"date", i.date},
                 {"command", i.command},
                 {"config_toml", i.config_toml},
                 {"environment_before", i.environment_before},
                 {"environment_after", i.environment_after},
                 {"build", i.build_json},
                 {"mpi", i.mpi},
                 {"systems", i.systems},
                 {"warnings", i.warnings},
                 {"ranks", i.ranks},
                 {"host", i.anchor}};
    return j.dump(-1, ' ', false, json::error_handler_t::replace);
}

std::string begun_record(const std::string& full_key) { return json{{"type", "begun"}, {"full_key", full_key}}.dump(); }

ResultSet from_records(const std::vector<std::string>& payloads, const std::string& place) {
    ResultSet set;
    std::map<std::string, std::size_t> at;
    std::map<std::string, std::size_t> run_at;
    for (std::size_t i = 0; i < payloads.size(); ++i) {
        try {
            const json j = json::parse(payloads[i]);
            if (j.at("type") == "run") {
                RunInfo info = run_from(j);
                const auto [it, fresh] = run_at.emplace(info.run_id, set.runs.size());
                if (fresh)
                    set.runs.push_back(std::move(info));
                else
                    set.runs[it->second] = std::move(info);
                continue;
            }
            if (j.at("type") == "begun") {
                set.begun.insert(j.at("full_key").get<std::string>());
                continue;
            }
            Result r = result_from(j);
            set.begun.erase(r.full_key);
            const auto [it, fresh] = at.emplace(r.key, set.results.size());
            if (fresh)
                set.results.push_back(std::move(r));
            else
                set.results[it->second] = std::move(r);
        } catch (const std::exception& e) {
            throw Error({place, fmt::format("record {} cannot be understood", i), e.what(),
                         "It may come from another version."},
                        Exit::baseline);
        }
    }
    return set;
}

}  // namespace wb
