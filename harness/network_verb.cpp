// Reads and prints: compiled at -O1.
#include "harness/network_verb.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <memory>

#include "core/tables.hpp"
#include "core/units.hpp"
#include "harness/host.hpp"
#include "harness/host_network.hpp"
#include "harness/mpi_comm.hpp"
#include "harness/plan.hpp"
#include "harness/reduction_fit.hpp"
#include "harness/text_table.hpp"

namespace wb {
namespace {

struct NetworkOptions {
    std::string output, budget = "20 s", largest = "4 MiB";
};

constexpr const char* footer = R"help(Example:
  mpirun -n 2 waferbench network            measure, fit, store; then `use = "host-network"` names it in experiments
  mpirun -n 2 waferbench network --largest "64 KiB" --budget "5 s" --format csv   short messages, for a spreadsheet
  waferbench describe host                  shows what is stored)help";

std::string today() {
    const std::time_t t = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&t, &parts);
    return fmt::format("{:%Y-%m-%d}", parts);
}

std::string render(const TextTable& t, Format format, bool colour) {
    switch (format) {
        case Format::markdown: return t.markdown();
        case Format::csv: return t.csv();
        case Format::json: return t.json();
        case Format::latex: return t.latex();
        default: return t.terminal(colour);
    }
}

Cell time_cell(double s) { return {format(Seconds(s)), s}; }
Cell rate_cell(double bytes, double s) { return {format(BytesPerSecond(bytes / s)), bytes / s}; }

void message_rows(TextTable& t, const NetworkFigures& f) {
    t.section("messages, all ranks in pairs");
    for (const double bytes : f.sizes("latency"))
        t.row({format(Bytes(bytes)),
               time_cell(f.at("latency", bytes)),
               rate_cell(bytes, f.at("bandwidth", bytes)),
               {fmt::format("{:.3g} k/s", 1e-3 / f.at("bandwidth", bytes)), 1 / f.at("bandwidth", bytes)},
               rate_cell(2 * bytes, f.at("bidirectional", bytes)),
               time_cell(f.at("exchange", bytes)),
               time_cell(f.at("add", bytes)),
               time_cell(f.at("copy", bytes))});
}

/// What the cluster model says of a collective of ranks on that system.
double predicted_s(const Backend& model, const std::shared_ptr<const System>& system, const std::string& op,
                   double bytes, int ranks) {
    Case c;
    c.workload = "collective";
    c.graph = std::make_shared<const Graph>(build_workload(
        "collective", {{"op", op}, {"bytes", fmt::format("{:.0f} B", bytes)}, {"dtype", "f32"}}, Files({})));
    c.small = c.graph;
    c.system = system;
    c.backend = "cluster";
    c.units = ranks;
    const Support support = model.supports(c, 1);
    if (!support.yes) throw Error({"network", support.reason, "the collective cannot be predicted", ""});
    return model.prepare(c, *single_process())->run().elapsed.si();
}

/// Rows of predicted beside measured; the sentence that sums them up.
std::string collective_rows(TextTable& t, const NetworkFigures& f, const std::shared_ptr<const System>& system,
                            const Backend& model) {
    std::vector<double> all;
    std::string out;
    for (const char* op : {"allreduce", "allgather", "reduce_scatter", "broadcast", "alltoall"}) {
        t.section(op);
        std::vector<double> errors;
        for (const double bytes : f.sizes(op)) {
            const double measured = f.at(op, bytes), said = predicted_s(model, system, op, bytes, f.ranks);
            errors.push_back(std::abs(said / measured - 1));
            t.row({format(Bytes(bytes)),
                   time_cell(measured),
                   time_cell(said),
                   {fmt::format("{:+.0f} %", 100 * (said / measured - 1)), said / measured - 1}});
        }
        all.insert(all.end(), errors.begin(), errors.end());
        std::sort(errors.begin(), errors.end());
        out += fmt::format("{}{} {:.0f} %", out.empty() ? "" : ", ", op, 100 * errors[errors.size() / 2]);
    }
    std::sort(all.begin(), all.end());
    return fmt::format(
        "Predicted from single messages, error of the median collective: {:.0f} % (worst {:.0f} %, {} of {} "
        "within 15 %); {}.\nBarrier: {}.\n",
        100 * all[all.size() / 2], 100 * all.back(),
        std::count_if(all.begin(), all.end(), [](double e) { return e <= 0.15; }), all.size(), out,
        format(Seconds(f.at("barrier", 0))));
}

