#include "models/lawful.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "models/model_work.hpp"

namespace wb::cluster {

ModelShape shape_of(const Graph& g) {
    ModelShape s;
    s.training = is_training(g);
    for (const Block& block : g.blocks())
        for (int i = block.first; i < block.last; ++i) {
            const Op& op = g.ops()[static_cast<std::size_t>(i)];
            const Attributes& a = op.attributes;
            if (op.kind == OpKind::grouped_matmul) s.experts = std::max(s.experts, a.experts);
            if (op.kind != OpKind::attention || (block.repeat == 1 && block.carries.empty() && g.ops().size() < 4))
                continue;
            s.layers += block.repeat;
            s.batch = a.batch;
            s.seq = a.seq;
            s.heads = a.heads;
            s.kv_heads = a.kv_heads;
            s.decoding = a.seq == 1 && a.seq_kv > 1;
        }
    return s;
}

bool lawful_tensor(const ModelShape& s, int n) {
    return n >= 1 && s.heads % n == 0 && (s.kv_heads % n == 0 || s.kv_heads == 1);
}

bool lawful_pipeline(const ModelShape& s, int runs) {
    if (runs < 1 || runs > s.layers + std::min<std::int64_t>(3, s.layers / 20)) return false;
    return (runs - s.layers % runs) % runs <= 3;
}

bool lawful_context(const ModelShape& s, int n) { return n == 1 || (n > 1 && !s.decoding && s.seq % n == 0); }

bool lawful_expert(const ModelShape& s, int n) { return n == 1 || (n > 1 && s.experts > 0 && s.experts % n == 0); }

namespace {

/// "tp3 does not divide 64 heads; lawful nearest it: tp2, tp4"
std::string refused(const char* factor, int value, const std::string& problem, std::int64_t most,
                    const std::function<bool(int)>& lawful) {
    int below = value - 1, above = value + 1;
    while (below >= 1 && !lawful(below)) --below;
    while (above <= most && !lawful(above)) ++above;
    std::string near;
    if (below >= 1) near = fmt::format("{}{}", factor, below);
    if (above <= most) near += fmt::format("{}{}{}", near.empty() ? "" : " and ", factor, above);
    return fmt::format("{}{} {}{}", factor, value, problem, near.empty() ? "" : "; the nearest lawful: " + near);
}

std::string wrong_units(const Mapping& m, int units) {
    std::string out = fmt::format("mapping {} takes {} units, the case has {}", m.text(), m.units(), units);
    const int inner = m.units() / m.data;
    if (units % inner == 0) return out + fmt::format("; dp{} would take them all", units / inner);
    return out + fmt::format("; without dp it takes {}, and {} and {} are the nearest counts it divides", inner,
                             std::max(1, units / inner) * inner, (units / inner + 1) * inner);
}

std::string wrong_batch(const ModelShape& s, const Mapping& m) {
    const std::int64_t replicas = static_cast<std::int64_t>(m.data) * m.expert;
    if (s.batch % replicas != 0)
        return refused("dp", m.data, fmt::format("x ep{} does not divide a batch of {} sequences", m.expert, s.batch),
                       s.batch, [&](int n) { return s.batch % (static_cast<std::int64_t>(n) * m.expert) == 0; });
    const std::int64_t each = s.batch / replicas;
    if (each % m.microbatches != 0)
        return refused("mb", m.microbatches, fmt::format("does not divide the {} sequences of a replica", each), each,
                       [&](int n) { return each % n == 0; });
    if (m.virtual_stages > 1 && m.microbatches % m.pipeline != 0)
        return refused("mb", m.microbatches,
                       fmt::format("is no multiple of pp{}, as interleaved stages need", m.pipeline), each,
                       [&](int n) { return each % n == 0 && n % m.pipeline == 0; });
    return "";
}

}  // namespace

std::string unlawful(const ModelShape& s, const Mapping& m, int units) {
    if (m.units() != units) return wrong_units(m, units);
    if (!s.is_model())
        return m.units() == m.tensor ? "" : "a bare operator can only be shared by tensor parallelism, tp";
    if (!lawful_tensor(s, m.tensor))
        return refused("tp", m.tensor,
                       fmt::format("does not divide {} heads over {} key-value heads", s.heads, s.kv_heads), s.heads,
                       [&](int n) { return lawful_tensor(s, n); });
    if (!lawful_pipeline(s, m.pipeline))
        return refused("pp", m.pipeline, fmt::format("does not divide {} layers", s.layers), s.layers,
                       [&](int n) { return lawful_pipeline(s, n); });
    if (m.virtual_stages > 1 && m.pipeline == 1) return "vp needs a pipeline: pp is 1; the nearest lawful: vp1";
    if (!lawful_pipeline(s, m.pipeline * m.virtual_stages))
        return refused("vp", m.virtual_stages, fmt::format("x pp{} does not divide {} layers", m.pipeline, s.layers),
                       s.layers / m.pipeline, [&](int n) { return lawful_pipeline(s, m.pipeline * n); });
    if (!lawful_context(s, m.context))
        return refused("cp", m.context, fmt::format("does not divide a sequence of {} tokens", s.decoding ? 1 : s.seq),
                       s.decoding ? 1 : s.seq, [&](int n) { return lawful_context(s, n); });
    if (!lawful_expert(s, m.expert))
        return refused("ep", m.expert, fmt::format("does not divide {} experts", s.experts), s.experts,
                       [&](int n) { return lawful_expert(s, n); });
    if (m.shard > 0 && !s.training) return "zero shares what training keeps, and this graph does not train";
    if (m.offload && !s.training) return "offload moves what training keeps to the host, and this graph does not train";
    return wrong_batch(s, m);
}

}  // namespace wb::cluster
