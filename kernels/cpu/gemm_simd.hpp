#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/cpu/bf16.hpp"

namespace wb::cpu {

#if defined(__AVX512F__)
inline constexpr int register_bytes = 64;
#elif defined(__AVX__)
inline constexpr int register_bytes = 32;
#else
inline constexpr int register_bytes = 16;
#endif

/// One register of T, with the arithmetic operators of the compiler's vector extension.
template <class T>
struct Lanes;
template <>
struct Lanes<float> {
    typedef float Vector __attribute__((vector_size(register_bytes)));
    static constexpr int width = register_bytes / 4;
};
template <>
struct Lanes<double> {
    typedef double Vector __attribute__((vector_size(register_bytes)));
    static constexpr int width = register_bytes / 8;
};

template <class T>
typename Lanes<T>::Vector load_lanes(const T* from) {
    typename Lanes<T>::Vector v;
    std::memcpy(&v, from, sizeof v);
    return v;
}

inline Lanes<float>::Vector load_lanes(const bf16* from) {
    typedef std::uint16_t Half __attribute__((vector_size(register_bytes / 2)));
    typedef std::uint32_t Whole __attribute__((vector_size(register_bytes)));
    Half half;
    std::memcpy(&half, from, sizeof half);
    return reinterpret_cast<Lanes<float>::Vector>(__builtin_convertvector(half, Whole) << 16);
}

template <class T>
void store_lanes(T* to, typename Lanes<T>::Vector v) {
    std::memcpy(to, &v, sizeof v);
}

/// Sum over the lanes, by halves: adding them one after the other would cost more than a short dot product.
template <class T>
T sum_lanes(typename Lanes<T>::Vector v) {
    T lanes[Lanes<T>::width];
    std::memcpy(lanes, &v, sizeof v);
#pragma GCC unroll 4
    for (int half = Lanes<T>::width / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
        for (int l = 0; l < half; ++l) lanes[l] += lanes[l + half];
    }
    return lanes[0];
}

inline double widen(double x) { return x; }
inline float widen(float x) { return x; }
inline float widen(bf16 x) { return to_float(x); }
inline void narrow(double x, double& to) { to = x; }
inline void narrow(float x, float& to) { to = x; }
inline void narrow(float x, bf16& to) { to = to_bf16(x); }

}  // namespace wb::cpu
