#pragma once

#include <algorithm>
#include <cstdint>

#include "kernels/cuda/kernels.hpp"
#include "kernels/cuda/simt.hpp"

namespace wb::cuda {

// Products whose rows belong to experts. How many rows each has is known on the device alone: the grid has room for
// the most tiles there can be, and the blocks that are too many end at once. Nothing waits for the host, so that a
// recorded run can choose anew.

/// The rows of block_y()'s tile: tiles are counted expert by expert, each beginning with one of its own.
template <int Rows>
struct ExpertRows {
    std::int64_t expert = 0, first = 0, rows = 0;  // rows: left of the expert from `first` on; 0: no such tile

    WB_DEVICE ExpertRows(const std::int32_t* starts, std::int64_t experts) {
        std::int64_t left = block_y();
        for (; expert < experts; ++expert) {
            const std::int64_t all = starts[expert + 1] - starts[expert], tiles = (all + Rows - 1) / Rows;
            if (left < tiles) {
                first = starts[expert] + left * Rows;
                rows = all - left * Rows;
                return;
            }
            left -= tiles;
        }
    }
};

inline std::int64_t tiles_of(std::int64_t n, std::int64_t each) { return (n + each - 1) / each; }
inline std::int64_t most_row_tiles(const Grouped& how, std::int64_t each) {
    return std::min(how.rows, tiles_of(how.rows, each) + how.experts);
}

}  // namespace wb::cuda
