#include "core/graph.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>
#include <map>

#include "core/error.hpp"
#include "core/fill_source.hpp"
#include "core/hash.hpp"

namespace wb {

TensorId Graph::append(Tensor tensor) {
    std::int64_t n = 1;
    for (std::int64_t extent : tensor.shape) {
        if (extent < 1)
            throw Error({fmt::format("tensor \"{}\"", tensor.name),
                         fmt::format("has shape [{}]", fmt::join(tensor.shape, ", ")),
                         "every extent must be at least 1", ""});
        if (n > std::numeric_limits<std::int64_t>::max() / 64 / extent)
            throw Error({fmt::format("tensor \"{}\"", tensor.name),
                         fmt::format("shape [{}] overflows", fmt::join(tensor.shape, ", ")),
                         "its elements cannot be counted in 64 bits", "Use a smaller size."});
        n *= extent;
    }
    tensors_.push_back(std::move(tensor));
    return tensor_id(tensors_.size() - 1);
}

int Graph::open_block() {
    if (!open_) {
        const int at = static_cast<int>(ops_.size());
        blocks_.push_back({phase_, 1, false, at, at, {}});
        open_ = true;
    }
    return static_cast<int>(blocks_.size()) - 1;
}

TensorId Graph::input(std::string name, Shape shape, DType dtype, Fill fill) {
    return append({std::move(name), std::move(shape), dtype, Role::input, std::move(fill), -1});
}

TensorId Graph::weight(std::string name, Shape shape, DType dtype, Fill fill) {
    return append(
        {std::move(name), std::move(shape), dtype, Role::weight, std::move(fill), in_repeat_ ? open_block() : -1});
}

TensorId Graph::state(std::string name, Shape shape, DType dtype, Fill fill) {
    return append(
        {std::move(name), std::move(shape), dtype, Role::state, std::move(fill), in_repeat_ ? open_block() : -1});
}

std::vector<TensorId> Graph::apply(OpKind kind, std::string name, std::vector<TensorId> in,
                                   const Attributes& attributes) {
    std::vector<Operand> operands;
    for (TensorId id : in) operands.push_back({&tensor(id).shape, tensor(id).dtype});
    const std::vector<OutputRule> rules = infer(kind, name, operands, attributes);
    const int block = open_block();
    Op op{kind, std::move(name), std::move(in), {}, attributes};
    for (std::size_t i = 0; i < rules.size(); ++i) {
        if (rules[i].in_place >= 0) {
            op.out.push_back(op.in[rules[i].in_place]);
        } else {
            const std::string label = rules.size() == 1 ? op.name : fmt::format("{}.{}", op.name, i);
            op.out.push_back(append({label, rules[i].shape, rules[i].dtype, Role::activation, {}, block}));
        }
    }
    ops_.push_back(op);
    blocks_[block].last = static_cast<int>(ops_.size());
    return op.out;
}

TensorId Graph::add(OpKind kind, std::string name, std::vector<TensorId> in, const Attributes& attributes) {
    return apply(kind, std::move(name), std::move(in), attributes).front();
}

void Graph::mark_output(TensorId id) {
    Tensor& t = tensors_.at(index(id));
    WB_EXPECT(t.role == Role::activation || t.role == Role::output);
    t.role = Role::output;
}

void Graph::phase(std::string name) {
    phase_ = std::move(name);
    open_ = false;
}

std::vector<TensorId> Graph::repeat(std::int64_t n, const std::vector<TensorId>& init, const Body& body,
                                    bool reversed) {
    WB_EXPECT(!in_repeat_);
    if (n < 1) throw Error({name_, fmt::format("repeats a block {} times", n), "the count must be at least 1", ""});
    const int at = static_cast<int>(ops_.size());
    blocks_.push_back({phase_, n, reversed, at, at, {}});
    const int block = static_cast<int>(blocks_.size()) - 1;
    open_ = in_repeat_ = true;
    std::vector<TensorId> in;
    for (TensorId id : init) {
        const Tensor& t = tensor(id);
        in.push_back(append({t.name + ".carried", t.shape, t.dtype, Role::activation, {}, block}));
    }
    const std::vector<TensorId> out = body(in);
    WB_EXPECT(out.size() == in.size());
    open_ = in_repeat_ = false;
    std::vector<TensorId> results;
    for (std::size_t i = 0; i < in.size(); ++i) {
        const Tensor& t = tensor(out[i]);
        if (t.shape != tensor(in[i]).shape || t.dtype != tensor(in[i]).dtype || out[i] == in[i])
            throw Error({name_,
                         fmt::format("the repeated block turns [{}] into [{}]", fmt::join(tensor(in[i]).shape, ", "),
                                     fmt::join(t.shape, ", ")),
                         "each iteration must hand on a new value of the same shape and type", ""});
        results.push_back(append({t.name + ".last", t.shape, t.dtype, Role::activation, {}, -1}));
        blocks_[block].carries.push_back({init[i], in[i], out[i], results[i]});
    }
    return results;
}

void Graph::then(std::string phase, std::int64_t times, std::shared_ptr<const Graph> graph) {
    WB_EXPECT(ops_.empty() && tensors_.empty() && graph->phases().empty());
    if (times < 1)
        throw Error({name_, fmt::format("phase \"{}\" runs {} times", phase, times), "it must run at least once", ""});
    phases_.push_back({std::move(phase), times, std::move(graph)});
}

std::vector<const Graph*> Graph::leaves() const {
    if (phases_.empty()) return {this};
    std::vector<const Graph*> out;
    for (const Phase& p : phases_)
        if (std::find(out.begin(), out.end(), p.graph.get()) == out.end()) out.push_back(p.graph.get());
    return out;
}

std::int64_t Graph::instances(TensorId id) const {
    const int block = tensor(id).block;
    return block < 0 ? 1 : blocks_[block].repeat;
}

std::int64_t Graph::elements(TensorId id) const { return wb::elements(tensor(id).shape); }

Bytes Graph::bytes(TensorId id) const { return Bytes(static_cast<double>(elements(id)) * bits(tensor(id).dtype) / 8); }

const Block& Graph::block_of(int op) const {
    for (const Block& b : blocks_)
        if (op >= b.first && op < b.last) return b;
    contract_failed("op belongs to a block", __FILE__, __LINE__);
}

namespace {

Work total(const Graph& g) {
    Work sum{Flops(0), Flops(0)};
    for (const Phase& p : g.phases()) {
        const Work w = total(*p.graph);
        sum.matmul += w.matmul * static_cast<double>(p.times);
        sum.vector += w.vector * static_cast<double>(p.times);
    }
    for (const Block& block : g.blocks())
        for (int i = block.first; i < block.last; ++i) {
            const Op& op = g.ops()[i];
            std::vector<Operand> in;
            for (TensorId id : op.in) in.push_back({&g.tensor(id).shape, g.tensor(id).dtype});
            const Work w = work(op.kind, in, op.attributes);
            const double times = static_cast<double>(block.repeat) * op.attributes.share;
            sum.matmul += w.matmul * times;
            sum.vector += w.vector * times;
        }
    return sum;
}

/// The part of operand `i` of `op` that the op must touch: rows looked up in a table, experts that at least must be
/// read.
double touched(const Graph& g, const Op& op, std::size_t i) {
    const Tensor& t = g.tensor(op.in[i]);
    const double all = g.bytes(op.in[i]).si();
    const auto part = [&](double rows) { return all * std::min(1.0, rows / static_cast<double>(t.shape[0])); };
    if (op.kind == OpKind::embed && i == 1) return part(1);  // all tokens may be equal
    if (op.kind == OpKind::position_embed && i == 1) return part(static_cast<double>(op.attributes.seq));
    if (op.kind == OpKind::grouped_matmul && !op.attributes.trans_a && i == 1)
        return part(static_cast<double>(op.attributes.topk));
    if (op.kind == OpKind::cache_write && i == 0) return 0;  // written, not read
    return all;
}

}  // namespace

Flops Graph::flops() const { return total(*this).matmul + total(*this).vector; }
Flops Graph::matmul_flops() const { return total(*this).matmul; }

Bytes Graph::compulsory_bytes() const {
    std::vector<double> read(tensors_.size(), 0), written(tensors_.size(), 0);
    for (const Op& op : ops_) {
        for (std::size_t i = 0; i < op.in.size(); ++i) {
            double& r = read[index(op.in[i])];
            r = std::max(r, touched(*this, op, i));
        }
        for (TensorId id : op.out) {
            double w = bytes(id).si();
            if (op.kind == OpKind::cache_write) w = bytes(op.in[1]).si();
            if (op.kind == OpKind::embed_backward && op.attributes.accumulate) w = 0;
            written[index(id)] = std::max(written[index(id)], w);
        }
    }
    for (const Block& block : blocks_)
        for (const Carry& c : block.carries) {
            const Role role = tensor(c.init).role;
            if (role == Role::input || role == Role::state) read[index(c.init)] = bytes(c.init).si();
            if (tensor(c.result).role == Role::output) written[index(c.result)] = bytes(c.result).si();
        }
    double sum = 0;
    for (const Phase& p : phases_) sum += p.graph->compulsory_bytes().si() * static_cast<double>(p.times);
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
        if (tensors_[i].role == Role::activation) continue;
        const double n = static_cast<double>(instances(tensor_id(i)));
        sum += n * written[i];
        if (tensors_[i].role != Role::output) sum += n * read[i];
    }
    return Bytes(sum);
}

