// Reads and prints: compiled at -O1.
#include "harness/result_tables.hpp"

#include <fmt/format.h>

#include <limits>

#include "core/system.hpp"
#include "harness/case_rows.hpp"
#include "harness/result_rows.hpp"
#include "harness/stats.hpp"

namespace wb {
namespace {

constexpr double nan = std::numeric_limits<double>::quiet_NaN();

/// The columns of /cases that only people and other programs need: derived from what the others hold.
void statistics(TableBuilder& t, const Result& r) {
    const Summary s = summarise(r.m.samples_s);
    const bool ok = r.m.status == Status::ok && s.state == SampleState::ok;
    const auto real = [&](const char* name, const char* units, const char* about, double v,
                          const char* better = "none") {
        t.real({name, units, about, "by row, see the column kind", better}, ok ? v : nan);
    };
    real("time_s", "s", "median time of one run, slowest rank", s.median, "lower");
    real("time_low_s", "s", "95 % interval of the median, or the error band: low end",
         r.m.kind == Kind::measured ? s.median_interval.low : s.median * r.m.band.low);
    real("time_high_s", "s", "high end",
         r.m.kind == Kind::measured ? s.median_interval.high : s.median * r.m.band.high);
    real("time_min_s", "s", "fastest run", s.min);
    real("time_max_s", "s", "slowest run", s.max);
    real("noise", "1", "width of the interval of the median over the median", s.noise);
    real("flop_rate", "FLOP s-1", "useful FLOP over the median time", r.flops / s.median, "higher");
    t.whole({"samples", "1", "runs that were timed", "derived"}, static_cast<std::int64_t>(s.n));
}

double ok_mfu(const Result& r) {
    return r.m.status == Status::ok && r.m.ceiling.time > Seconds(0) ? r.m.ceiling.compute.si() / r.median_s() : nan;
}

Table cases_table(const ResultSet& set) {
    TableBuilder t("cases", "one row for each case: what was asked, how it ended, and its time");
    std::int64_t id = 0;
    for (const Result& r : set.results) {
        const Measurement& m = r.m;
        t.whole({"case_id", "1", "number of the case in the other tables", "input"}, id++);
        t.text("key", "workload, parameters, system, options, units, backend, mapping", r.key);
        t.text("full_key", "digest of key, graph, system file, protocol and code", r.full_key);
        t.text("label", "workload and the parameters the experiment names", r.label);
        t.text("workload", "workload", r.workload);
        t.text("params", "all parameters", r.params);
        t.text("system", "system id", r.system);
        t.whole({"units", "1", "devices in use", "input"}, r.units);
        t.text("backend", "backend", r.backend);
        t.text("kind", "measured, emulated, simulated, modelled or bound: what sort of number this row holds",
               std::string(name(m.kind)));
        t.text("status", "ok, failed, timeout, skipped or invalid", std::string(name(m.status)), "derived");
        t.text("reason", "why not ok, or why sampling stopped", m.reason, "derived");
        t.text("fingerprint", "digest of the graph: equal means the same workload", r.fingerprint, "derived");
        t.text("dtype", "what a class of element types became here", m.resolved_dtype, "derived");
        t.text("mapping", "how the workload was spread", m.mapping, "derived");
        t.text("mesh", "mesh of PEs and algorithm the experiment names", r.mesh);
        t.text("detail", "what ran, or what limits", m.detail, "derived");
        t.whole({"ranks", "1", "processes that ran it together", "input"}, r.ranks);
        t.whole({"threads", "1", "threads of each rank, 0 = all", "input"}, r.threads);
        t.real({"flops", "FLOP", "useful work of the graph", "derived"}, r.flops);
        t.real({"matmul_flops", "FLOP", "the part done by matrix units", "derived"}, r.matmul_flops);
        t.real({"compulsory_bytes", "B", "what must move between memory and units at least", "derived"},
               r.compulsory_bytes);
        statistics(t, r);
        t.real({"band_low", "1", "error band of a number that is not measured, as a factor", "derived"}, m.band.low);
        t.real({"band_high", "1", "high end of the band", "derived"}, m.band.high);
        t.text("band_source", "where the band comes from", m.band.source, "derived");
        t.real({"useful_flops", "FLOP", "credited over all ranks", "measured"}, m.useful.si());
        t.real({"overhead_flops", "FLOP", "done beyond the graph's own", "measured"}, m.overhead.si());
        t.flag({"verified", "1", "outputs were compared with the reference", "derived"}, m.verification.done);
        t.text("verification", "how", m.verification.method, "derived");
        t.real({"verify_error", "1", "error over the largest magnitude", "measured", "lower"}, m.verification.error);
        t.real({"verify_tolerance", "1", "what is allowed", "input"}, m.verification.tolerance);
        t.real({"energy_J", "J", "energy of one run; NaN where unknown", "by row, see the column kind", "lower"},
               m.energy ? m.energy->si() : nan);
        t.real(
            {"ceiling_s", "s", "the least time at the rates this host was seen to reach; NaN where unknown", "derived"},
            r.m.ceiling.time > Seconds(0) ? r.m.ceiling.time.si() : nan);
        t.text("ceiling_limit", "what takes that long", r.m.ceiling.limit, "derived");
        t.real({"mfu", "1", "arithmetic at the rate of large matrix products, over the time", "derived", "higher"},
               ok_mfu(r));
        t.real({"prepare_s", "s", "allocation and placement, never part of time_s", "measured"}, m.prepare_s);
        t.real({"verify_s", "s", "verification", "measured"}, m.verify_s);
        t.real({"harness_s", "s", "everything else this case cost", "measured"}, m.harness_s);
        t.end_row();
    }
    return t.take();
}

Table samples_table(const ResultSet& set) {
    return case_rows(set, {"samples", "every timed run: the slowest rank"}, &Measurement::samples_s,
                     [](TableBuilder& t, double s, std::int64_t) {
                         t.real({"time_s", "s", "one run", "by case, see cases/kind", "lower"}, s);
                     });
}

Table rank_samples_table(const ResultSet& set) {
    TableBuilder t("rank_samples", "every timed run of every rank, where there was more than one");
    std::int64_t id = 0;
    for (const Result& r : set.results) {
        for (std::size_t rank = 0; rank < r.m.rank_samples_s.size() && r.m.rank_samples_s.size() > 1; ++rank)
            for (double s : r.m.rank_samples_s[rank]) {
                t.whole({"case_id", "1", "row of cases", "input"}, id);
                t.whole({"rank", "1", "rank", "input"}, static_cast<std::int64_t>(rank));
                t.real({"time_s", "s", "one run on this rank", "by case, see cases/kind", "lower"}, s);
                t.end_row();
            }
        ++id;
    }
    return t.take();
}

Table spans_table(const ResultSet& set) {
    return case_rows(set, {"spans", "parts of the last run of each case, on rank 0"}, &Measurement::spans,
                     [](TableBuilder& t, const Span& s, std::int64_t) {
                         t.text("phase", "phase of the workload", s.phase);
                         t.text("resource", "what was busy", s.resource, "derived");
                         t.real({"start_s", "s", "from the begin of the run", "by case, see cases/kind"}, s.start.si());
                         t.real({"duration_s", "s", "length", "by case, see cases/kind", "lower"}, s.duration.si());
                         t.real({"bytes", "B", "moved", "derived"}, s.bytes.si());
                         t.real({"flops", "FLOP", "done", "derived"}, s.flops.si());
                         t.whole({"op", "1", "operator of the graph; -1: of no single one", "derived"}, s.op);
                     });
}

Table memory_table(const ResultSet& set) {
    return case_rows(set, {"memory", "what each level of memory held, largest rank"}, &Measurement::memory,
                     [](TableBuilder& t, const MemoryUse& u, std::int64_t) {
                         t.text("level", "component or level", u.level, "derived");
                         t.real({"capacity_B", "B", "capacity; 0 = not known", "input"}, u.capacity.si());
                         t.real({"peak_B", "B", "held at most", "by case, see cases/kind", "lower"}, u.peak.si());
                         t.real(
                             {"traffic_B", "B", "moved in one run; 0 = not known", "by case, see cases/kind", "lower"},
                             u.traffic.si());
                     });
}

Table communication_table(const ResultSet& set) {
    return case_rows(
        set, {"communication", "collectives of one run: calls and bytes of all ranks together, slowest rank's time"},
        &Measurement::communication, [](TableBuilder& t, const CommUse& u, std::int64_t) {
            t.text("fabric", "over what", u.fabric, "derived");
            t.text("operation", "collective", u.operation, "derived");
            t.whole({"calls", "1", "calls of all ranks", "measured"}, u.calls);
            t.real({"bytes_B", "B", "handed to the calls by all ranks", "measured", "lower"}, u.bytes.si());
            t.real({"time_s", "s", "in the calls", "by case, see cases/kind", "lower"}, u.time.si());
            t.real({"exposed_s", "s", "not hidden behind compute", "by case, see cases/kind", "lower"}, u.exposed.si());
        });
}

/// The rates of the machine that measured, with where they come from.
Table ceilings_table(const ResultSet& set) {
    TableBuilder t("host", "what this machine was seen to reach: the ceilings that measured times are set against");
    if (set.runs.empty()) return t.take();
    const auto text = set.runs.back().systems.find("host");
    if (text == set.runs.back().systems.end()) return t.take();
    const System host = parse_system(text->second, "provenance/system_host", "host");
    const auto put = [&](const std::string& name, const Fact& f) {
        t.text("figure", "what was measured", name);
        t.real({"value", "by row", "in SI: B/s, FLOP/s, s", "measured"}, f.value);
        t.text("text", "as printed, with its unit", f.text);
        t.text("source", "how and when", f.note.empty() ? f.source : f.source + ": " + f.note);
        t.end_row();
    };
    for (const auto& [type, fact] : host.peak) put("peak_" + std::string(name(type)), fact);
    for (const auto& [key, fact] : host.measured) put(key, fact);
    return t.take();
}

Table series_table(const ResultSet& set) {
    TableBuilder t("series", "what changed in the course of one run, such as the loss by step");
    std::int64_t id = 0;
    for (const Result& r : set.results) {
        for (std::size_t n = 0; n < r.m.series.size(); ++n) {
            const Series& s = r.m.series[n];
            for (std::size_t i = 0; i < s.values.size(); ++i) {
                t.whole({"case_id", "1", "row of cases", "input"}, id);
                t.text("name", "what is shown", s.name, "derived");
                t.text("units", "of value", s.unit, "derived");
                t.text("at_units", "of at", s.at_unit, "derived");
                t.real({"at", "by row", "where", "by case, see cases/kind"}, s.at[i]);
                t.real({"value", "by row", "what", "by case, see cases/kind"}, s.values[i]);
                t.whole({"number", "1", "which series of the case, from 0", "derived"}, static_cast<std::int64_t>(n));
                t.end_row();
            }
        }
        ++id;
    }
    return t.take();
}

Table texts_table(const ResultSet& set) {
    return case_rows(set, {"texts", "what a generation was asked, and what it answered"}, &Measurement::texts,
                     [](TableBuilder& t, const Text& text, std::int64_t) {
                         t.text("name", "prompt, answer, or the answer of another sequence", text.name, "derived");
                         t.text("text", "in the words of the model's tokeniser", text.text, "derived");
                     });
}

Table grids_table(const ResultSet& set) {
    return case_rows(
        set, {"grids", "heat maps over the PEs of a mesh: what they show, and which dataset holds them"},
        &Measurement::grids, [](TableBuilder& t, const Grid& g, std::int64_t id) {
            t.text("name", "what is shown", g.name, "derived");
            t.text("units", "of mean, largest and the dataset", g.unit, "derived");
            t.text("about", "what is shown, in words", g.about, "derived");
            t.text("dataset", "where the cells are", "/" + heat_map_path(id, g), "derived");
            t.whole({"rows", "1", "cells from north to south", "derived"}, g.rows);
            t.whole({"columns", "1", "cells from west to east", "derived"}, g.columns);
            t.whole({"rows_per_cell", "1", "rows of PEs a cell is the mean of; the last may have fewer", "derived"},
                    g.rows_per_cell);
            t.whole({"columns_per_cell", "1", "columns of PEs a cell is the mean of", "derived"}, g.columns_per_cell);
            t.real({"mean", "by row", "over all PEs", "by case, see cases/kind"}, g.mean);
            t.real({"largest", "by row", "of all PEs", "by case, see cases/kind"}, g.largest);
        });
}

Table warnings_table(const ResultSet& set) {
    TableBuilder t("warnings", "what may have disturbed a number; case -1 = the whole run");
    const auto put = [&](std::int64_t id, const std::string& text) {
        t.whole({"case_id", "1", "row of cases", "input"}, id);
        t.text("text", "what was seen, why it matters, what to do", text, "derived");
        t.end_row();
    };
    for (const RunInfo& i : set.runs)
        for (const std::string& w : i.warnings) put(-1, w);
    std::int64_t id = 0;
    for (const Result& r : set.results) {
        for (const std::string& w : r.m.warnings) put(id, w);
        ++id;
    }
    return t.take();
}

/// What cannot be rebuilt from the tables alone is kept as the records themselves.
Table records_table(const ResultSet& set) {
    TableBuilder t("records", "the journal's records as JSON, without what spans and series hold");
    for (const RunInfo& i : set.runs) t.text("json", "one record", to_record(i), "derived"), t.end_row();
    for (const Result& r : set.results) t.text("json", "one record", to_record(brief(r)), "derived"), t.end_row();
    return t.take();
}

}  // namespace

std::string heat_map_path(std::int64_t id, const Grid& g) { return fmt::format("heat_maps/case_{}/{}", id, g.name); }

std::vector<MakeTable> result_tables() {
    std::vector<MakeTable> all{cases_table, samples_table, rank_samples_table,
                               spans_table, memory_table,  communication_table};
    for (const MakeTable t : phase_tables()) all.push_back(t);
    all.insert(all.end(), {ceilings_table, series_table, texts_table, grids_table, warnings_table, records_table});
    return all;
}

}  // namespace wb
