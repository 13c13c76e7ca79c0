#include "kernels/workloads/onnx/layers.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>

namespace wb::onnx_import {
namespace {

/// All that two ops must share to be the same op of two layers.
std::string signature(const Plan& plan, const Plan::Op& op) {
    const Attributes& a = op.attributes;
    std::string out =
        fmt::format("{} {} {} {} {} {} {} {} {} {} {} {} {} {} {} {}", name(op.kind), a.trans_b, a.causal,
                    a.interleaved, a.tanh_form, a.batch, a.seq, a.seq_kv, a.heads, a.kv_heads, a.head_dim, a.v_head_dim,
                    a.window, a.rotary_dim, a.offset, fmt::format("{} {} {}", a.scale, a.eps, a.theta));
    for (const int t : op.in)
        out += fmt::format(" {}[{}]", static_cast<int>(plan.tensors[t].role), fmt::join(plan.tensors[t].shape, ","));
    return out;
}

/// Compares the ops of one layer with those of the second, which stands for all.
class Comparison {
public:
    Comparison(const Plan& plan, Layers layers) : plan_(plan), l_(std::move(layers)) {}

    std::optional<Layers> result() {
        for (int k = 0; k < l_.times; ++k)
            if (!layer(k)) return std::nullopt;
        for (const auto& [from, init] : inits_) l_.carries.push_back({from, init});
        if (!what_follows_fits()) return std::nullopt;
        return l_;
    }

private:
    int begin(int k) const { return l_.first + k * l_.period; }
    bool made_here(int t) const {
        const int p = plan_.tensors[t].producer;
        return p >= l_.first && p < begin(l_.times);
    }

    bool layer(int k) {
        std::map<int, int> mine;  // tensor of the second layer -> of this one
        for (int j = 0; j < l_.period; ++j) {
            const Plan::Op &a = plan_.ops[begin(1) + j], &b = plan_.ops[begin(k) + j];
            for (std::size_t i = 0; i < a.in.size(); ++i)
                if (!input(k, a.in[i], b.in[i], mine)) return false;
            if (b.out >= 0 && plan_.tensors[b.out].role != Role::activation) return false;
        }
        return true;
    }

    bool input(int k, int of_second, int of_this, std::map<int, int>& mine) {
        const Plan::Tensor& t = plan_.tensors[of_second];
        if (!made_here(of_second)) {
            const bool own = t.role == Role::weight || t.role == Role::state;
            if (!own) return of_this == of_second;  // the same for all layers
            return mine.emplace(of_second, of_this).first->second == of_this;
        }
        const int at = t.producer - begin(1), now = plan_.tensors[of_this].producer;
        if (at >= 0) return now == begin(k) + at;
        if (at < -l_.period) return false;
        const int from = at + l_.period;
        if (k > 0) return now == begin(k - 1) + from && (inits_.contains(from) || k == 1);
        if (made_here(of_this) || plan_.tensors[of_this].shape != t.shape) return false;
        return inits_.emplace(from, of_this).first->second == of_this;
    }

    /// After the last layer only what it hands on is known.
    bool what_follows_fits() const {
        for (std::size_t i = static_cast<std::size_t>(begin(l_.times)); i < plan_.ops.size(); ++i)
            for (const int t : plan_.ops[i].in)
                if (made_here(t) && !inits_.contains(plan_.tensors[t].producer - begin(l_.times - 1))) return false;
        return !inits_.empty();
    }

    const Plan& plan_;
    Layers l_;
    std::map<int, int> inits_;
};

}  // namespace

std::optional<Layers> find_layers(const Plan& plan) {
    std::vector<std::string> signatures;
    for (const Plan::Op& op : plan.ops) signatures.push_back(signature(plan, op));
    const int n = static_cast<int>(signatures.size());
    std::vector<Layers> candidates;
    for (int period = 1; 2 * period <= n; ++period)
        for (int i = 0; i + period < n; ++i) {
            const int first = i;
            while (i + period < n && signatures[i] == signatures[i + period]) ++i;
            const int times = (i - first) / period + 1;
            if (times < 2) continue;
            for (int shift = 0; shift <= (i - first) % period; ++shift)
                candidates.push_back({first + shift, period, times, {}});
        }
    std::stable_sort(candidates.begin(), candidates.end(), [](const Layers& a, const Layers& b) {
        return a.period * (a.times - 1) > b.period * (b.times - 1);
    });
    std::optional<Layers> best;
    for (const Layers& c : candidates) {
        if (best && best->period * (best->times - 1) > c.period * (c.times - 1)) break;
        const auto found = Comparison(plan, c).result();
        if (found && (!best || found->carries.size() < best->carries.size())) best = found;
    }
    return best;
}

}  // namespace wb::onnx_import
