#pragma once

#include <memory>
#include <vector>

#include "core/player.hpp"
#include "kernels/cpu/counter.hpp"
#include "kernels/cpu/session.hpp"

namespace wb::cpu {

/// This host as a composition sees it.
class CpuPlayers final : public Players {
public:
    /// `comm` must outlive this. `threads` >= 1.
    CpuPlayers(std::uint64_t seed, Comm& comm, int threads) : seed_(seed), comm_(comm), threads_(threads) {}

    std::unique_ptr<Player> open(const Case& c) override {
        return std::make_unique<CpuSession>(c, comm_, threads_, &pool_);
    }
    void fill() override { pool_.fill(seed_, comm_.rank(), threads_); }
    std::vector<StoredPiece> pieces() override { return pool_.pieces(); }
    void put_back() override {}  // pieces are the memory itself
    Bytes bytes(Role role) const override { return pool_.bytes(role); }
    std::optional<Joules> energy() const override;
    void count_misses() override { misses_ = std::make_unique<MissCounter>(); }
    std::optional<Bytes> missed() const override { return misses_ ? misses_->read() : std::nullopt; }
    std::vector<MemoryUse> memory() const override;
    std::vector<double> choices() const override;
    void adopt(const std::vector<double>& found) override;

private:
    const std::uint64_t seed_;
    Comm& comm_;
    const int threads_;
    Pool pool_;
    std::unique_ptr<MissCounter> misses_;
};

}  // namespace wb::cpu
