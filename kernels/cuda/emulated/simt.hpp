#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <utility>

#include "kernels/cuda/types.hpp"

#define WB_KERNEL(threads) void

namespace wb::cuda {

// The host plays one block after the other, or some side by side, each thread of it a fiber that gives way at barriers
// and at what a warp does together. Threads that miss a barrier, and shared memory read before it is written (it begins
// as NaN), show up as errors; a missing barrier as results that depend on the order in which threads are played.

int thread_index();
int block_threads();
int block_x();
int block_y();
int block_z();
int blocks_x();
int blocks_y();
unsigned char* shared_memory();
void sync_block();

namespace emulated {

/// How threads take turns: by index, backwards, or drawn anew in every round.
enum class Order : std::uint8_t { forward, backward, drawn };
void set_order(Order order);

/// How many blocks of a launch are played side by side, by turns as well, and in which order they begin: one after the
/// other by index, unless set. What they share in device memory shows who comes first.
void set_blocks(int together, Order order);

/// Plays every block of a launch. Throws ContractError if threads wait for each other for ever.
void play(const Grid& grid, int threads, std::size_t shared_bytes, const std::function<void()>& kernel);

/// This thread's slot, then those of all threads of its warp once each has filled its own.
constexpr std::size_t slot_bytes = 64;
const unsigned char* warp_slots(const void* mine, std::size_t bytes);

/// This thread goes on when `ready` says so of `what`.
void wait_until(bool (*ready)(const void*), const void* what);
/// Named barriers of the block: with or without waiting.
void meet(int number, int threads, bool waits);

/// What goes on beside the threads of a block.
class Beside {
public:
    virtual ~Beside() = default;
    /// Finishes something that is under way; false if nothing is.
    virtual bool advance() = 0;
    /// Throws ContractError if a block ends with something left over.
    virtual void end() = 0;
};
/// Of the block that is played, made at its first use.
Beside& beside(std::unique_ptr<Beside> (*make)());
std::size_t shared_bytes();
bool drawn_now();  ///< a coin, where threads take turns as drawn

void queue_copy(void* to, const void* from);
void end_group();
void wait_groups(int left);

}  // namespace emulated

inline void sync_warp() { emulated::warp_slots(nullptr, 0); }

template <class T>
T shuffle(T value, int lane) {
    T out;
    std::memcpy(&out,
                emulated::warp_slots(&value, sizeof value) + static_cast<std::size_t>(lane) * emulated::slot_bytes,
                sizeof out);
    return out;
}
template <class T>
T shuffle_xor(T value, int mask) {
    return shuffle(value, (thread_index() % warp_threads) ^ mask);
}
inline std::uint32_t ballot(bool mine) {
    const unsigned char* all = emulated::warp_slots(&mine, sizeof mine);
    std::uint32_t out = 0;
    for (std::size_t i = 0; i < warp_threads; ++i)
        if (all[i * emulated::slot_bytes]) out |= 1U << i;
    return out;
}
inline int count_bits(std::uint32_t x) { return std::popcount(x); }

inline int exchange(int* at, int value) { return std::exchange(*at, value); }
inline float exp2_of(float x) { return std::exp2(x); }
inline std::uint32_t two_bf16(float low, float high) {
    return bf16_bits(low) | static_cast<std::uint32_t>(bf16_bits(high)) << 16;
}

inline void copy_async(void* to, const void* from, bool present) { emulated::queue_copy(to, present ? from : nullptr); }
inline void copies_end_group() { emulated::end_group(); }
template <int N>
void copies_wait() {
    emulated::wait_groups(N);
}

/// As the hardware's: counted from the start of the block's shared memory.
inline std::uint32_t shared_address(const void* p) {
    return static_cast<std::uint32_t>(static_cast<const unsigned char*>(p) - shared_memory());
}
inline std::uint32_t two_f16(float low, float high) {
    return f16_bits(low) | static_cast<std::uint32_t>(f16_bits(high)) << 16;
}

void load_matrices(std::uint32_t (&to)[4], const void* row);
void load_matrices_transposed(std::uint32_t (&to)[4], const void* row);
template <class T>  // bf16 or f16
void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);

using std::fmaxf;
using std::fminf;

}  // namespace wb::cuda
