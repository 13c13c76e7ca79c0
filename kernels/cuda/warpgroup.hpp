#pragma once

// What kernels may use of matrix units that four warps drive together, of copies that arrive by themselves, and of the
// barriers that count their bytes (compute capability 9.0). nvcc turns it into the hardware's own instructions, any
// other compiler into the exact model of emulated/warpgroup.hpp.

#include <cstdint>

#include "kernels/cuda/runtime.hpp"
#include "kernels/cuda/simt.hpp"

namespace wb::cuda {

constexpr int warpgroup_threads = 128;

/// A barrier in shared memory: a phase ends when all arrivals have come and all bytes that were expected.
using PhaseBarrier = std::uint64_t;

}  // namespace wb::cuda

#if defined(__CUDACC__)
#include "kernels/cuda/warpgroup_ptx.hpp"
#else
#include "kernels/cuda/emulated/warpgroup.hpp"
#endif

namespace wb::cuda {

// A tile of rows of 16-bit elements lies in shared memory as panels of 64 columns: rows of 128 bytes, one after the
// other, whose 16-byte chunks are exchanged by bits 7 to 9 of their address ("128-byte swizzle"). A panel begins on a
// 1024-byte boundary.
constexpr int panel_columns = 64, panel_row_bytes = 128, panel_group_bytes = 8 * panel_row_bytes;

/// The bits that tell a product where a matrix lies (PTX ISA, matrix descriptor of wgmma): address, two strides, and
/// the swizzle.
WB_DEVICE std::uint64_t matrix_descriptor(const void* at, int leading_bytes, int stride_bytes) {
    constexpr std::uint64_t swizzle_128 = 1;
    const std::uint64_t address = shared_address(at) & 0x3ffffU;
    return address >> 4 | static_cast<std::uint64_t>(leading_bytes >> 4) << 16 |
           static_cast<std::uint64_t>(stride_bytes >> 4) << 32 | swizzle_128 << 62;
}
/// Rows of a panel as rows of a, or as columns of b: the 16 columns that a product takes follow each other.
WB_DEVICE std::uint64_t rows_descriptor(const void* panel) { return matrix_descriptor(panel, 16, panel_group_bytes); }
/// Rows of panels `panel_bytes` apart as rows of b.
WB_DEVICE std::uint64_t columns_descriptor(const void* panel, int panel_bytes) {
    return matrix_descriptor(panel, panel_bytes, panel_group_bytes);
}
WB_DEVICE std::uint64_t advanced(std::uint64_t descriptor, int bytes) {
    return descriptor + static_cast<std::uint64_t>(bytes >> 4);
}

}  // namespace wb::cuda
