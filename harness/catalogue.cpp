// Reads and prints: compiled at -O1.
#include "harness/catalogue.hpp"
#include "harness/composed_session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/memory_plan.hpp"
#include "core/suggest.hpp"
#include "core/tables.hpp"
#include "core/units.hpp"
#include "harness/text_table.hpp"

namespace wb {
namespace {

std::string render(const TextTable& t, Format format, bool colour) {
    switch (format) {
        case Format::markdown: return t.markdown();
        case Format::csv: return t.csv();
        case Format::json: return t.json();
        case Format::latex: return t.latex();
        default: return t.terminal(colour);
    }
}

std::string spec_default(const ParamSpec& s) { return s.fallback ? text(*s.fallback) : "required"; }

std::string joined(const std::vector<std::string>& words) {
    std::string out;
    for (const std::string& w : words) out += (out.empty() ? "" : ", ") + w;
    return out;
}

void fact_row(TextTable& t, const std::string& name, const std::optional<Fact>& f) {
    if (!f) return;
    std::string source = f->source;
    if (!f->confidence.empty()) source += fmt::format(" [{}]", f->confidence);
    if (!f->note.empty()) source += ": " + f->note;
    t.row({name, f->text, {source, Emphasis::faint}});
}

/// Arithmetic intensity at which a machine turns from memory-bound to compute-bound, for each type.
void ridge_rows(TextTable& t, const System& s) {
    const Memory* outer = nullptr;
    for (const Memory& m : s.memories)
        if (m.bandwidth) outer = &m;
    if (!outer) return;
    t.section("roofline");
    for (const auto& [type, peak] : s.peak)
        t.row({std::string(name(type)),
               fmt::format("{:.0f} FLOP/B", peak.value / outer->bandwidth->value),
               {fmt::format("below this intensity {} limits", outer->name), Emphasis::faint}});
}

std::string describe_system(const System& s, Format format, bool colour) {
    TextTable t({{"figure"}, {"value", Align::right}, {"source"}});
    t.section(fmt::format("{}: {} ({})", s.id, s.title, name(s.kind)));
    fact_row(t, fmt::format("{} of a {}", s.parts_name.empty() ? "parts" : s.parts_name, s.unit_name), s.parts);
    fact_row(t, "clock", s.clock);
    for (const auto& [type, fact] : s.peak) fact_row(t, fmt::format("peak {}", name(type)), fact);
    if (s.native16) t.row({"16-bit means", std::string(name(*s.native16)), ""});
    if (s.native8) t.row({"8-bit means", std::string(name(*s.native8)), ""});
    for (const Memory& m : s.memories) {
        fact_row(t, m.name + " capacity", m.capacity);
        fact_row(t, m.name + " bandwidth", m.bandwidth);
    }
    for (const Fabric& f : s.fabrics) {
        t.section(
            fmt::format("{} ({}{})", f.name, f.topology, f.in_network_reduction ? ", reduces in the network" : ""));
        fact_row(t, "joins", f.units);
        fact_row(t, "bandwidth each way", f.bandwidth);
        fact_row(t, "latency", f.latency);
    }
    const auto block = [&](const char* title, const std::map<std::string, Fact>& facts) {
        if (facts.empty()) return;
        t.section(title);
        for (const auto& [key, fact] : facts) fact_row(t, key, fact);
    };
    block("mesh", s.mesh);
    block("node", s.node);
    block("power", s.power);
    block("cost", s.cost);
    block(s.kind == SystemKind::host ? "ceilings: the best seen of each, not used by the bound"
                                     : "achieved rates, not used by the bound",
          s.measured);
    block("constants of the models, fitted over families of measurements", s.fitted);
    ridge_rows(t, s);
    if (!s.options.empty()) t.section("alternatives in the file: options = { name = \"choice\" } in the experiment");
    for (const auto& [option, choices] : s.options) t.row({option, s.chosen.at(option), "one of " + joined(choices)});
    std::string out = render(t, format, colour);
    if (format == Format::terminal && !s.notes.empty()) out += "\n" + s.notes + "\n";
    return out;
}

std::string describe_workload(const Workload& w, Format format, bool colour) {
    TextTable t({{"parameter"}, {"default", Align::right}, {"meaning"}});
    t.section(fmt::format("{}: {}", w.name, w.about));
    for (const ParamSpec& s : w.params)
        t.row(
            {s.name, spec_default(s), s.choices.empty() ? s.about : fmt::format("{}: {}", s.about, joined(s.choices))});
    return render(t, format, colour);
}

std::string describe_backend(const BackendRow& b, Format format, bool colour) {
    TextTable t({{"backend"}, {b.name}});
    t.row({"about", b.about});
    if (!b.make) {
        t.row({"not built", b.missing});
    } else {
        t.row({"kind", std::string(name(b.make()->kind()))});
        t.row({"used", b.on_request ? "only where an experiment names it" : "wherever it can answer"});
    }
    return render(t, format, colour);
}

/// The parameters of a workload that reads a file or model called `name`, for one sequence of 128 tokens.
Params sample_of(const Workload& w, const std::string& name) {
    const std::string& reader = w.params.front().name;
    ParamList given{{reader, name}, {"dtype", std::string("16-bit")}};
    if (reader == "model") given.emplace_back("seq", std::int64_t{128});  // a file has its own
    return complete(w.params, given);
}

std::string describe_findings(const Workload& w, const std::string& name, const Files& files, Format format,
                              bool colour) {
    TextTable t({{"of " + name}, {"found"}});
    for (const auto& [what, found] : w.findings(sample_of(w, name), files)) t.row({what, found});
    return render(t, format, colour);
}

/// `reader` is the first parameter of the workloads that read it: "model" or "file".
std::string describe_model(const std::string& model, const std::string& reader, const Files& files, Format format,
                           bool colour) {
    std::string out;
    TextTable t({{"graph"},
                 {"parameters", Align::right, "", "1"},
                 {"FLOP", Align::right, "", "FLOP"},
                 {"compulsory bytes", Align::right, "", "B"},
                 {"weights + state", Align::right, "", "B"},
                 {"activations", Align::right, "", "B"}});
    t.section(fmt::format("{}: one sequence of 128 tokens, 16-bit", model));
    for (const Workload& w : all_workloads()) {
        if (!w.findings || w.params.front().name != reader) continue;  // others are composed of these
        if (out.empty()) out = describe_findings(w, model, files, format, colour) + "\n";
        std::optional<Graph> built;
        std::string refused;
        try {
            built = w.build(sample_of(w, model), files);
        } catch (const Error& e) {  // what is wrong with the model itself has been said
            refused = without_stop(e.what());
        }
        if (!built) {
            t.row({fmt::format("{}: {}", w.name, refused), "", "", "", "", ""});
            continue;
        }
        const Graph& g = *built;
        const MemoryPlan m = plan_memory(g);
        t.row({w.name,
               {fmt::format("{}", g.parameters()), static_cast<double>(g.parameters())},
               {wb::format(g.flops()), g.flops().si()},
               {wb::format(g.compulsory_bytes()), g.compulsory_bytes().si()},
               {wb::format(m.weights + m.state), (m.weights + m.state).si()},
               {wb::format(m.activations), m.activations.si()}});
    }
    return (format == Format::terminal ? out : "") + render(t, format, colour);
}

/// The first parameter of the workloads that read `what`; empty if it is neither model nor file.
std::string reader_of(const std::string& what, const Files& files) {
    if (what.ends_with(".onnx")) return "file";
    const bool named = !files.find("models/" + what + "/config.json").empty() || what.starts_with('{');
    return named || what.find('/') != std::string::npos || !files.locate(what).empty() ? "model" : "";
}

}  // namespace

std::string list_text(const std::string& what, const Files& files, Format format, bool colour) {
    TextTable t({{"name"}, {"about"}});
    const auto wanted = [&](const char* kind) { return what.empty() || what == kind; };
    const std::vector<std::string> kinds{"workloads", "backends", "systems", "models", "experiments"};
    if (!what.empty() && std::find(kinds.begin(), kinds.end(), what) == kinds.end())
        throw Error({"list", fmt::format("there are no \"{}\"", what), "", did_you_mean(what, kinds)});
    if (wanted("workloads")) {
        t.section("workloads");
        for (const Workload& w : all_workloads()) t.row({w.name, w.about});
    }
    if (wanted("backends")) {
        t.section("backends");
        for (const BackendRow& b : all_backends()) {
            if (!b.make)
                t.row({{b.name, Emphasis::faint}, {"not built: " + b.missing, Emphasis::faint}});
            else
                t.row({b.name,
                       fmt::format("{} ({}{})", b.about, name(b.make()->kind()), b.on_request ? ", on request" : "")});
        }
    }
    if (wanted("systems")) {
        t.section("systems");
        t.row({"host", "this machine, measured once"});
        t.row({"host-network", "its MPI ranks, as `waferbench network` measured them"});
        for (const std::string& id : files.names("systems", ".toml")) {
            if (id == "host" || id == "host-network") continue;
            const Config c = Config::load(files.find("systems/" + id + ".toml"));
            t.row({id, c.text("title")});
        }
    }
    if (wanted("models")) {
        t.section("models");
        for (const std::string& id : files.names("models", ""))
            if (!files.find("models/" + id + "/config.json").empty()) t.row({id, ""});
    }
    if (wanted("experiments")) {
        t.section("experiments");
        for (const std::string& id : files.names("experiments", ".toml"))
            t.row({id, Config::load(files.find("experiments/" + id + ".toml")).text_or("title", "")});
    }
    return render(t, format, colour);
}

std::string describe_text(const std::string& what, const Files& files, const SystemLoader& load, Format format,
                          bool colour) {
    std::vector<std::string> known;
    for (const Workload& w : all_workloads()) {
        if (w.name == what) return describe_workload(w, format, colour);
        known.push_back(w.name);
    }
    for (const BackendRow& b : all_backends()) {
        known.push_back(b.name);
        if (b.name != what) continue;
        return describe_backend(b, format, colour);
    }
    if (const std::string reader = reader_of(what, files);
        what != "host" && what != "host-network" && !reader.empty() && files.find("systems/" + what + ".toml").empty())
        return describe_model(what, reader, files, format, colour);
    if (what == "host" || what == "host-network" || !files.find("systems/" + what + ".toml").empty())
        return describe_system(*load(what, {}), format, colour);
    for (const std::string& s : files.names("systems", ".toml")) known.push_back(s);
    for (const std::string& m : files.names("models", "")) known.push_back(m);
    known.insert(known.end(), {"host", "host-network"});
    throw Error({"describe", fmt::format("nothing is called \"{}\"", what), "", did_you_mean(what, known)});
}

double expected_s(const PlannedCase& p) {
    if (!p.refused.empty()) return 0;
    const Protocol& protocol = p.c.protocol;
    if (p.kind != Kind::measured) return std::max(1e-4, p.backend->estimate_s(p.c) * (protocol.verify ? 1.5 : 1));
    double one = p.backend->estimate_s(p.c);
    if (one <= 0) {
        double peak = 0;
        for (const auto& [type, fact] : p.c.system->peak)
            if (type == DType::f32 || peak == 0) peak = fact.value;
        double bandwidth = 0;
        for (const Memory& m : p.c.system->memories)
            if (m.bandwidth) bandwidth = m.bandwidth->value;
        one = std::max(peak > 0 ? p.c.graph->flops().si() / (0.6 * peak) : 0,
                       bandwidth > 0 ? p.c.graph->compulsory_bytes().si() / bandwidth : 0);
    }
    return std::max({one * (protocol.warmup + protocol.min_samples), protocol.min_time.si(), 1e-3}) +
           (protocol.verify ? 0.3 : 0);
}

Bytes expected_memory(const PlannedCase& p) { return plan_memory(*p.c.graph).total(); }

std::string plan_text(const std::vector<PlannedCase>& plan, int ranks, Format format, bool colour) {
    TextTable t({{"case"},
                 {"system"},
                 {"backend"},
                 {"kind"},
                 {"work", Align::right, "", "FLOP"},
                 {"memory", Align::right, "", "B"},
                 {"expected", Align::right, "", "s"},
                 {"remark"}});
    double total = 0;
    int skipped = 0;
    const Graph* last = nullptr;
    Bytes memory{0};
    for (const PlannedCase& p : plan) {
        if (p.c.graph.get() != last) memory = expected_memory(p), last = p.c.graph.get();
        std::string remark = p.refused;
        if (remark.empty()) {
            const Support s = supports(*p.backend, p.c, p.backend->collective() ? ranks : 1);
            if (!s.yes) remark = s.reason;
        }
        const double t_s = remark.empty() ? expected_s(p) : 0;
        total += t_s;
        skipped += remark.empty() ? 0 : 1;
        const double work = p.c.graph->flops().si();
        t.row({p.label,
               fmt::format("{} x{}", p.c.system->id, p.c.units),
               p.c.backend,
               std::string(name(p.kind)),
               {wb::format(Flops(work)), work},
               {wb::format(memory), memory.si()},
               {remark.empty() ? wb::format(Seconds(t_s)) : "", t_s},
               {remark.empty() ? "" : "skipped: " + remark, Emphasis::faint}});
    }
    std::string out = render(t, format, colour);
    if (format == Format::terminal)
        out += fmt::format("\n{} cases, {} of them skipped; about {} in all. Nothing was run.\n", plan.size(), skipped,
                           wb::format(Seconds(total)));
    return out;
}

}  // namespace wb
