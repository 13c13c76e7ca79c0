#pragma once

#include <cstdint>
#include <vector>

#include "core/graph.hpp"

namespace wb::reference {

/// What rank `rank` of `ranks` must hold after a bare collective on buffers filled by (tensor, seed, instance = rank).
/// `total` is the global count: allreduce, reduce_scatter, alltoall, broadcast and send_recv start from `total`
/// elements on every rank, allgather from total / ranks. reduce_scatter leaves total / ranks, all others `total`.
/// send_recv is the ring: each rank gets the buffer of the one before it.
std::vector<double> collective_result(CollectiveKind kind, std::int64_t ranks, std::int64_t rank, std::int64_t total,
                                      const Tensor& tensor, std::uint64_t seed);

/// The elements of one instance as they are before a run, rounded to the tensor's type.
std::vector<double> filled(const Tensor& tensor, std::uint64_t seed, std::int64_t instance, std::int64_t count);

}  // namespace wb::reference