std::int64_t Graph::parameters() const {
    std::int64_t n = 0;
    for (const Phase& p : phases_) n = std::max(n, p.graph->parameters());
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
        const TensorId id = tensor_id(i);
        if (tensors_[i].role == Role::weight) n += elements(id) * instances(id);
    }
    return n;
}

const std::string& Graph::fingerprint() const {
    if (!fingerprint_.empty()) return fingerprint_;
    Digest d;
    d.add(name_);
    for (const Tensor& t : tensors_) {
        d.add(t.name).add(static_cast<std::int64_t>(t.shape.size()));
        for (std::int64_t extent : t.shape) d.add(extent);
        d.add(wb::name(t.dtype))
            .add(static_cast<int>(t.role))
            .add(static_cast<int>(t.fill.kind))
            .add(t.fill.a)
            .add(t.fill.stream)
            .add(t.block);
        if (t.fill.source) d.add(t.fill.source->digest());
    }
    for (const Op& op : ops_) {
        const Attributes& a = op.attributes;
        d.add(wb::name(op.kind)).add(op.name);
        for (TensorId id : op.in) d.add(static_cast<int>(id));
        for (TensorId id : op.out) d.add(static_cast<int>(id));
        for (bool v : {a.trans_a, a.trans_b, a.causal, a.inverse, a.interleaved, a.tanh_form, a.accumulate, a.sigmoid,
                       a.shared_kv})
            d.add(v);
        for (std::int64_t v : {a.batch, a.seq, a.seq_kv, a.heads, a.kv_heads, a.head_dim, a.v_head_dim, a.window,
                               a.rotary_dim, a.rotary_offset, a.offset, a.experts, a.topk, a.rows, a.ranks})
            d.add(v);
        for (double v : {a.scale, a.eps, a.theta, a.rate, a.beta1, a.beta2, a.decay, a.share}) d.add(v);
        d.add(wb::name(a.collective));
        if (a.adapter) d.add("adapter");
    }
    for (const Block& b : blocks_) {
        d.add(b.phase).add(b.repeat).add(b.reversed).add(b.first).add(b.last);
        for (const Carry& c : b.carries)
            for (TensorId id : {c.init, c.in, c.out, c.result}) d.add(static_cast<int>(id));
    }
    for (const Phase& p : phases_) d.add(p.name).add(p.times).add(p.graph->fingerprint());
    return fingerprint_ = d.hex();
}

Graph Graph::resolved(DType for_any16, DType for_any8) const {
    Graph out = *this;
    out.fingerprint_ = fingerprint();
    for (Tensor& t : out.tensors_) {
        if (t.dtype == DType::any16) t.dtype = for_any16;
        if (t.dtype == DType::any8) t.dtype = for_any8;
    }
    std::map<const Graph*, std::shared_ptr<const Graph>> made;  // phases go on sharing graphs
    for (Phase& p : out.phases_) {
        std::shared_ptr<const Graph>& graph = made[p.graph.get()];
        if (!graph) graph = std::make_shared<const Graph>(p.graph->resolved(for_any16, for_any8));
        p.graph = graph;
    }
    return out;
}

}  // namespace wb
