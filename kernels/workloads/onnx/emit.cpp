#include <algorithm>
#include <cmath>

#include "kernels/workloads/onnx/layers.hpp"
#include "kernels/workloads/onnx/plan.hpp"

namespace wb::onnx_import {
namespace {

/// Puts the ops of a plan into a graph.
class Emitter {
public:
    Emitter(const Plan& plan, DType dtype) : plan_(plan), dtype_(dtype), ids_(plan.tensors.size(), none) {}

    Graph graph(std::int64_t most_layers) {
        g_.phase("forward");
        const auto layers = find_layers(plan_);
        const int n = static_cast<int>(plan_.ops.size());
        run(0, layers ? layers->first : n);
        if (layers) {
            repeat(*layers, most_layers > 0 ? std::min<std::int64_t>(most_layers, layers->times) : layers->times);
            run(layers->first + layers->period * layers->times, n);
        }
        for (std::size_t t = 0; t < plan_.tensors.size(); ++t)
            if (plan_.tensors[t].role == Role::output && ids_[t] != none) g_.mark_output(ids_[t]);
        return std::move(g_);
    }

private:
    static constexpr TensorId none{-1};

    void run(int first, int last) {
        for (int i = first; i < last; ++i) {
            const Plan::Op& op = plan_.ops[static_cast<std::size_t>(i)];
            std::vector<TensorId> in;
            for (std::size_t k = 0; k < op.in.size(); ++k) in.push_back(operand(op, k));
            const TensorId out = g_.add(op.kind, op.name, in, op.attributes);
            if (op.out >= 0) ids_[static_cast<std::size_t>(op.out)] = out;
        }
    }

    /// The second layer stands for all: its weights are made inside, and what it takes from the first is carried.
    void repeat(const Layers& l, std::int64_t times) {
        const int second = l.first + l.period;
        for (int i = second; i < second + l.period; ++i) make_shared_ones(l, i);
        std::vector<TensorId> init;
        for (const Layers::Carry& c : l.carries) init.push_back(id(c.init));
        const auto results = g_.repeat(times, init, [&](const std::vector<TensorId>& in) {
            for (std::size_t c = 0; c < in.size(); ++c) ids_[out_of(l.first + l.carries[c].from)] = in[c];
            run(second, second + l.period);
            std::vector<TensorId> out;
            for (const Layers::Carry& c : l.carries) out.push_back(ids_[out_of(second + c.from)]);
            return out;
        });
        const int last = l.first + l.period * (l.times - 1);
        for (std::size_t c = 0; c < results.size(); ++c) ids_[out_of(last + l.carries[c].from)] = results[c];
    }

    /// A weight that all layers read is one weight, outside.
    void make_shared_ones(const Layers& l, int op) {
        for (std::size_t i = 0; i < plan_.ops[op].in.size(); ++i) {
            const int t = plan_.ops[op].in[i];
            if (plan_.tensors[t].role == Role::weight && plan_.ops[op - l.period].in[i] == t) operand(plan_.ops[op], i);
        }
    }

    std::size_t out_of(int op) const { return static_cast<std::size_t>(plan_.ops[static_cast<std::size_t>(op)].out); }
    TensorId id(int t) {
        if (ids_[static_cast<std::size_t>(t)] == none && plan_.tensors[t].role == Role::input) make_input(t);
        return ids_.at(static_cast<std::size_t>(t));
    }

    void make_input(int t) {
        const Plan::Tensor& tensor = plan_.tensors[t];
        ids_[static_cast<std::size_t>(t)] = tensor.vocabulary > 0 ? g_.input(tensor.name, tensor.shape, DType::int32,
                                                                             {Fill::Kind::integers, tensor.vocabulary})
                                                                  : g_.input(tensor.name, tensor.shape, dtype_);
    }

    TensorId operand(const Plan::Op& op, std::size_t i) {
        const int t = op.in[i];
        const Plan::Tensor& tensor = plan_.tensors[t];
        TensorId& known = ids_[static_cast<std::size_t>(t)];
        if (known != none) return known;
        if (tensor.role == Role::state)
            return known = g_.state(tensor.name, tensor.shape, dtype_, {Fill::Kind::uniform, 1.0});
        if (tensor.role == Role::weight) return known = g_.weight(tensor.name, tensor.shape, dtype_, fill(op, i));
        return id(t);
    }

    /// Values as a native model's: neither vanishing nor growing from layer to layer.
    Fill fill(const Plan::Op& op, std::size_t i) const {
        const Shape& shape = plan_.tensors[op.in[i]].shape;
        const bool norm = op.kind == OpKind::layernorm || op.kind == OpKind::rmsnorm;
        if (norm && i == 1) return {Fill::Kind::constant, 1.0};
        if (shape.size() < 2) return {Fill::Kind::uniform, 0.1};
        const bool columns = op.kind != OpKind::matmul || op.attributes.trans_b;
        return {Fill::Kind::uniform, std::sqrt(3.0 / static_cast<double>(shape[columns ? 1 : 0]))};
    }

    const Plan& plan_;
    const DType dtype_;
    std::vector<TensorId> ids_;
    Graph g_{"onnx"};
};

}  // namespace

Graph emit(const Plan& plan, DType dtype, std::int64_t layers) { return Emitter(plan, dtype).graph(layers); }

}  // namespace wb::onnx_import
