#pragma once

// What kernels may use of a GPU. nvcc turns it into the hardware's own instructions; any other compiler into an
// emulation on the host that runs the very same kernels thread by thread, so that they are tested where no GPU is.

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "kernels/cuda/types.hpp"

#if defined(__CUDACC__)

#define WB_KERNEL(threads) __global__ void __launch_bounds__(threads)

namespace wb::cuda {

WB_DEVICE int thread_index() { return static_cast<int>(threadIdx.x); }
WB_DEVICE int block_threads() { return static_cast<int>(blockDim.x); }
WB_DEVICE int block_x() { return static_cast<int>(blockIdx.x); }
WB_DEVICE int block_y() { return static_cast<int>(blockIdx.y); }
WB_DEVICE int block_z() { return static_cast<int>(blockIdx.z); }
WB_DEVICE int blocks_x() { return static_cast<int>(gridDim.x); }
WB_DEVICE int blocks_y() { return static_cast<int>(gridDim.y); }

WB_DEVICE void sync_block() { __syncthreads(); }
WB_DEVICE void sync_warp() { __syncwarp(); }

/// Of a warp whose threads all take part.
template <class T>
WB_DEVICE T shuffle_xor(T value, int mask) {
    return __shfl_xor_sync(0xffffffffU, value, mask);
}
template <class T>
WB_DEVICE T shuffle(T value, int lane) {
    return __shfl_sync(0xffffffffU, value, lane);
}
WB_DEVICE std::uint32_t ballot(bool mine) { return __ballot_sync(0xffffffffU, mine); }
WB_DEVICE int count_bits(std::uint32_t x) { return __popc(x); }

/// The dynamic shared memory of the block, on 1024-byte boundaries.
WB_DEVICE unsigned char* shared_memory() {
    extern __shared__ __align__(1024) unsigned char wb_shared[];
    return wb_shared;
}

WB_DEVICE int exchange(int* at, int value) { return atomicExch(at, value); }

/// 2^x by the special function unit, relative error 2^-22.
WB_DEVICE float exp2_of(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

/// Two floats as bf16, the first in the low half.
WB_DEVICE std::uint32_t two_bf16(float low, float high) {
    std::uint32_t y;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}

WB_DEVICE std::uint32_t two_f16(float low, float high) {
    std::uint32_t y;
    asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(y) : "f"(high), "f"(low));
    return y;
}

WB_DEVICE std::uint32_t shared_address(const void* p) {
    return static_cast<std::uint32_t>(__cvta_generic_to_shared(p));
}

/// 16 bytes from global to shared memory while the thread goes on; zeros where `present` is false.
WB_DEVICE void copy_async(void* to, const void* from, bool present) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from),
                 "r"(present ? 16 : 0)
                 : "memory");
}
WB_DEVICE void copies_end_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
/// Waits until at most N groups of this thread are under way.
template <int N>
WB_DEVICE void copies_wait() {
    asm volatile("cp.async.wait_group %0;" ::"n"(N) : "memory");
}

/// Four 8x8 matrices of 16-bit elements; thread i gives the address of row i % 8 of matrix i / 8, and gets of matrix j
/// in to[j] the elements 2 (i % 4) and the next of row i / 4, or of column i / 4 if transposed (PTX ISA, ldmatrix).
WB_DEVICE void load_matrices(std::uint32_t (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
}
WB_DEVICE void load_matrices_transposed(std::uint32_t (&to)[4], const void* row) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3])
                 : "r"(shared_address(row))
                 : "memory");
}

/// c [16, 8] += a [16, 16] b [16, 8], of bf16 or f16 with f32 sums; fragments as in the PTX ISA, mma.m16n8k16.
template <class T>
WB_DEVICE void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    if constexpr (std::is_same_v<T, bf16>)
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
    else
        asm volatile(
            "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
            "{%0, %1, %2, %3};"
            : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
            : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
}

}  // namespace wb::cuda

#else
#include "kernels/cuda/emulated/simt.hpp"
#endif

namespace wb::cuda {

/// Two floats as T, the first in the low half.
template <class T>
WB_DEVICE std::uint32_t two_of(float low, float high) {
    if constexpr (std::is_same_v<T, bf16>)
        return two_bf16(low, high);
    else
        return two_f16(low, high);
}

WB_DEVICE int lane_index() { return thread_index() % warp_threads; }
WB_DEVICE int warp_index() { return thread_index() / warp_threads; }
WB_DEVICE int block_warps() { return block_threads() / warp_threads; }

WB_DEVICE float warp_sum(float x) {
    for (int mask = 16; mask > 0; mask /= 2) x += shuffle_xor(x, mask);
    return x;
}
WB_DEVICE float warp_max(float x) {
    for (int mask = 16; mask > 0; mask /= 2) x = fmaxf(x, shuffle_xor(x, mask));
    return x;
}

/// The sum over all threads of the block, on each of them. `scratch` holds a float a warp; it may be used again at once
/// for another sum, since all threads pass two barriers.
WB_DEVICE float block_sum(float x, float* scratch) {
    x = warp_sum(x);
    sync_block();
    if (lane_index() == 0) scratch[warp_index()] = x;
    sync_block();
    float sum = 0;
    for (int w = 0; w < block_warps(); ++w) sum += scratch[w];
    return sum;
}
WB_DEVICE float block_max(float x, float* scratch) {
    x = warp_max(x);
    sync_block();
    if (lane_index() == 0) scratch[warp_index()] = x;
    sync_block();
    float largest = scratch[0];
    for (int w = 1; w < block_warps(); ++w) largest = fmaxf(largest, scratch[w]);
    return largest;
}

}  // namespace wb::cuda
