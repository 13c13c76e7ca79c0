#pragma once

#include <algorithm>

#include "kernels/cuda/runtime.hpp"
#include "kernels/cuda/simt.hpp"

#if defined(__CUDACC__)
#include "kernels/cuda/check.hpp"
#endif

namespace wb::cuda {

constexpr std::size_t shared_without_asking = std::size_t{48} << 10;

/// Starts `kernel` with its arguments in a queue.
template <class... Parameters, class... Arguments>
void launch(Stream stream, const Grid& grid, int threads, std::size_t shared_bytes, void (*kernel)(Parameters...),
            Arguments... arguments) {
#if defined(__CUDACC__)
    if (shared_bytes > shared_without_asking)
        check(cudaFuncSetAttribute(reinterpret_cast<const void*>(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize,
                                   static_cast<int>(shared_bytes)),
              "a kernel's shared memory");
    const dim3 blocks(static_cast<unsigned>(grid.x), static_cast<unsigned>(grid.y), static_cast<unsigned>(grid.z));
    kernel<<<blocks, static_cast<unsigned>(threads), shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
    check(cudaGetLastError(), "the launch of a kernel");
#else
    static_cast<void>(stream);
    emulated::play(grid, threads, shared_bytes, [&] { kernel(static_cast<Parameters>(arguments)...); });
#endif
}

/// Threads of a block for rows of so many steps: whole warps, few enough that each has some steps to do.
inline int threads_for(std::int64_t steps, int most) {
    const std::int64_t wanted = (steps + 1) / 2;
    return static_cast<int>(
        std::clamp<std::int64_t>((wanted + warp_threads - 1) / warp_threads * warp_threads, warp_threads, most));
}

constexpr int flat_threads = 256;

/// The widest pack that divides `n` and the address of every operand: 16 bytes or one element.
template <class T, class... Pointers>
bool packs_fit(std::int64_t n, Pointers... at) {
    return n % widest<T> == 0 && ((reinterpret_cast<std::uintptr_t>(at) % 16 == 0) && ...);
}

}  // namespace wb::cuda
