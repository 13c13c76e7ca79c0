#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/comm.hpp"
#include "core/error.hpp"
#include "core/graph.hpp"
#include "kernels/cpu/bf16.hpp"
#include "kernels/cpu/storage.hpp"

namespace wb::cpu {

/// Pointers to the operands of one execution: inputs, then outputs. An output changed in place appears in both.
using Operands = void* const*;

/// One op made ready: shapes, strides and prepared products are bound, a call resolves nothing and allocates nothing.
struct Runner {
    std::function<void(Operands)> run;
    std::string library;  ///< of a matrix product; empty: this project's own loops
};

/// Memory that ops use while they run, one after the other: as large as the largest of them asks for, and near the
/// threads that write it first.
class Scratch {
public:
    /// Before the first run only.
    void reserve(std::int64_t bytes) {
        if (bytes > memory_.bytes()) memory_ = Buffer(bytes);
    }
    template <class T>
    T* as() {
        return reinterpret_cast<T*>(memory_.data());
    }
    std::int64_t bytes() const { return memory_.bytes(); }

private:
    Buffer memory_;
};

/// What the runners of one session share.
struct Setup {
    const Graph& graph;
    Comm& comm;
    int threads;
    Scratch& scratch;
    const std::int64_t& step;     ///< 1 in the first run
    const std::int64_t& missing;  ///< tokens of each sequence that caches lack of what the graph says
};

/// One op and its operands' shapes and types.
struct Site {
    const Setup& setup;
    const Op& op;

    const Tensor& in(std::size_t i) const { return setup.graph.tensor(op.in.at(i)); }
    const Tensor& out(std::size_t i) const { return setup.graph.tensor(op.out.at(i)); }
    const Attributes& a() const { return op.attributes; }
    std::size_t inputs() const { return op.in.size(); }  ///< output i is operand inputs() + i
    int threads() const { return setup.threads; }
    static std::int64_t columns(const Tensor& t) { return t.shape.back(); }
    static std::int64_t rows(const Tensor& t) { return elements(t.shape) / t.shape.back(); }
};

template <class T>
const T* input(Operands p, std::size_t i) {
    return static_cast<const T*>(p[i]);
}
template <class T>
T* output(Operands p, std::size_t i) {
    return static_cast<T*>(p[i]);
}

/// body(float{}) or body(bf16{}): the one place that turns a tensor's type into a C++ type.
template <class Body>
auto with_type(DType type, const Body& body) {
    WB_EXPECT(type == DType::f32 || type == DType::bf16);
    return type == DType::f32 ? body(float{}) : body(bf16{});
}

/// Values of T from floats, by all threads; nothing to do where they are the same memory.
template <class T>
void narrow(const float* from, T* to, std::int64_t n, int threads) {
#pragma omp parallel for simd num_threads(threads) schedule(static) if (parallel : n > 16384)
    for (std::int64_t i = 0; i < n; ++i) to[i] = from_float<T>(from[i]);
}
template <class T>
void widen(const T* from, float* to, std::int64_t n, int threads) {
#pragma omp parallel for simd num_threads(threads) schedule(static) if (parallel : n > 16384)
    for (std::int64_t i = 0; i < n; ++i) to[i] = to_float(from[i]);
}

/// The runner of any op.
Runner make_runner(const Site& site);

Runner make_matmul(const Site& site);          // run_matmul.cpp
Runner make_head_matmul(const Site& site);     // run_head_matmul.cpp
Runner make_grouped_matmul(const Site& site);  // run_grouped.cpp
Runner make_attention(const Site& site);       // run_attention.cpp
Runner make_norm(const Site& site);            // run_norms.cpp
Runner make_activation(const Site& site);      // run_activations.cpp
Runner make_heads(const Site& site);           // run_heads.cpp
Runner make_table(const Site& site);           // run_tables.cpp
Runner make_experts(const Site& site);         // run_experts.cpp
Runner make_loss(const Site& site);            // run_loss.cpp
Runner make_update(const Site& site);          // run_update.cpp
Runner make_collective(const Site& site);      // run_collective.cpp

}  // namespace wb::cpu
