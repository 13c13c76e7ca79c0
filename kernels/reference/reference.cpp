#include "kernels/reference/reference.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <chrono>

#include "core/error.hpp"
#include "kernels/reference/collective.hpp"
#include "kernels/reference/execution.hpp"
#include "kernels/reference/generating.hpp"
#include "kernels/reference/spot_values.hpp"

namespace wb {
namespace {

constexpr double most_flop = 2e11;  // some minutes of plain loops
constexpr double share_of_memory = 0.6;
constexpr double flop_per_second = 1e9;  // order of magnitude of plain loops in double on one core, for plans only

double physical_bytes() {
    return static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGE_SIZE));
}

class ReferenceSession final : public Session {
public:
    explicit ReferenceSession(const Case& c) : graph_(c.graph), execution_(*graph_, c.seed) {}

    Sample run() override {
        const auto start = std::chrono::steady_clock::now();
        execution_.run();
        return {Seconds(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()), {}};
    }
    std::optional<Outputs> outputs() override { return execution_.outputs(); }
    void poison() override { execution_.poison(); }
    ResourceUse usage() const override {
        ResourceUse use;
        use.memory.push_back({"memory", Bytes(physical_bytes()), Bytes(reference::bytes_held(*graph_)), Bytes(0)});
        use.useful = graph_->flops();
        use.mapping = Mapping{}.text();
        use.detail = "plain loops in float64, one thread";
        return use;
    }

private:
    std::shared_ptr<const Graph> graph_;
    reference::Execution execution_;
};

/// A bare collective among several ranks: what each of them must hold, from the fills alone.
class CollectiveSession final : public Session {
public:
    explicit CollectiveSession(const Case& c) : graph_(c.graph), ranks_(c.mapping.tensor), seed_(c.seed) {}

    Sample run() override { return {}; }
    std::optional<Outputs> outputs() override {
        const Op& op = graph_->ops().front();
        const Tensor &in = graph_->tensor(op.in[0]), &out = graph_->tensor(op.out[0]);
        const CollectiveKind kind = op.attributes.collective;
        const bool alike =
            kind == CollectiveKind::allreduce || kind == CollectiveKind::allgather || kind == CollectiveKind::broadcast;
        Outputs all;
        for (int r = 0; r < ranks_; ++r)
            all.push_back({out.name, op.out[0], r, out.dtype,
                           alike && r > 0
                               ? all.front().values
                               : reference::collective_result(kind, ranks_, r, elements(in.shape), in, seed_)});
        return all;
    }
    ResourceUse usage() const override { return {}; }

private:
    std::shared_ptr<const Graph> graph_;
    int ranks_;
    std::uint64_t seed_;
};

/// All tokens of a generation, with caches that grow.
class GeneratingSession final : public Session {
public:
    GeneratingSession(const Case& c, Generation generation)
        : generation_(std::move(generation)),
          choice_{c.params.has("temperature") ? c.params.number("temperature") : 0, c.seed} {
        if (!c.storage || !c.storage->dataset()) return;
        std::vector<std::int32_t> ids(static_cast<std::size_t>(generation_.prompt.batch * generation_.prompt.step));
        c.storage->read_tokens(Split::training, 0, ids);
        prompt_.assign(ids.begin(), ids.end());
    }

    Sample run() override {
        const auto start = std::chrono::steady_clock::now();
        outputs_ = reference::generate(generation_, choice_, choice_.seed, prompt_);
        return {Seconds(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count()), {}};
    }
    std::optional<Outputs> outputs() override { return outputs_; }
    ResourceUse usage() const override { return {}; }

private:
    Generation generation_;
    TokenChoice choice_;
    std::vector<double> prompt_;  // empty: hashed
    Outputs outputs_;
};

bool bare_collective(const Graph& g) { return g.ops().size() == 1 && g.ops().front().kind == OpKind::collective; }

class Reference final : public Backend {
public:
    Kind kind() const override { return Kind::measured; }

    Support supports(const Case& c, int) const override {
        if (c.mapping.units() != 1 && !(bare_collective(*c.graph) && c.mapping.units() == c.mapping.tensor))
            return Support::no(
                fmt::format("the reference is one unit, the mapping {} has {}", c.mapping.text(), c.mapping.units()));
        for (const Tensor& t : c.graph->tensors())
            if (is_class(t.dtype))
                return Support::no(fmt::format("tensor \"{}\" has the unresolved type {}", t.name, name(t.dtype)));
        const double flop = c.graph->flops().si();
        if (flop > most_flop)
            return Support::no(
                fmt::format("{:.3g} FLOP are more than the {:.3g} that plain loops may take", flop, most_flop));
        return {};
    }

    std::unique_ptr<Session> prepare(const Case& c, Comm&) const override {
        if (std::optional<Generation> generation = generation_of(*c.graph))
            return std::make_unique<GeneratingSession>(c, std::move(*generation));
        const double needed = reference::bytes_held(*c.graph), allowed = share_of_memory * physical_bytes();
        if (needed > allowed)
            throw Error({c.graph->name(), fmt::format("needs {:.2f} GB in float64", needed / 1e9),
                         fmt::format("the reference may use {:.2f} GB, {:.0f} % of this machine's memory",
                                     allowed / 1e9, 100 * share_of_memory),
                         "Use a smaller size."});
        if (c.mapping.units() > 1) return std::make_unique<CollectiveSession>(c);
        return std::make_unique<ReferenceSession>(c);
    }

    std::vector<SpotValue> spot_values(const Case& c, int count) const override {
        return reference::spot_values(*c.graph, c.seed, count);
    }
    bool collective() const override { return false; }
    double estimate_s(const Case& c) const override { return c.graph->flops().si() / flop_per_second; }
};

}  // namespace

std::unique_ptr<Backend> make_reference() { return std::make_unique<Reference>(); }

namespace reference {

Outputs execute(const Graph& graph, std::uint64_t seed, int runs) {
    WB_EXPECT(runs >= 1);
    Execution execution(graph, seed);
    for (int i = 0; i < runs; ++i) execution.run();
    return execution.outputs();
}

}  // namespace reference
}  // namespace wb
