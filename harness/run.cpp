#include "harness/run.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <map>

#include "core/suggest.hpp"
#include "harness/campaign.hpp"
#include "harness/environment.hpp"
#include "harness/host.hpp"
#include "harness/host_network.hpp"
#include "harness/mpi_comm.hpp"

namespace wb {
namespace {

namespace fs = std::filesystem;

bool told_to_oversubscribe(const RunOptions& options) {
    const char* mca = std::getenv("OMPI_MCA_rmaps_base_oversubscribe");  // what `mpirun --oversubscribe` sets
    return options.oversubscribe || (mca && std::string(mca) == "1");
}

void refuse_oversubscription(const RunOptions& options, const std::vector<PlannedCase>& plan, Comm& comm) {
    const int cpus = job_cpus(comm), ranks = ranks_on_node();
    bool real = false;
    int most = default_threads(comm);
    for (const PlannedCase& p : plan)
        if (p.kind == Kind::measured) real = true, most = std::max(most, p.c.threads);
    if (!real) return;
    if (told_to_oversubscribe(options)) return;
    check_threads(most * ranks, cpus, false, {ranks, 1, "waferbench run " + options.experiment});
}

/// Opens what the cases train on, each file once. Throws Error where a model has no embedding for its ids.
void open_data(std::vector<PlannedCase>& plan, const Files& files, Comm& comm) {
    std::map<std::string, std::shared_ptr<TokenSource>> opened;
    for (PlannedCase& p : plan) {
        if (p.kind != Kind::measured || !p.c.params.has("data") || p.c.params.word("data").empty()) continue;
        const std::string& data = p.c.params.word("data");
        if (!opened[data]) opened[data] = open_tokens(data, files, comm);
        p.tokens = opened[data];
        const Dataset& d = p.tokens->dataset();
        for (const Graph* g : p.c.graph->leaves())
            for (const Op& op : g->ops())
                if (op.kind == OpKind::embed && g->tensor(op.in[0]).name == "tokens" &&
                    g->tensor(op.in[1]).shape[0] < d.vocabulary)
                    throw Error({"data = " + data,
                                 fmt::format("has a vocabulary of {}, the model one of {}", d.vocabulary,
                                             g->tensor(op.in[1]).shape[0]),
                                 "there is no embedding for the rest", "Use the tokeniser of the model."});
    }
}

}  // namespace

int default_threads(Comm& comm) {
    int asked = 0;
    if (const char* text = std::getenv("OMP_NUM_THREADS"))
        std::from_chars(text, text + std::strlen(text), asked);  // the launcher's word, if it is a number
    if (asked > 0) return asked;
    const int mine = static_cast<int>(allowed_cpus().size()), all = job_cpus(comm), ranks = ranks_on_node();
    return std::max(1, mine < all || ranks == 1 ? mine : all / ranks);
}

Experiment load_experiment(const RunOptions& options, const Files& files, Comm& comm) {
    std::string path = options.experiment;
    std::error_code ignored;
    if (!fs::exists(path, ignored)) {
        const std::string named = files.find("experiments/" + path + ".toml");
        if (named.empty() && path.find('/') == std::string::npos && path.find(".toml") == std::string::npos)
            throw Error({"run", fmt::format("there is no experiment \"{}\"", path), "",
                         did_you_mean(path, files.names("experiments", ".toml")) + " Or give a TOML file."});
        if (!named.empty()) path = named;
    }
    Config config = Config::load(path);
    for (const std::string& s : options.set) {
        const std::size_t eq = s.find('=');
        if (eq == std::string::npos)
            throw Error({"--set " + s, "has no \"=\"", "", "Write --set protocol.min_time=\"0.5 s\"."});
        config.set(s.substr(0, eq), s.substr(eq + 1));
    }
    std::map<std::string, std::shared_ptr<const System>> loaded;
    Experiment e =
        read_experiment(config, [&](const std::string& id, const std::map<std::string, std::string>& choices) {
            std::string key = id;
            for (const auto& [k, v] : choices) key += "|" + k + "=" + v;
            auto& s = loaded[key];
            if (s) return s;
            if (id == "host") return s = host_system(files, comm, choices, options.measure_again);
            if (id == "host-network") return s = host_network(files, comm, choices);
            const std::string file = files.find("systems/" + id + ".toml");
            if (file.empty()) {
                std::vector<std::string> known = files.names("systems", ".toml");
                known.insert(known.end(), {"host", "host-network"});
                throw Error({"", fmt::format("there is no system \"{}\"", id), "", did_you_mean(id, known)});
            }
            return s = std::make_shared<const System>(load_system(file, choices));
        });
    if (!options.mapping.empty()) force_mapping(e, options.mapping);
    return e;
}

Exit run_experiment(const RunOptions& options, const Files& files, Comm& comm) {
    const Experiment e = load_experiment(options, files, comm);
    const BackendSet backends;
    std::vector<PlannedCase> plan = expand(e, files, backends, comm.size(), options.filter);
    if (plan.empty())
        throw Error({"--filter", fmt::format("\"{}\" leaves no case", options.filter), "there is nothing to run",
                     "`waferbench plan` lists them."});
    refuse_oversubscription(options, plan, comm);
    open_data(plan, files, comm);
    const int threads = default_threads(comm);
    for (PlannedCase& p : plan)
        if (p.c.threads == 0 && p.kind == Kind::measured) p.c.threads = threads;
    Campaign campaign(options, e, std::move(plan), backends, comm, threads);
    campaign.begin();
    campaign.work();
    return campaign.end();
}

}  // namespace wb
