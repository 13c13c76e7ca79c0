#pragma once

#include <cstdint>
#include <vector>

#include "kernels/reference/call.hpp"

namespace wb::reference {

/// How moe_dispatch lays out its rows: by expert, and within an expert by (token, slot).
struct ExpertRows {
    std::vector<std::int64_t> source;  ///< by row: token * topk + slot
    std::vector<std::int64_t> first;   ///< experts + 1 entries: the rows of expert e are [first[e], first[e + 1])
};

/// From the index tensor [tokens, topk] of topk_gate.
ExpertRows expert_rows(const View& index, std::int64_t experts);

}  // namespace wb::reference
