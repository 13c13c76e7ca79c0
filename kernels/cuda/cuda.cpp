#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "core/backend.hpp"
#include "core/composition.hpp"
#include "core/error.hpp"
#include "core/fed.hpp"
#include "core/generating.hpp"
#include "kernels/cuda/players.hpp"

namespace wb {
namespace {

constexpr double assumed_flop_per_second = 1e14;  // order of magnitude of one device, for plans only
constexpr int least_major = 8;                    // matrix units that take bf16, and copies that do not wait
constexpr double like_capacity = 0.1;             // what a device keeps for itself, and binary against decimal prefixes

/// The device of this rank: those of a node go round.
int device_of(int rank, int devices) {
    for (const char* key : {"OMPI_COMM_WORLD_LOCAL_RANK", "MPI_LOCALRANKID", "PMI_LOCAL_RANK", "SLURM_LOCALID"})
        if (const char* text = std::getenv(key)) return std::atoi(text) % devices;
    return rank % devices;
}

/// How the device at hand differs from what the system file says of a unit; empty if it does not.
std::string difference(const System& system, const cuda::Device& device) {
    if (system.parts && std::lround(system.parts->value) != device.processors)
        return fmt::format("{} has {:.0f} {}s, the device here, {}, has {}", system.title, system.parts->value,
                           system.parts_name, device.name, device.processors);
    double capacity = 0;
    for (const Memory& m : system.memories)
        if (m.capacity) capacity = std::max(capacity, m.capacity->value);
    const auto here = static_cast<double>(device.memory_bytes);
    if (capacity > 0 && std::abs(here - capacity) > like_capacity * capacity)
        return fmt::format("{} has {:.0f} GB of memory, the device here, {}, has {:.0f} GB", system.title,
                           capacity / 1e9, device.name, here / 1e9);
    return {};
}

bool only_products(const Graph& g) {
    return std::all_of(g.ops().begin(), g.ops().end(),
                       [](const Op& op) { return op.kind == OpKind::matmul || op.kind == OpKind::collective; });
}

std::string unsupported(const Graph& g) {
    const bool products = only_products(g);
    for (const Tensor& t : g.tensors()) {
        if (t.dtype == DType::f32 || t.dtype == DType::bf16 || t.dtype == DType::f16 || t.dtype == DType::int32)
            continue;
        if (t.dtype == DType::fp4 || is_class(t.dtype)) return fmt::format("the CUDA backend has no {}", name(t.dtype));
        if (t.dtype == DType::fp8_e5m2) return "no matrix unit multiplies two fp8_e5m2 matrices";
        if (!products) return fmt::format("the CUDA backend has {} for matrix products only", name(t.dtype));
    }
    for (const Op& op : g.ops()) {
        if (op.kind == OpKind::matmul && op.in.size() > 2 && bits(g.tensor(op.in[0]).dtype) == 8)
            return "the CUDA backend adds no bias to 8-bit products";
        if (op.kind == OpKind::adamw && g.tensor(op.in[0]).dtype == DType::f32 && op.in.size() > 4)
            return "the CUDA backend keeps no second copy of f32 weights";
    }
    return {};
}

class Cuda final : public Backend {
public:
    Kind kind() const override { return Kind::measured; }
    bool suits(SystemKind kind) const override { return kind == SystemKind::cluster; }
    std::vector<std::string> algorithms() const override {
        return {std::string(cuda::cold), std::string(cuda::unrecorded), std::string(cuda::separate),
                std::string(cuda::by_mpi)};
    }

    Support supports(const Case& c, int ranks) const override {
        if (c.system->kind != SystemKind::cluster)
            return Support::no(fmt::format("the CUDA backend runs on GPUs, not on {}", c.system->title));
        const cuda::Devices all = cuda::devices();
        if (all.count == 0) return Support::no(fmt::format("no CUDA device: {}", all.why_none));
        const cuda::Device device = cuda::device(0);
        if (device.major < least_major)
            return Support::no(fmt::format("{} is of compute capability {}.{}, {}.0 is needed", device.name,
                                           device.major, device.minor, least_major));
        if (std::string other = difference(*c.system, device); !other.empty()) return Support::no(std::move(other));
        if (ranks > 1 && c.mapping.algorithm != cuda::by_mpi && !cuda::no_collectives().empty())
            return Support::no(cuda::no_collectives());
        const int units = c.mapping.units();
        if (units != c.mapping.tensor * c.mapping.data || units != ranks)
            return Support::no(
                fmt::format("the CUDA backend shares a workload by tensor and data parallelism among "
                            "all {} ranks, not by the mapping {}",
                            ranks, c.mapping.text()));
        for (const Graph* g : c.graph->leaves())
            if (std::string reason = unsupported(*g); !reason.empty()) return Support::no(std::move(reason));
        return fits(c, ranks);
    }

    bool composes() const override { return true; }

    std::unique_ptr<Session> prepare(const Case& c, Comm& comm) const override {
        const int index = device_of(comm.rank(), cuda::devices().count);
        const auto players = [&] { return std::make_unique<cuda::CudaPlayers>(c.seed, comm, index); };
        if (const std::optional<Generation> generation = generation_of(*c.graph))
            return std::make_unique<GeneratingSession>(c, *generation, comm, players());
        if (!c.graph->phases().empty()) return std::make_unique<Composition>(c, comm, players());
        auto alone = std::make_unique<cuda::CudaSession>(c, comm, index);
        if (FedSession::feeds(c)) return std::make_unique<FedSession>(c, comm, std::move(alone));
        return alone;
    }

    double estimate_s(const Case& c) const override { return c.graph->flops().si() / assumed_flop_per_second; }

private:
    static Support fits(const Case& c, int ranks) {
        try {
            std::vector<const Graph*> graphs = c.graph->leaves();
            std::optional<GenerationPrograms> programs;
            if (const std::optional<Generation> generation = generation_of(*c.graph)) {
                programs.emplace(*generation);
                graphs = {programs->prefill.get(), programs->decode.get()};
            }
            double needed = 0;
            for (int r : {0, ranks - 1})
                needed = std::max(needed, memory_needed(graphs, c.mapping, r, cuda::place_alignment));
            const auto available = static_cast<double>(cuda::free_bytes());
            if (needed > available)
                return Support::no(
                    fmt::format("needs {:.2f} GB of device memory, {:.2f} GB are free", needed / 1e9, available / 1e9));
        } catch (const Error& e) {
            return Support::no(e.what());
        }
        return {};
    }
};

}  // namespace

std::unique_ptr<Backend> make_cuda() { return std::make_unique<Cuda>(); }

}  // namespace wb
