#pragma once

#include <cstddef>
#include <vector>

#include "core/memory_plan.hpp"
#include "core/part.hpp"

namespace wb::cpu {

/// A sum over the ranks of one model that may go on while they compute.
struct Overlap {
    int sum = -1;      ///< the allreduce
    int product = -1;  ///< the matrix product it sums, where that may be computed in slices of rows; -1: none
    int block = 0;
    std::size_t from = 0, to = 0;  ///< steps of the block from the first of both to the wait
};

/// One thing a rank does: an op, or the wait for the sum that op began.
struct Step {
    int op;
    int wait_for = -1;  ///< of OverlapPlan::sums
};

/// In which order a rank computes its ops, so that sums over ranks have something to hide behind: whatever a sum's
/// summand does not need comes after its beginning, and it is waited for before its first reader (Megatron-LM,
/// Narayanan et al. SC 2021, runs the sum of an input's gradient beside the product for the weight's).
struct OverlapPlan {
    std::vector<Overlap> sums;
    std::vector<std::vector<Step>> steps;  ///< by block: every op once, every wait
    std::vector<Hold> holds;               ///< what must not lose its memory through the new order
};

/// Sums of fewer bytes stay as they are.
OverlapPlan plan_overlap(const Partition& part, Bytes smallest);

/// May run before or after any op that does not read its result: reads and writes whole tensors and no indices.
bool moves_freely(OpKind kind);

}  // namespace wb::cpu
