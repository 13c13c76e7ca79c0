#pragma once

// The PTX behind warpgroup.hpp, for compute capability 9.0 alone (target sm_90a).

namespace wb::cuda {

#define WB_CONSTANT_PARAMETER const __grid_constant__

/// By one thread, before any other uses them; then all_barriers_begun() and a barrier of the block.
WB_DEVICE void barrier_begin(PhaseBarrier* barrier, int arrivals) {
    asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(shared_address(barrier)), "r"(arrivals) : "memory");
}
WB_DEVICE void all_barriers_begun() {
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
    asm volatile("fence.proxy.async;" ::: "memory");
}
WB_DEVICE void barrier_arrive(PhaseBarrier* barrier) {
    asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(shared_address(barrier)) : "memory");
}
/// Arrives, and lets the phase wait for so many bytes.
WB_DEVICE void barrier_expect(PhaseBarrier* barrier, int bytes) {
    asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(shared_address(barrier)), "r"(bytes)
                 : "memory");
}
WB_DEVICE bool phase_over(PhaseBarrier* barrier, int parity) {
    std::uint32_t over;
    asm volatile("{\n.reg .pred p;\nmbarrier.try_wait.parity.shared::cta.b64 p, [%1], %2;\nselp.u32 %0, 1, 0, p;\n}"
                 : "=r"(over)
                 : "r"(shared_address(barrier)), "r"(parity)
                 : "memory");
    return over != 0;
}
/// Waits for the end of the phase of this parity: phases count from 0, and the one before the first is over.
WB_DEVICE void barrier_wait(PhaseBarrier* barrier, int parity) {
    while (!phase_over(barrier, parity)) {
    }
}

/// The box at these coordinates to shared memory; its bytes, with zeros for what lies outside, go to the barrier.
WB_DEVICE void copy_box(void* to, const TensorMap& map, int c0, int c1, int c2, int c3, PhaseBarrier* barrier) {
    asm volatile(
        "cp.async.bulk.tensor.4d.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1, {%3, %4, %5, %6}], "
        "[%2];" ::"r"(shared_address(to)),
        "l"(&map), "r"(shared_address(barrier)), "r"(c0), "r"(c1), "r"(c2), "r"(c3)
        : "memory");
}

/// `bytes` as they lie, a multiple of 16 on a boundary of 16.
WB_DEVICE void copy_bytes(void* to, const void* from, int bytes, PhaseBarrier* barrier) {
    asm volatile("cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::"r"(
                     shared_address(to)),
                 "l"(__cvta_generic_to_global(from)), "r"(bytes), "r"(shared_address(barrier))
                 : "memory");
}

/// Adds floats of shared memory to device memory, each at once, while the thread goes on: a multiple of 16 bytes.
WB_DEVICE void add_floats(float* to, const void* from, int bytes) {
    asm volatile("cp.reduce.async.bulk.global.shared::cta.bulk_group.add.f32 [%0], [%1], %2;" ::"l"(
                     __cvta_generic_to_global(to)),
                 "r"(shared_address(from)), "r"(bytes)
                 : "memory");
}
WB_DEVICE void sums_end_group() { asm volatile("cp.async.bulk.commit_group;" ::: "memory"); }
/// Waits until all that this thread adds was read of shared memory.
WB_DEVICE void sums_wait_read() { asm volatile("cp.async.bulk.wait_group.read 0;" ::: "memory"); }
/// Waits until all that this thread adds is in device memory.
WB_DEVICE void sums_wait() { asm volatile("cp.async.bulk.wait_group 0;" ::: "memory"); }

/// Writes to shared memory what products and bulk copies will read: after units_fence() by this thread and a barrier.
template <class V>
WB_DEVICE void put(void* at, const V& value) {
    *static_cast<V*>(at) = value;
}
WB_DEVICE void units_fence() { asm volatile("fence.proxy.async.shared::cta;" ::: "memory"); }

