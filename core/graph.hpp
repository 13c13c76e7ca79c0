#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "core/dtype.hpp"
#include "core/op.hpp"
#include "core/quantity.hpp"

namespace wb {

/// What a tensor is for. `input`, `weight` and `state` exist before a run; `state` (moments, caches) and updated
/// weights outlive it; `output` is what a run is for, and what is verified.
enum class Role : std::uint8_t { input, weight, state, activation, output };

class FillSource;

/// How a tensor that exists before the run is filled: from hash(seed, name, instance, index), or from a `source`.
struct Fill {
    enum class Kind : std::uint8_t { none, uniform, constant, integers, source } kind = Kind::none;
    double a = 0;             ///< uniform: values in [-a, a); constant: the value; integers: values in [0, a)
    std::string stream = {};  ///< the name in the hash; empty: the tensor's own
    std::shared_ptr<const FillSource> source = {};
};

struct Tensor {
    std::string name;
    Shape shape;  ///< row-major; every extent >= 1
    DType dtype = DType::f32;
    Role role = Role::activation;
    Fill fill;
    int block = -1;  ///< the block it belongs to; in a block that repeats n times the tensor exists n times
};

/// The value a repeated block hands from one iteration to the next.
struct Carry {
    TensorId init;    ///< outside the block: the value of `in` in the first iteration
    TensorId in;      ///< inside: in iteration i > 0 it is `out` of iteration i - 1
    TensorId out;     ///< inside
    TensorId result;  ///< outside: `out` of the last iteration
};

/// A run of ops [first, last) executed `repeat` times. `reversed` blocks count iterations down; iteration i of one
/// block sees instance i of the tensors of another block with the same count.
struct Block {
    std::string phase;
    std::int64_t repeat = 1;
    bool reversed = false;
    int first = 0, last = 0;
    std::vector<Carry> carries;
};

class Graph;

/// One phase of a composed workload: a graph of its own, run `times` times in a row.
struct Phase {
    std::string name;
    std::int64_t times = 1;
    std::shared_ptr<const Graph> graph;
};

/// A workload: tensors and operators, with no word about any machine. Built once, then read only. Or a composition of
/// such graphs, one after the other: it has phases and nothing else of its own. Weights and states that have the same
/// name in several phases are the same memory.
class Graph {
public:
    explicit Graph(std::string name) : name_(std::move(name)) {}

    // Building. Shapes are checked on every call; a mistake is an Error that names the operator.
    TensorId input(std::string name, Shape shape, DType dtype, Fill fill = {Fill::Kind::uniform, 1.0});
    TensorId weight(std::string name, Shape shape, DType dtype, Fill fill);
    TensorId state(std::string name, Shape shape, DType dtype, Fill fill = {Fill::Kind::constant, 0.0});
    /// Appends an op to the current block; shapes and types of the outputs follow from `kind`.
    std::vector<TensorId> apply(OpKind kind, std::string name, std::vector<TensorId> in,
                                const Attributes& attributes = {});
    /// apply() for the many kinds with one output.
    TensorId add(OpKind kind, std::string name, std::vector<TensorId> in, const Attributes& attributes = {});
    void mark_output(TensorId id);
    /// Names the phase of the blocks that follow: "forward", "backward", "update", "prefill", ...
    void phase(std::string name);
    /// `n` iterations of `body`, which maps the carried tensors to their next values. Returns the last values.
    using Body = std::function<std::vector<TensorId>(const std::vector<TensorId>&)>;
    std::vector<TensorId> repeat(std::int64_t n, const std::vector<TensorId>& init, const Body& body,
                                 bool reversed = false);
    /// Composing: appends a phase. A graph with phases takes no tensors or ops.
    void then(std::string phase, std::int64_t times, std::shared_ptr<const Graph> graph);

    // Reading.
    const std::string& name() const { return name_; }
    std::span<const Tensor> tensors() const { return tensors_; }
    std::span<const Op> ops() const { return ops_; }
    std::span<const Block> blocks() const { return blocks_; }
    std::span<const Phase> phases() const { return phases_; }
    /// The distinct graphs of its phases; of a plain graph, itself.
    std::vector<const Graph*> leaves() const;
    const Tensor& tensor(TensorId id) const { return tensors_.at(index(id)); }
    /// How many instances of it exist: the count of its block.
    std::int64_t instances(TensorId id) const;
    std::int64_t elements(TensorId id) const;  ///< of one instance
    Bytes bytes(TensorId id) const;            ///< of one instance
    /// The block an op belongs to.
    const Block& block_of(int op) const;

    Flops flops() const;         ///< all useful work, repeats and phases included
    Flops matmul_flops() const;  ///< the part done by matrix units, as MFU counts it
    /// What any machine must move between memory and its units at least: every input, weight and state read that the
    /// run needs, every output and state it changes written, each once. Activations are not in it: they may never leave
    /// the chip.
    Bytes compulsory_bytes() const;
    std::int64_t parameters() const;  ///< elements of all weights, repeats included; of phases, the most of any
    /// Hash of everything that defines the workload, taken over dtype classes; kept by resolved() and with_dtypes().
    const std::string& fingerprint() const;
    /// The same workload with its dtype classes replaced by a machine's own types.
    Graph resolved(DType for_any16, DType for_any8) const;

private:
    friend class GraphEditor;
    TensorId append(Tensor tensor);
    int open_block();
    std::string name_, phase_ = "run";
    std::vector<Tensor> tensors_;
    std::vector<Op> ops_;
    std::vector<Block> blocks_;
    std::vector<Phase> phases_;
    bool open_ = false;  // the last block accepts ops
    bool in_repeat_ = false;
    mutable std::string fingerprint_;
};

}  // namespace wb
