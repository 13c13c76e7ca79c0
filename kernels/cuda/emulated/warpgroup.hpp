#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/cuda/runtime.hpp"
#include "kernels/cuda/simt.hpp"

#define WB_CONSTANT_PARAMETER const

namespace wb::cuda {

using PhaseBarrier = std::uint64_t;

// An exact model of what the PTX ISA says of wgmma.m64nNk16, of mbarrier objects and of cp.async.bulk.tensor: shared
// memory is read through the bits of descriptors and written through those of tensor maps; a barrier counts arrivals
// and bytes. Copies land, and products are computed, when they must be there or at once, as set: what uses a result too
// early, or overwrites an operand too early, shows as a wrong result in one of the ways. Registers of results hold NaN
// until they are waited for. Sums by cp.reduce.async.bulk are read of shared memory, and added, when they must be or at
// once. What a thread put into shared memory for products and copies is theirs once the thread has passed a fence. A
// block that ends with copies, products, sums or bytes left over, products without a fence, an operand changed under
// way, what is read without a fence by its writer, a turn that is passed on without having come, and warps of a group
// that ask for different products are errors.

namespace emulated {

/// The compute capability of device 0.
void set_generation(int major);

/// When what goes on by itself happens: copies when nothing else can, and products at their wait; copies at once;
/// products at once; or as a coin says.
enum class Pace : std::uint8_t { late, copies_at_once, products_at_once, drawn };
void set_pace(Pace pace);

/// A mistake as a kernel could have it, made in every use: to see that it is found.
enum class Defect : std::uint8_t {
    none,
    stride,      ///< a descriptor's stride is twice as long
    swizzle,     ///< a descriptor says 64-byte swizzle
    address,     ///< a descriptor points 32 bytes further
    transposed,  ///< rows of b are taken for its columns, or the other way round
    phase,       ///< a wait is for the other parity
    few_bytes,   ///< half of the bytes are expected
    many_bytes,  ///< 16 bytes more are expected
    no_fence,    ///< products_fence() is missing
    no_wait,     ///< products_wait() is missing
    no_release,  ///< a barrier that many arrive at is not arrived at
    no_room,     ///< a barrier that many arrive at is not waited for
    no_turned,   ///< a left matrix in shared memory is taken the other way round
    no_publish,  ///< units_fence() is missing
    no_read,     ///< sums are not waited for before their place is given back
    no_landing,  ///< sums are not waited for before the turn is passed on
    no_turn,     ///< a turn is not waited for
    no_pass      ///< a turn is not passed on
};
void set_defect(Defect defect);

struct Box {
    const unsigned char* base;
    BoxShape shape;
};

/// One warp's part of a product.
struct Request {
    float* c;
    const std::uint32_t* left;  ///< in registers; null: by descriptor
    std::uint64_t a, b;
    std::int32_t columns;
    bool is_bf16, add;
    bool a_columns, b_rows;  ///< rows of the panels are columns of a, rows of b
};
void request(const Request& mine);
void wait_products(int left);
void put_bytes(void* at, const void* from, std::size_t bytes);

}  // namespace emulated

void barrier_begin(PhaseBarrier* barrier, int arrivals);
void all_barriers_begun();
void barrier_arrive(PhaseBarrier* barrier);
void barrier_expect(PhaseBarrier* barrier, int bytes);
void barrier_wait(PhaseBarrier* barrier, int parity);
void copy_box(void* to, const TensorMap& map, int c0, int c1, int c2, int c3, PhaseBarrier* barrier);
void copy_bytes(void* to, const void* from, int bytes, PhaseBarrier* barrier);

void add_floats(float* to, const void* from, int bytes);
void sums_end_group();
void sums_wait_read();
void sums_wait();

template <class V>
void put(void* at, const V& value) {
    emulated::put_bytes(at, &value, sizeof value);
}
void units_fence();

inline int draw_number(int* at) { return (*at)++; }
void take_turn(const int* at, int turn);
void pass_turn(int* at, int turn);

inline void sync_some(int number, int threads) { emulated::meet(number, threads, true); }
inline void arrive_some(int number, int threads) { emulated::meet(number, threads, false); }
template <int N>
void registers_fewer() {
    static_assert(N >= 24 && N <= 256 && N % 8 == 0);
}
template <int N>
void registers_more() {
    static_assert(N >= 24 && N <= 256 && N % 8 == 0);
}

void products_fence();
void products_end_group();
template <int N>
void products_wait() {
    emulated::wait_products(N);
}
template <int N>
void products_settled(float (&)[N][4]) {}

template <class T, int N, bool AColumns = false, bool BRows = false>
void multiply_shared(float (&c)[N / 8][4], std::uint64_t a, std::uint64_t b, bool add) {
    emulated::request({&c[0][0], nullptr, a, b, N, std::is_same_v<T, bf16>, add, AColumns, BRows});
}
template <class T, int N>
void multiply_registers(float (&c)[N / 8][4], const std::uint32_t (&a)[4], std::uint64_t b, bool add) {
    emulated::request({&c[0][0], a, 0, b, N, std::is_same_v<T, bf16>, add, false, true});
}

}  // namespace wb::cuda
