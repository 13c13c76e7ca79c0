#include <fmt/format.h>
#include <fmt/ranges.h>
#include <omp.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "core/backend.hpp"
#include "core/composition.hpp"
#include "core/error.hpp"
#include "core/fed.hpp"
#include "core/generating.hpp"
#include "kernels/cpu/distributed_session.hpp"
#include "kernels/cpu/players.hpp"
#include "kernels/cpu/subset_session.hpp"

namespace wb {
namespace {

constexpr double assumed_flop_per_second = 1e11;  // order of magnitude of a few cores, for plans only

/// Bytes that can still be used without swapping, from /proc/meminfo.
double available_bytes() {
    std::ifstream in("/proc/meminfo");
    std::string key, unit;
    for (double kib = 0; in >> key >> kib; std::getline(in, unit))
        if (key == "MemAvailable:") return 1024 * kib;
    return static_cast<double>(sysconf(_SC_AVPHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
}

/// How many of `ranks` share this node's memory, as the launcher says; all of them if it says nothing.
int ranks_on_node(int ranks) {
    for (const char* key : {"OMPI_COMM_WORLD_LOCAL_SIZE", "MPI_LOCALNRANKS", "PMI_LOCAL_SIZE"})
        if (const char* text = std::getenv(key)) return std::clamp(std::atoi(text), 1, ranks);
    return ranks;
}

/// Processors this process may use: its OpenMP places where threads are bound (the first thread then stays on one of
/// them), else the mask of the calling thread.
std::vector<int> allowed_cpus() {
    std::vector<int> all;
    for (int place = 0; place < omp_get_num_places(); ++place) {
        std::vector<int> ids(static_cast<std::size_t>(omp_get_place_num_procs(place)));
        omp_get_place_proc_ids(place, ids.data());
        all.insert(all.end(), ids.begin(), ids.end());
    }
    if (!all.empty()) return all;
    cpu_set_t set;
    CPU_ZERO(&set);
    sched_getaffinity(0, sizeof set, &set);
    for (int i = 0; i < CPU_SETSIZE; ++i)
        if (CPU_ISSET(i, &set)) all.push_back(i);
    return all;
}

/// Threads of one rank: the processors it may use, shared with the ranks of this node that may use the same.
/// Collective.
int threads_of(const Case& c, Comm& comm) {
    const std::vector<int> cpus = allowed_cpus();
    char host[256] = {};
    gethostname(host, sizeof host - 1);
    const std::string mine = fmt::format("{} {}", host, fmt::join(cpus, " "));
    std::map<std::string, int> sharers;
    std::string all = "\n";
    for (const std::string& place : comm.gather(mine)) ++sharers[place];
    for (const auto& [place, n] : sharers) all += fmt::format("{}={}\n", place, n);
    all = comm.share(all);
    if (c.threads > 0) return c.threads;
    const std::size_t at = all.find("\n" + mine + "=");
    WB_EXPECT(at != std::string::npos);
    return std::max(1, static_cast<int>(cpus.size()) / std::atoi(all.c_str() + at + mine.size() + 2));
}

std::string unsupported_type(const Graph& g) {
    const bool products = std::all_of(g.ops().begin(), g.ops().end(), [](const Op& op) {
        return op.kind == OpKind::matmul || op.kind == OpKind::collective;
    });
    for (const Tensor& t : g.tensors()) {
        if (t.dtype == DType::f32 || t.dtype == DType::bf16 || t.dtype == DType::int32) continue;
        if (t.dtype == DType::f64 && products) continue;
        return fmt::format("the CPU backend has no {}{}", name(t.dtype),
                           t.dtype == DType::f64 ? " but for matrix products" : "");
    }
    return {};
}

/// Compositions and what is fed data speak with all ranks of a job; a bare workload may leave some out.
bool on_some_ranks(const Case& c) {
    return c.graph->phases().empty() && !generation_of(*c.graph) && !FedSession::feeds(c);
}

bool says_how_to_sum(const Mapping& mapping) {
    const std::vector<std::string> words = cpu::sum_words();
    return std::find(words.begin(), words.end(), mapping.algorithm) != words.end();
}

class Cpu final : public Backend {
public:
    Kind kind() const override { return Kind::measured; }
    bool composes() const override { return true; }

    Support supports(const Case& c, int ranks) const override {
        if (c.system->kind != SystemKind::host)
            return Support::no(fmt::format("the CPU backend runs on this host, not on {}", c.system->title));
        const int units = c.mapping.units();
        const bool fewer = units < ranks && on_some_ranks(c);
        if (units != c.mapping.tensor * c.mapping.data || (units != ranks && !fewer))
            return Support::no(
                fmt::format("the CPU backend shares a workload by tensor and data parallelism among "
                            "{} {} ranks, not by the mapping {}",
                            on_some_ranks(c) ? "at most" : "all", ranks, c.mapping.text()));
        if (std::string reason = cpu::distributed_refusal(*c.graph, c.mapping);
            !reason.empty() && !says_how_to_sum(c.mapping))
            return Support::no(reason);
        for (const Graph* g : c.graph->leaves())
            if (std::string reason = unsupported_type(*g); !reason.empty()) return Support::no(reason);
        try {
            std::vector<const Graph*> graphs = c.graph->leaves();
            std::optional<GenerationPrograms> programs;
            if (const std::optional<Generation> generation = generation_of(*c.graph)) {
                programs.emplace(*generation);
                graphs = {programs->prefill.get(), programs->decode.get()};
            }
            double needed = 0;
            for (int r : {0, units - 1}) needed = std::max(needed, memory_needed(graphs, c.mapping, r));
            const int sharing = ranks_on_node(ranks);
            const double available = available_bytes() / sharing;
            if (needed > available)
                return Support::no(
                    fmt::format("needs {:.2f} GB a rank, {:.2f} GB are available to each of the {} on this node",
                                needed / 1e9, available / 1e9, sharing));
        } catch (const Error& e) {
            return Support::no(e.what());
        }
        return {};
    }

    bool takes_mesh() const override { return true; }
    std::vector<std::string> algorithms() const override {
        std::vector<std::string> out = cpu::distributed_words();
        for (std::string& word : cpu::sum_words()) out.push_back(std::move(word));
        return out;
    }

    std::unique_ptr<Session> prepare(const Case& c, Comm& comm) const override {
        const int threads = threads_of(c, comm);
        const auto make = [&c, threads](Comm& ranks) -> std::unique_ptr<Session> {
            const auto players = [&] { return std::make_unique<cpu::CpuPlayers>(c.seed, ranks, threads); };
            if (const std::optional<Generation> generation = generation_of(*c.graph))
                return std::make_unique<GeneratingSession>(c, *generation, ranks, players());
            if (!c.mapping.algorithm.empty() && !says_how_to_sum(c.mapping))
                return std::make_unique<cpu::DistributedSession>(c, ranks, threads);
            if (!c.graph->phases().empty()) return std::make_unique<Composition>(c, ranks, players());
            auto alone = std::make_unique<cpu::CpuSession>(c, ranks, threads);
            if (FedSession::feeds(c)) return std::make_unique<FedSession>(c, ranks, std::move(alone));
            return alone;
        };
        return c.mapping.units() < comm.size() ? cpu::on_first_ranks(c.mapping.units(), comm, make) : make(comm);
    }

    double estimate_s(const Case& c) const override { return c.graph->flops().si() / assumed_flop_per_second; }
};

}  // namespace

std::unique_ptr<Backend> make_cpu() { return std::make_unique<Cpu>(); }

}  // namespace wb
