#pragma once

#include <map>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "kernels/workloads/onnx/plan.hpp"
#include "kernels/workloads/onnx/view.hpp"

namespace wb::onnx_import {

/// Rows of a trained table looked up at places first, first + 1, ...: learned positions, until they are added.
struct Positions {
    int table;
    std::int64_t first;
};
/// A value that only a product can take up: silu(x) * u.
struct Activated {
    View x;
};
/// Products of queries and keys on their way to becoming attention.
struct Scores {
    View q, k;
    double scale = 1;
    bool normalised = false;   ///< after the softmax
    std::vector<char> hidden;  ///< [seq, seq_kv]: 1 where a mask hides the key; empty: nowhere
    std::int64_t seq = 0, seq_kv = 0;
};
/// Follows from scores and constants, and is only there to mend what no score is: not a number, infinite.
struct Mending {};

/// What a value is in the plan; nothing: its node has no counterpart.
using Meaning = std::variant<std::monostate, View, Positions, Activated, Scores, Mending>;

/// Goes through the nodes of an ONNX graph once, in their order.
class Translator {
public:
    Translator(const Imported& graph, const Sizes& sizes);
    /// After it, unsupported() says what has no counterpart.
    void run();
    const std::map<std::string, int>& unsupported() const { return unsupported_; }
    Plan take() { return std::move(plan_); }

private:
    /// A view arranged as a matrix of tokens, and how to see a result of its form as the view was seen.
    struct Matrix {
        int tensor;
        std::vector<std::int64_t> order;  ///< of axes, as they lie in the matrix
        Shape arranged;                   ///< shape of the view in that order
    };

    void translate(const Node& node);
    bool move(const Node& node);  ///< false: not an operator that only moves data
    bool move_to(const Node& node, std::optional<View> view);
    bool cut(const Node& node, const View& x);
    bool split(const Node& node, const View& x);
    bool gather(const Node& node);
    bool concat(const Node& node);
    bool product(const Node& node, bool trans_a, bool trans_b, int bias);
    bool gemm(const Node& node);
    bool scores(const Node& node, const View& q, const View& k);
    bool attend(const Node& node, const Scores& s, const View& v);
    bool add(const Node& node);
    bool add_constant(const Node& node, const View& x, int constant);
    bool multiply(const Node& node);
    bool mask(const Node& node);
    bool hide(Scores& s, const Array& mask, bool where_true) const;
    bool softmax(const Node& node);
    bool norm(const Node& node, bool centred);
    bool pointwise(const Node& node, OpKind kind, const Attributes& a);
    bool rope(const Node& node);
    bool one_row(const Node& node, const View& x);
    void finish_outputs();
    void part_products();
    void fail(const std::string& what) { ++unsupported_[what]; }

    const Meaning& meaning(int v);
    template <class T>
    const T* as(const Node& node, std::size_t i) {
        return i < node.in.size() && node.in[i] >= 0 ? std::get_if<T>(&meaning(node.in[i])) : nullptr;
    }
    const Value& value(int v) const { return g_.value(v); }
    bool is_constant(int v) const { return value(v).known.has_value() || value(v).weight; }
    bool used_once(int v) const;
    std::optional<double> number(const Node& node, std::size_t i) const;

    int tensor(std::string name, Role role, Shape shape);
    int weight_of(int v, const Shape& shape);
    int vector_of(int v, std::int64_t n, const std::string& name);
    int emit(OpKind kind, const Node& node, std::vector<int> in, Shape out, const Attributes& a = {});
    void set(const Node& node, Meaning m, std::size_t i = 0);
    /// The tensor that a view arranged in this order shows whole, or the part of a product that it shows.
    std::optional<int> tensor_of(const View& view);
    std::optional<Matrix> matrix_of(const View& view);
    View seen_as(const Matrix& like, int tensor) const;
    Attributes sequence() const;
    std::int64_t tokens() const { return batch_ * seq_; }

    /// A part of a product's columns, to become a product of its own.
    struct Part {
        int whole;
        Columns columns;
        int tensor;
    };

    const Imported& g_;
    Sizes sizes_;
    std::int64_t batch_ = 1, seq_ = 1;
    Plan plan_;
    std::vector<Meaning> meanings_;
    std::map<int, int> weights_;
    std::vector<Part> parts_;
    std::map<std::string, int> unsupported_;
};

}  // namespace wb::onnx_import
