#pragma once

#include <memory>
#include <vector>

#include "core/player.hpp"
#include "kernels/cuda/session.hpp"

namespace wb::cuda {

/// One device as a composition sees it.
class CudaPlayers final : public Players {
public:
    /// `comm` must outlive this. Device `index`.
    CudaPlayers(std::uint64_t seed, Comm& comm, int index);

    std::unique_ptr<Player> open(const Case& c) override {
        return std::make_unique<CudaSession>(c, comm_, index_, &pool_);
    }
    void fill() override;
    std::vector<StoredPiece> pieces() override { return pool_.copied(queue_.stream()); }
    void put_back() override;
    Bytes bytes(Role role) const override { return pool_.bytes(role); }
    std::optional<Joules> energy() const override;
    std::vector<MemoryUse> memory() const override;

private:
    const std::uint64_t seed_;
    Comm& comm_;
    const int index_;
    const Device device_;
    Queue queue_;
    Pool pool_;
    Telemetry telemetry_;
};

}  // namespace wb::cuda