void store(const std::string& path, const std::string& text) {
    std::error_code ignored;
    std::filesystem::create_directories(std::filesystem::path(path).parent_path(), ignored);
    const std::string aside = fmt::format("{}.{}", path, getpid());
    const bool written = static_cast<bool>(std::ofstream(aside, std::ios::binary) << text << std::flush);
    std::error_code problem;
    if (written) std::filesystem::rename(aside, path, problem);
    if (!written || problem)
        throw Error({path, "could not be written", "the figures would be lost", "Name another file: --output."},
                    Exit::io);
}

/// Why the times may be of waiting for a processor and not for messages; empty if nothing says so.
std::string busy_reason(int ranks, int cpus) {
    double load = 0;
    if (ranks > cpus) return fmt::format("{} ranks took turns on {} CPUs", ranks, cpus);
    if (getloadavg(&load, 1) != 1 || load + ranks <= cpus + 0.5) return "";
    return fmt::format("other programs were at work on {} CPUs, load average {:.1f} before {} ranks began", cpus, load,
                       ranks);
}

template <class Q>
double amount(const std::string& text, const char* option) {
    try {
        return parse<Q>(text).si();
    } catch (const UnitProblem& p) {
        throw p.at(option);
    }
}

Exit measure_network(const NetworkOptions& o, const VerbContext& context) {
    Comm& comm = context.comm;
    if (comm.size() < 2)
        throw Error(
            {"network", "one rank has nobody to send to", "", "Start it as \"mpirun -n 2 waferbench network\"."});
    const double budget_s = amount<Seconds>(o.budget, "--budget"), largest = amount<Bytes>(o.largest, "--largest");
    if (!(largest >= 4096 && largest <= 1 << 26))
        throw Error({"--largest", fmt::format("is {}", o.largest), "the protocols of a library change on the way there",
                     "Use 4 KiB to 64 MiB."});
    const auto host = host_system(context.files(), comm, {});
    const std::string busy = busy_reason(ranks_on_node(), job_cpus(comm));
    const NetworkFigures figures = probe_network(comm, budget_s, largest);
    if (comm.rank() != 0) return Exit::ok;
    if (!busy.empty())
        fmt::print(stderr,
                   "warning: {}: ranks wait for the processor, not for messages. Wait until the machine is idle; start "
                   "no more ranks than CPUs.\n",
                   busy);
    const LogGP fit = fit_loggp(figures);
    const std::string path = o.output.empty() ? host_network_file(comm.size()) : o.output;
    std::string text = host_network_toml(figures, fit, *host, today(), busy);
    const BackendSet backends;
    const Backend& model = backends.require("cluster", "network");
    const auto predict = [&](const System& s, const std::string& op, double bytes) {
        return predicted_s(model, std::make_shared<const System>(s), op, bytes, figures.ranks);
    };
    text += fit_reductions(figures, parse_system(text, path, "host-network"), predict).toml();
    const auto system = std::make_shared<const System>(parse_system(text, path, "host-network"));
    TextTable messages({{"bytes", Align::right},
                        {"latency", Align::right, "", "s"},
                        {"bandwidth", Align::right, "", "B/s"},
                        {"messages", Align::right, "", "1/s"},
                        {"bidirectional", Align::right, "", "B/s"},
                        {"exchange", Align::right, "", "s"},
                        {"add", Align::right, "", "s"},
                        {"copy", Align::right, "", "s"}});
    message_rows(messages, figures);
    TextTable collectives({{"bytes", Align::right},
                           {"measured", Align::right, "", "s"},
                           {"predicted", Align::right, "", "s"},
                           {"off by", Align::right, "", "1"}});
    const std::string summary = collective_rows(collectives, figures, system, model);
    store(path, text);
    fmt::print("{}\n{}", render(messages, context.format(), context.colour),
               render(collectives, context.format(), context.colour));
    if (context.format() == Format::terminal || context.format() == Format::markdown)
        fmt::print("\n{}Stored: {}\n{}", summary, path, o.output.empty() ? host_network_text() : "");
    return Exit::ok;
}

}  // namespace

void define_network_verb(CLI::App& app, const VerbContext& context) {
    const auto o = std::make_shared<NetworkOptions>();
    auto* verb = app.add_subcommand("network", "measure MPI between the ranks of this job, fit LogGP, store both");
    verb->footer(footer);
    verb->add_option("--output,-o", o->output,
                     "system file to write (default: in the user's cache, found as host-network)");
    verb->add_option("--budget", o->budget, "how long to measure")->capture_default_str();
    verb->add_option("--largest", o->largest, "largest message")->capture_default_str();
    verb->callback([o, context] { context.chosen = [o, context] { return measure_network(*o, context); }; });
}

}  // namespace wb
