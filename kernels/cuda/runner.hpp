#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/graph.hpp"
#include "kernels/cuda/collectives.hpp"
#include "kernels/cuda/kernels.hpp"
#include "kernels/cuda/products.hpp"

namespace wb::cuda {

/// Device addresses of one execution: inputs, then outputs. An output changed in place appears in both.
using Operands = void* const*;

/// One op made ready: a call resolves nothing and allocates nothing, it only puts work into the stream.
struct Runner {
    std::function<void(Operands)> run;
    std::string library = {};  ///< what computes it, where that is not this project's own kernels
};

/// Device memory that ops use while they run, one after the other: as large as the largest of them asks for.
class Scratch {
public:
    void reserve(std::int64_t bytes) { bytes_ = bytes > bytes_ ? bytes : bytes_; }
    /// After all reservations, before the first run.
    void allocate() { memory_ = Memory(bytes_); }
    template <class T>
    T* as(std::int64_t from_byte = 0) const {
        return reinterpret_cast<T*>(memory_.data() + from_byte);
    }
    std::int64_t bytes() const { return bytes_; }

private:
    std::int64_t bytes_ = 0;
    Memory memory_;
};

/// The optimizer's count of steps and what AdamW corrects its moments by, in device memory, so that a recorded run
/// counts too.
class Steps {
public:
    /// Where the corrections of these betas will stand; to be asked before allocate().
    std::size_t pair(double beta1, double beta2);
    void allocate(Stream stream);
    /// The next run is the one after `done`.
    void at(std::int64_t done, Stream stream) const;
    void begin(Stream stream) const;
    const float* corrections(std::size_t pair) const {
        return reinterpret_cast<const float*>(corrections_.data()) + 2 * pair;
    }
    bool empty() const { return betas_.empty(); }

private:
    std::vector<std::array<double, 2>> betas_;
    Memory step_, device_betas_, corrections_;
};

/// What the runners of one session share.
struct Setup {
    const Graph& graph;
    Stream stream;
    Scratch& scratch;
    Steps& steps;
    Products& products;
    Collectives& collectives;
    const Device& device;
    const std::int64_t* missing;  ///< on the device: tokens that caches lack; null where they never do
};

/// One op and its operands' shapes and types.
struct Site {
    const Setup& setup;
    const Op& op;

    const Tensor& in(std::size_t i) const { return setup.graph.tensor(op.in.at(i)); }
    const Tensor& out(std::size_t i) const { return setup.graph.tensor(op.out.at(i)); }
    const Attributes& a() const { return op.attributes; }
    std::size_t inputs() const { return op.in.size(); }  ///< output i is operand inputs() + i
    Stream stream() const { return setup.stream; }
    static std::int64_t columns(const Tensor& t) { return t.shape.back(); }
    static std::int64_t rows(const Tensor& t) { return elements(t.shape) / t.shape.back(); }
    static Matrix matrix(const Tensor& t) { return {rows(t), columns(t)}; }
};

template <class T>
T* as(Operands p, std::size_t i) {
    return static_cast<T*>(p[i]);
}

Runner make_runner(const Site& site);

/// The product that a matmul asks for, and the bytes that all its operands' addresses are multiples of.
ProductShape product_of(const Site& site);  // run_products.cpp
int alignment_of(const ProductShape& shape);

Runner make_matmul(const Site& site);  // run_products.cpp
Runner make_head_matmul(const Site& site);
Runner make_grouped_matmul(const Site& site);  // run_experts.cpp
Runner make_experts(const Site& site);
Runner make_attention(const Site& site);  // run_attention.cpp
Runner make_rows(const Site& site);       // run_rows.cpp
Runner make_elements(const Site& site);   // run_elements.cpp
Runner make_table(const Site& site);      // run_tables.cpp
Runner make_collective(const Site& site);

}  // namespace wb::cuda
