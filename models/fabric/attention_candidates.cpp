#include "core/error.hpp"
#include "models/fabric/candidate.hpp"
#include "models/fabric/programs/attention_programs.hpp"

namespace wb::fabric {
namespace {

Load load(const HostTensors* host, std::size_t operand, std::int64_t columns) {
    return [&values = host->input(operand), columns](std::int64_t row, std::int64_t column) {
        return values[static_cast<std::size_t>(row * columns + column)];
    };
}

/// Keys and values go round the rows, two hops a step; scores and probabilities along the group.
double hops(const Placing& p, const AttentionPlan& plan, bool decode) {
    const double queries = static_cast<double>(plan.shared * plan.queries), keys = static_cast<double>(plan.keys);
    const double features = static_cast<double>(plan.features + plan.values);
    const double each =
        decode ? 2 * (queries * keys + queries * features) : plan.rows * (2 * keys * features + 2 * queries * keys);
    return static_cast<double>(plan.jobs) * p.pes() * each / per_wavelet(p.type);
}

Job make_job(const AttentionCall& call, const Mesh& mesh, bool decode, HostTensors* host) {
    AttentionCall with_data = call;
    const Attributes& a = call.a;
    if (host) {
        with_data.q = load(host, 0, a.heads * a.head_dim);
        with_data.k = load(host, 1, a.kv_heads * a.head_dim);
        with_data.v = load(host, 2, a.kv_heads * a.v_head_dim);
        with_data.out = [host, width = a.heads * a.v_head_dim](std::int64_t row, std::int64_t column, float value) {
            host->output()[static_cast<std::size_t>(row * width + column)] = value;
        };
    }
    return {decode ? attention_decode_program(std::move(with_data), mesh)
                   : attention_prefill_program(std::move(with_data), mesh),
            {}};
}

}  // namespace

Candidates attention_candidates(const Placing& p) {
    AttentionCall call;
    call.a = p.op.attributes;
    call.type = p.type;
    if (call.a.shared_kv) return {{}, "there is no program for attention whose values are part of its keys"};
    PlannedAttention planned;
    try {
        planned = plan_attention(p.mesh, call.a, p.type == Type::f32 ? DType::f32 : DType::f16, p.rows, p.columns);
    } catch (const Error& e) {
        return {{}, without_stop(e.what())};
    }
    call.plan = planned.plan;
    const bool decode = call.a.seq == 1;
    Candidate c;
    c.algorithm = "striped";
    c.rows = p.rows;
    c.columns = p.columns;
    c.cycles = planned.cycles;
    c.sram_bytes = static_cast<double>(planned.sram_bytes);
    c.hops = hops(p, call.plan, decode);
    c.host_flops = 4 * attention_flops(call.a);
    c.job = [call, mesh = p.mesh, decode](HostTensors* host) { return make_job(call, mesh, decode, host); };
    return {{std::move(c)}, ""};
}

}  // namespace wb::fabric
