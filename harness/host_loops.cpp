#include "harness/host_loops.hpp"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <new>
#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#include "harness/core_clock.hpp"

namespace wb {
namespace {

/// GCC and Clang: arithmetic of 16-byte vectors on every processor.
using Pair = double __attribute__((vector_size(16), may_alias));

constexpr long multiply_adds_a_round = 12;  // twelve chains hide a latency of up to six at two a cycle

void portable_rounds(long rounds) {
    Pair s[multiply_adds_a_round] = {};
    const Pair factor = {1, 1};
    for (long i = 0; i < rounds; ++i)
        for (Pair& x : s) {
            x = x * factor + factor;
            asm volatile("" : "+m"(x));
        }
}

#if defined(__x86_64__)
// Assembly, because a compiler keeps twelve accumulators in registers only at some levels of optimisation.

void avx512_rounds(long rounds) {
    asm volatile(
        "vpxorq %%zmm0, %%zmm0, %%zmm0\n\t"
        ".irp r, 2,3,4,5,6,7,8,9,10,11,12,13\n\tvpxorq %%zmm\\r, %%zmm\\r, %%zmm\\r\n\t.endr\n"
        "1:\n\t"
        ".irp r, 2,3,4,5,6,7,8,9,10,11,12,13\n\tvfmadd231pd %%zmm0, %%zmm0, %%zmm\\r\n\t.endr\n\t"
        "dec %0\n\tjnz 1b\n\tvzeroupper"
        : "+r"(rounds)::"cc", "xmm0", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
          "xmm12", "xmm13");
}

void avx2_rounds(long rounds) {
    asm volatile(
        "vxorpd %%ymm0, %%ymm0, %%ymm0\n\t"
        ".irp r, 2,3,4,5,6,7,8,9,10,11,12,13\n\tvxorpd %%ymm\\r, %%ymm\\r, %%ymm\\r\n\t.endr\n"
        "1:\n\t"
        ".irp r, 2,3,4,5,6,7,8,9,10,11,12,13\n\tvfmadd231pd %%ymm0, %%ymm0, %%ymm\\r\n\t.endr\n\t"
        "dec %0\n\tjnz 1b\n\tvzeroupper"
        : "+r"(rounds)::"cc", "xmm0", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
          "xmm12", "xmm13");
}

void bf16_rounds(long rounds) {
    asm volatile(
        "vpxorq %%zmm0, %%zmm0, %%zmm0\n\t"
        ".irp r, 2,3,4,5,6,7,8,9,10,11,12,13\n\tvpxorq %%zmm\\r, %%zmm\\r, %%zmm\\r\n\t.endr\n"
        "1:\n\t"
        ".irp r, 2,3,4,5,6,7,8,9,10,11,12,13\n\tvdpbf16ps %%zmm0, %%zmm0, %%zmm\\r\n\t.endr\n\t"
        "dec %0\n\tjnz 1b\n\tvzeroupper"
        : "+r"(rounds)::"cc", "xmm0", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11",
          "xmm12", "xmm13");
}

/// Sums 1 KiB blocks; the sum itself is dropped, the loads are not.
void avx512_read(const double* data, std::size_t blocks) {
    asm volatile(
        ".irp r, 0,1,2,3,4,5,6,7\n\tvpxorq %%zmm\\r, %%zmm\\r, %%zmm\\r\n\t.endr\n"
        "1:\n\t"
        ".irp r, 0,1,2,3,4,5,6,7\n\tvaddpd 64*\\r(%0), %%zmm\\r, %%zmm\\r\n\t.endr\n\t"
        ".irp r, 0,1,2,3,4,5,6,7\n\tvaddpd 512+64*\\r(%0), %%zmm\\r, %%zmm\\r\n\t.endr\n\t"
        "add $1024, %0\n\tdec %1\n\tjnz 1b\n\tvzeroupper"
        : "+r"(data), "+r"(blocks)::"cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
}

void avx2_read(const double* data, std::size_t blocks) {
    asm volatile(
        ".irp r, 0,1,2,3,4,5,6,7\n\tvxorpd %%ymm\\r, %%ymm\\r, %%ymm\\r\n\t.endr\n"
        "1:\n\t"
        ".irp o, 0,256,512,768\n\t"
        ".irp r, 0,1,2,3,4,5,6,7\n\tvaddpd \\o+32*\\r(%0), %%ymm\\r, %%ymm\\r\n\t.endr\n\t"
        ".endr\n\t"
        "add $1024, %0\n\tdec %1\n\tjnz 1b\n\tvzeroupper"
        : "+r"(data), "+r"(blocks)::"cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7");
}

void avx512_copy(const double* from, double* to, std::size_t blocks) {
    asm volatile(
        "1:\n\t"
        ".irp o, 0,512\n\t"
        ".irp r, 0,1,2,3,4,5,6,7\n\tvmovapd \\o+64*\\r(%0), %%zmm\\r\n\t.endr\n\t"
        ".irp r, 0,1,2,3,4,5,6,7\n\tvmovapd %%zmm\\r, \\o+64*\\r(%1)\n\t.endr\n\t"
        ".endr\n\t"
        "add $1024, %0\n\tadd $1024, %1\n\tdec %2\n\tjnz 1b\n\tvzeroupper"
        : "+r"(from), "+r"(to), "+r"(blocks)::"cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
          "xmm7");
}

void avx512_triad(const double* a, const double* b, double* to, std::size_t blocks) {
    const double three = 3;
    asm volatile(
        "vbroadcastsd %4, %%zmm8\n"
        "1:\n\t"
        ".irp o, 0,512\n\t"
        ".irp r, 0,1,2,3,4,5,6,7\n\tvmovapd \\o+64*\\r(%0), %%zmm\\r\n\t.endr\n\t"
        ".irp r, 0,1,2,3,4,5,6,7\n\tvfmadd231pd \\o+64*\\r(%1), %%zmm8, %%zmm\\r\n\t.endr\n\t"
        ".irp r, 0,1,2,3,4,5,6,7\n\tvmovapd %%zmm\\r, \\o+64*\\r(%2)\n\t.endr\n\t"
        ".endr\n\t"
        "add $1024, %0\n\tadd $1024, %1\n\tadd $1024, %2\n\tdec %3\n\tjnz 1b\n\tvzeroupper"
        : "+r"(a), "+r"(b), "+r"(to), "+r"(blocks)
        : "m"(three)
        : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8");
}

void avx2_copy(const double* from, double* to, std::size_t blocks) {
    asm volatile(
        "1:\n\t"
        ".irp o, 0,256,512,768\n\t"
        ".irp r, 0,1,2,3,4,5,6,7\n\tvmovapd \\o+32*\\r(%0), %%ymm\\r\n\t.endr\n\t"
        ".irp r, 0,1,2,3,4,5,6,7\n\tvmovapd %%ymm\\r, \\o+32*\\r(%1)\n\t.endr\n\t"
        ".endr\n\t"
        "add $1024, %0\n\tadd $1024, %1\n\tdec %2\n\tjnz 1b\n\tvzeroupper"
        : "+r"(from), "+r"(to), "+r"(blocks)::"cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6",
          "xmm7");
}

void avx2_triad(const double* a, const double* b, double* to, std::size_t blocks) {
    const double three = 3;
    asm volatile(
        "vbroadcastsd %4, %%ymm8\n"
        "1:\n\t"
        ".irp o, 0,256,512,768\n\t"
        ".irp r, 0,1,2,3,4,5,6,7\n\tvmovapd \\o+32*\\r(%0), %%ymm\\r\n\t.endr\n\t"
        ".irp r, 0,1,2,3,4,5,6,7\n\tvfmadd231pd \\o+32*\\r(%1), %%ymm8, %%ymm\\r\n\t.endr\n\t"
        ".irp r, 0,1,2,3,4,5,6,7\n\tvmovapd %%ymm\\r, \\o+32*\\r(%2)\n\t.endr\n\t"
        ".endr\n\t"
        "add $1024, %0\n\tadd $1024, %1\n\tadd $1024, %2\n\tdec %3\n\tjnz 1b\n\tvzeroupper"
        : "+r"(a), "+r"(b), "+r"(to), "+r"(blocks)
        : "m"(three)
        : "cc", "memory", "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8");
}
#endif

void portable_read(const double* data, std::size_t blocks) {
    Pair a = {}, b = {}, c = {}, d = {};
    const Pair* pair = reinterpret_cast<const Pair*>(data);
    for (const Pair* end = pair + blocks * 64; pair != end; pair += 4) {
        a += pair[0];
        b += pair[1];
        c += pair[2];
        d += pair[3];
    }
    a += b + c + d;
    asm volatile("" ::"m"(a));
}

void read_once(VectorUnit unit, const double* data, std::size_t blocks) {
#if defined(__x86_64__)
    if (unit == VectorUnit::avx512) return avx512_read(data, blocks);
    if (unit == VectorUnit::avx2) return avx2_read(data, blocks);
#endif
    (void)unit;
    portable_read(data, blocks);
}

void copy_once(VectorUnit unit, const Stretch& from, Stretch& to) {
#if defined(__x86_64__)
    if (unit == VectorUnit::avx512) return avx512_copy(from.data(), to.data(), from.size() / 128);
    if (unit == VectorUnit::avx2) return avx2_copy(from.data(), to.data(), from.size() / 128);
#endif
    (void)unit;
    std::copy(from.data(), from.data() + from.size(), to.data());
}

void triad_once(VectorUnit unit, const Stretch& a, const Stretch& b, Stretch& to) {
#if defined(__x86_64__)
    if (unit == VectorUnit::avx512) return avx512_triad(a.data(), b.data(), to.data(), a.size() / 128);
    if (unit == VectorUnit::avx2) return avx2_triad(a.data(), b.data(), to.data(), a.size() / 128);
#endif
    (void)unit;
    const Pair *x = reinterpret_cast<const Pair*>(a.data()), *y = reinterpret_cast<const Pair*>(b.data());
    Pair* out = reinterpret_cast<Pair*>(to.data());
    for (std::size_t i = 0; i < to.size() / 2; ++i) out[i] = x[i] + 3.0 * y[i];
}

template <class Rounds>
double best_rate(Rounds rounds, long per_round, int runs) {
    constexpr long count = 250'000;
    double best = std::numeric_limits<double>::infinity();
    for (int run = 0; run < runs; ++run) {
        const double begin = now_s();
        rounds(count);
        best = std::min(best, now_s() - begin);
    }
    return static_cast<double>(count * per_round) / best;
}

constexpr std::size_t huge_page = std::size_t{2} << 20;

}  // namespace

VectorUnit widest_vector_unit() {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512f")) return VectorUnit::avx512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return VectorUnit::avx2;
#endif
    return VectorUnit::portable;
}

int register_bytes(VectorUnit unit) { return unit == VectorUnit::avx512 ? 64 : unit == VectorUnit::avx2 ? 32 : 16; }

double multiply_add_rate(VectorUnit unit, int runs) {
#if defined(__x86_64__)
    if (unit == VectorUnit::avx512) return best_rate(avx512_rounds, multiply_adds_a_round, runs);
    if (unit == VectorUnit::avx2) return best_rate(avx2_rounds, multiply_adds_a_round, runs);
#endif
    (void)unit;
    return best_rate(portable_rounds, multiply_adds_a_round, runs);
}

double bf16_dot_rate(int runs) {
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx512bf16")) return best_rate(bf16_rounds, multiply_adds_a_round, runs);
#endif
    (void)runs;
    return 0;
}

Stretch::Stretch(std::size_t bytes) : size_(std::max<std::size_t>(bytes / 1024, 1) * 128) {
    const std::size_t room = (size_ * sizeof(double) + huge_page - 1) / huge_page * huge_page;
    data_ = static_cast<double*>(std::aligned_alloc(huge_page, room));
    if (!data_) throw std::bad_alloc();
    madvise(data_, room, MADV_HUGEPAGE);  // only speed is lost where it is refused
    std::fill(data_, data_ + size_, 1.0);
}

Stretch::~Stretch() { std::free(data_); }

void read_all(const Stretch& a, long rounds) {
    const VectorUnit unit = widest_vector_unit();
    for (long i = 0; i < rounds; ++i) read_once(unit, a.data(), a.size() / 128);
}

void copy(const Stretch& from, Stretch& to, long rounds) {
    const VectorUnit unit = widest_vector_unit();
    for (long i = 0; i < rounds; ++i) copy_once(unit, from, to);
}

void triad(const Stretch& a, const Stretch& b, Stretch& to, long rounds) {
    const VectorUnit unit = widest_vector_unit();
    for (long i = 0; i < rounds; ++i) triad_once(unit, a, b, to);
}

bool has_uncached_stores() {
#if defined(__x86_64__)
    return true;
#else
    return false;
#endif
}

void copy_uncached(const Stretch& from, Stretch& to) {
#if defined(__x86_64__)
    for (std::size_t i = 0; i < to.size(); i += 2) _mm_stream_pd(to.data() + i, _mm_load_pd(from.data() + i));
    _mm_sfence();
#else
    copy(from, to);
#endif
}

void triad_uncached(const Stretch& a, const Stretch& b, Stretch& to) {
#if defined(__x86_64__)
    const __m128d three = _mm_set1_pd(3);
    for (std::size_t i = 0; i < to.size(); i += 2)
        _mm_stream_pd(to.data() + i,
                      _mm_add_pd(_mm_load_pd(a.data() + i), _mm_mul_pd(three, _mm_load_pd(b.data() + i))));
    _mm_sfence();
#else
    triad(a, b, to);
#endif
}

}  // namespace wb
