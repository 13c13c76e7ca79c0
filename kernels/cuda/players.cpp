#include "kernels/cuda/players.hpp"

namespace wb::cuda {

CudaPlayers::CudaPlayers(std::uint64_t seed, Comm& comm, int index)
    : seed_(seed), comm_(comm), index_(index), device_((use_device(index), device(index))), telemetry_(device_.bus) {}

void CudaPlayers::fill() {
    pool_.fill(seed_, comm_.rank(), queue_.stream());
    queue_.wait();  // sessions have queues of their own
}

void CudaPlayers::put_back() {
    pool_.put_back(queue_.stream());
    queue_.wait();
}

std::optional<Joules> CudaPlayers::energy() const {
    const std::optional<double> joules = telemetry_.joules();
    return joules ? std::optional(Joules(*joules)) : std::nullopt;
}

std::vector<MemoryUse> CudaPlayers::memory() const {
    return {{"device", Bytes(static_cast<double>(device_.memory_bytes)),
             Bytes(static_cast<double>(device_.memory_bytes - free_bytes())), Bytes(0)}};
}

}  // namespace wb::cuda
