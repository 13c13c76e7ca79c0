#pragma once

#include <cstddef>

namespace wb {

/// Vector registers the multiply-add loop can fill on this processor, by cpuid.
enum class VectorUnit { portable, avx2, avx512 };
VectorUnit widest_vector_unit();
int register_bytes(VectorUnit unit);

/// Fused multiply-adds (instructions) per second of this thread, operands in registers; best of `runs` of about 1 ms.
/// Portable: a 16-byte multiply and add, fused if the compiler does so.
double multiply_add_rate(VectorUnit unit, int runs);
/// The same for 64-byte bfloat16 dot products (vdpbf16ps, 64 FLOP each); 0 where the processor has none.
double bf16_dot_rate(int runs);

/// Memory of its own for one thread, first touched by the thread that makes it; filled with 1.0.
class Stretch {
public:
    explicit Stretch(std::size_t bytes);  ///< rounded down to whole KiB, at least 1; throws std::bad_alloc
    ~Stretch();
    Stretch(const Stretch&) = delete;
    Stretch& operator=(const Stretch&) = delete;

    double* data() const { return data_; }
    std::size_t size() const { return size_; }  ///< doubles

private:
    std::size_t size_;
    double* data_;
};

// Each walks whole stretches; all of one call have the same size.

/// Loads and adds up everything, `rounds` times.
void read_all(const Stretch& a, long rounds);
void copy(const Stretch& from, Stretch& to, long rounds = 1);
/// to = a + 3 b
void triad(const Stretch& a, const Stretch& b, Stretch& to, long rounds = 1);
// The same with stores that go around the caches, where has_uncached_stores(); else as above.
bool has_uncached_stores();
void copy_uncached(const Stretch& from, Stretch& to);
void triad_uncached(const Stretch& a, const Stretch& b, Stretch& to);

}  // namespace wb