/// A number of its own for each caller of a launch, from 0 on: lower ones are of blocks that have begun.
WB_DEVICE int draw_number(int* at) { return atomicAdd(at, 1); }
/// By one thread: waits until it is this turn's, and then lets the next one go on, with what was written in between.
WB_DEVICE void take_turn(const int* at, int turn) {
    int now;
    do {
        asm volatile("ld.acquire.gpu.global.s32 %0, [%1];" : "=r"(now) : "l"(__cvta_generic_to_global(at)) : "memory");
    } while (now != turn);
    asm volatile("fence.proxy.async;" ::: "memory");
}
WB_DEVICE void pass_turn(int* at, int turn) {
    asm volatile("fence.proxy.async;\nst.release.gpu.global.s32 [%0], %1;" ::"l"(__cvta_generic_to_global(at)),
                 "r"(turn + 1)
                 : "memory");
}

/// Of `threads` threads of the block, by a number from 1 to 15 of their own.
WB_DEVICE void sync_some(int number, int threads) {
    asm volatile("bar.sync %0, %1;" ::"r"(number), "r"(threads) : "memory");
}
WB_DEVICE void arrive_some(int number, int threads) {
    asm volatile("bar.arrive %0, %1;" ::"r"(number), "r"(threads) : "memory");
}
/// Registers of each thread of this warpgroup from now on.
template <int N>
WB_DEVICE void registers_fewer() {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(N));
}
template <int N>
WB_DEVICE void registers_more() {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(N));
}

/// Before products, when a register of theirs was written or read by anything else.
WB_DEVICE void products_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
WB_DEVICE void products_end_group() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
/// Waits until at most N groups of this warp are under way.
template <int N>
WB_DEVICE void products_wait() {
    asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(N) : "memory");
}
/// After the wait, so that the compiler moves no use of these results before it.
template <int N>
WB_DEVICE void products_settled(float (&c)[N][4]) {
    WB_UNROLL
    for (int i = 0; i < N; ++i) asm volatile("" : "+f"(c[i][0]), "+f"(c[i][1]), "+f"(c[i][2]), "+f"(c[i][3])::"memory");
}

// Lists of operands: a fragment of [64, N] results is N / 2 registers a thread.
#define WB_NAMES_32 "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15}"
#define WB_NAMES_64                                                           \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, " \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31}"
#define WB_NAMES_128                                                                   \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "          \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, " \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, " \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63}"
#define WB_NAMES_256                                                                               \
    "{%0, %1, %2, %3, %4, %5, %6, %7, %8, %9, %10, %11, %12, %13, %14, %15, "                      \
    "%16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31, "             \
    "%32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, "             \
    "%48, %49, %50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, "             \
    "%64, %65, %66, %67, %68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, "             \
    "%80, %81, %82, %83, %84, %85, %86, %87, %88, %89, %90, %91, %92, %93, %94, %95, "             \
    "%96, %97, %98, %99, %100, %101, %102, %103, %104, %105, %106, %107, %108, %109, %110, %111, " \
    "%112, %113, %114, %115, %116, %117, %118, %119, %120, %121, %122, %123, %124, %125, %126, %127}"
#define WB_FOUR(i) "+f"(c[i][0]), "+f"(c[i][1]), "+f"(c[i][2]), "+f"(c[i][3])
#define WB_SIXTEEN(i) WB_FOUR(i), WB_FOUR(i + 1), WB_FOUR(i + 2), WB_FOUR(i + 3)
#define WB_RESULTS_32 WB_SIXTEEN(0)
#define WB_RESULTS_64 WB_SIXTEEN(0), WB_SIXTEEN(4)
#define WB_RESULTS_128 WB_RESULTS_64, WB_SIXTEEN(8), WB_SIXTEEN(12)
#define WB_RESULTS_256 WB_RESULTS_128, WB_SIXTEEN(16), WB_SIXTEEN(20), WB_SIXTEEN(24), WB_SIXTEEN(28)
#define WB_SHARED_PRODUCT(n, type, a_name, b_name, add_name, a_turned, b_turned)                           \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add_name ", 0;\nwgmma.mma_async.sync.aligned.m64n" #n \
                 "k16.f32." type "." type " " WB_NAMES_##n ", " a_name ", " b_name ", p, 1, 1, " a_turned  \
                                                           ", " b_turned ";\n}"                            \
                 : WB_RESULTS_##n                                                                          \
                 : "l"(a), "l"(b), "r"(static_cast<int>(add)), "n"(int{AColumns}), "n"(int{BRows}))
