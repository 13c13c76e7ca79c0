#pragma once

#include <memory>
#include <string>
#include <vector>

#include "core/backend.hpp"
#include "core/counted_comm.hpp"
#include "kernels/cpu/distributed_gemm.hpp"

namespace wb::cpu {

/// Words for Mapping::algorithm: the spreads, and "distributed" for the fastest of them, found by trial.
std::vector<std::string> distributed_words();

/// Why `graph` cannot be computed as `mapping` names it over mapping.tensor ranks; empty if it can, or names no spread.
std::string distributed_refusal(const Graph& graph, const Mapping& mapping);

/// One product whose matrices lie in blocks on a grid of ranks: mapping.algorithm says how it is spread, mapping.rows
/// and columns over which grid (0: the one that moves least).
class DistributedSession final : public Session {
public:
    /// Collective over `comm`, which must outlive it.
    DistributedSession(const Case& c, Comm& comm, int threads);

    Sample run() override;
    std::optional<Outputs> outputs() override;
    void poison() override;
    ResourceUse usage() const override;

private:
    struct Way {
        Spread spread;
        RankGrid grid;
        std::int64_t width;
    };
    std::vector<Way> ways() const;
    std::unique_ptr<DistributedGemm> make(const Way& way);
    void use(const Way& way);
    void choose();
    void fill_inputs();
    double run_once();

    std::shared_ptr<const Graph> whole_;
    Mapping mapping_;
    std::uint64_t seed_;
    int threads_;
    CommLedger ledger_;
    std::unique_ptr<Comm> comm_;  // counted
    DistributedShape shape_;
    Way way_{};
    std::unique_ptr<DistributedGemm> gemm_;
    Buffer a_, b_, c_;
};

}  // namespace wb::cpu