#define WB_REGISTER_PRODUCT(n, type, a_names, b_name, add_name)                                            \
    asm volatile("{\n.reg .pred p;\nsetp.ne.b32 p, " add_name ", 0;\nwgmma.mma_async.sync.aligned.m64n" #n \
                 "k16.f32." type "." type " " WB_NAMES_##n ", " a_names ", " b_name ", p, 1, 1, 1;\n}"     \
                 : WB_RESULTS_##n                                                                          \
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(add)))

template <class T>
constexpr bool is_bf16 = false;
template <>
inline constexpr bool is_bf16<bf16> = true;

/// c [64, N] = a [64, 16] b [16, N], added to c if `add`, by the four warps of a warpgroup: warp w has rows 16 w to
/// 16 w + 15, in fragments as multiply_add() has them (PTX ISA, wgmma.m64nNk16). Descriptors of rows of a, or of rows
/// that are its columns; of rows that are columns of b, or of its rows. Results are there after products_wait().
template <class T, int N, bool AColumns = false, bool BRows = false>
WB_DEVICE void multiply_shared(float (&c)[N / 8][4], std::uint64_t a, std::uint64_t b, bool add) {
    static_assert(N == 32 || N == 64 || N == 128);
    if constexpr (N == 32 && is_bf16<T>) WB_SHARED_PRODUCT(32, "bf16", "%16", "%17", "%18", "%19", "%20");
    if constexpr (N == 32 && !is_bf16<T>) WB_SHARED_PRODUCT(32, "f16", "%16", "%17", "%18", "%19", "%20");
    if constexpr (N == 64 && is_bf16<T>) WB_SHARED_PRODUCT(64, "bf16", "%32", "%33", "%34", "%35", "%36");
    if constexpr (N == 64 && !is_bf16<T>) WB_SHARED_PRODUCT(64, "f16", "%32", "%33", "%34", "%35", "%36");
    if constexpr (N == 128 && is_bf16<T>) WB_SHARED_PRODUCT(128, "bf16", "%64", "%65", "%66", "%67", "%68");
    if constexpr (N == 128 && !is_bf16<T>) WB_SHARED_PRODUCT(128, "f16", "%64", "%65", "%66", "%67", "%68");
}

/// The same with a in registers, as multiply_add() has it, and rows of b as rows.
template <class T, int N>
WB_DEVICE void multiply_registers(float (&c)[N / 8][4], const std::uint32_t (&a)[4], std::uint64_t b, bool add) {
    static_assert(N == 64 || N == 128 || N == 256);
    if constexpr (N == 64 && is_bf16<T>) WB_REGISTER_PRODUCT(64, "bf16", "{%32, %33, %34, %35}", "%36", "%37");
    if constexpr (N == 64 && !is_bf16<T>) WB_REGISTER_PRODUCT(64, "f16", "{%32, %33, %34, %35}", "%36", "%37");
    if constexpr (N == 128 && is_bf16<T>) WB_REGISTER_PRODUCT(128, "bf16", "{%64, %65, %66, %67}", "%68", "%69");
    if constexpr (N == 128 && !is_bf16<T>) WB_REGISTER_PRODUCT(128, "f16", "{%64, %65, %66, %67}", "%68", "%69");
    if constexpr (N == 256 && is_bf16<T>) WB_REGISTER_PRODUCT(256, "bf16", "{%128, %129, %130, %131}", "%132", "%133");
    if constexpr (N == 256 && !is_bf16<T>) WB_REGISTER_PRODUCT(256, "f16", "{%128, %129, %130, %131}", "%132", "%133");
}

#undef WB_REGISTER_PRODUCT
#undef WB_SHARED_PRODUCT
#undef WB_RESULTS_256
#undef WB_RESULTS_128
#undef WB_RESULTS_64
#undef WB_RESULTS_32
#undef WB_SIXTEEN
#undef WB_FOUR
#undef WB_NAMES_256
#undef WB_NAMES_128
#undef WB_NAMES_64
#undef WB_NAMES_32

}  // namespace wb::cuda
