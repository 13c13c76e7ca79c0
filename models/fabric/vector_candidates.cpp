#include <fmt/format.h>

#include "core/error.hpp"
#include "models/fabric/candidate.hpp"
#include "models/fabric/programs/vector_programs.hpp"

namespace wb::fabric {
namespace {

VectorOp vector_op(const Op& op) {
    switch (op.kind) {
        case OpKind::softmax: return VectorOp::softmax;
        case OpKind::layernorm: return VectorOp::layernorm;
        case OpKind::rmsnorm: return VectorOp::rmsnorm;
        case OpKind::gelu: return op.attributes.tanh_form ? VectorOp::gelu_tanh : VectorOp::gelu_erf;
        case OpKind::silu_mul: return VectorOp::silu_mul;
        case OpKind::rope: return VectorOp::rope;
        default: WB_EXPECT(op.kind == OpKind::add); return VectorOp::add;
    }
}

/// Reads the operand as a matrix of so many columns.
Load load(const HostTensors* host, std::size_t operand, std::int64_t columns) {
    return [&values = host->input(operand), columns](std::int64_t row, std::int64_t column) {
        return values[static_cast<std::size_t>(row * columns + column)];
    };
}

double sram_bytes(const Placing& p, const VectorCall& call, const Spread& s) {
    const std::int64_t columns = call.op == VectorOp::rope ? s.paired_tile_columns() : s.tile_columns();
    const bool two = call.op == VectorOp::add || call.op == VectorOp::silu_mul;
    const auto rows_of_parameters = static_cast<std::int64_t>(p.op.in.size()) - 1;  // gamma, beta
    const std::int64_t tile = (two ? 2 : 1) * s.tile_rows() * columns + (two ? 0 : rows_of_parameters * columns);
    const std::int64_t statistics = passes(call.op).allreduces > 0 ? s.tile_rows() : 0;
    return static_cast<double>(tile * bytes(p.type) + statistics * bytes(Type::f32));
}

}  // namespace

Candidates vector_candidates(const Placing& p) {
    const Shape& shape = p.in(0);
    VectorCall call;
    call.op = vector_op(p.op);
    call.columns = shape.back();
    call.rows = elements(shape) / call.columns;
    call.type = p.type;
    call.a = p.op.attributes;
    const bool two = call.op == VectorOp::add || call.op == VectorOp::silu_mul;
    if (two && p.in(1) != shape) return {{}, fmt::format("{} of operands of different shapes", name(p.op.kind))};

    const DType type = p.type == Type::f32 ? DType::f32 : DType::f16;
    const Spread spread{call.rows, call.columns, p.rows, p.columns, type};
    const int reductions = passes(call.op).allreduces;
    Candidate c;
    c.algorithm = "tiles";
    c.rows = p.rows;
    c.columns = p.columns;
    c.cycles = vector_op_cycles(p.mesh, call.op, spread);
    c.sram_bytes = sram_bytes(p, call, spread);
    c.hops = 2.0 * reductions * static_cast<double>(spread.tile_rows()) * p.pes();
    c.host_flops = 100 * static_cast<double>(elements(shape));
    const std::size_t operands = p.op.in.size();
    c.job = [call, operands, mesh = p.mesh, rows = p.rows, columns = p.columns](HostTensors* host) -> Job {
        VectorCall with_data = call;
        if (host) {
            with_data.x = load(host, 0, call.columns);
            if (operands > 1) with_data.y = load(host, 1, call.columns);
            if (operands > 2) with_data.beta = load(host, 2, call.columns);
            with_data.out = [host, width = call.columns](std::int64_t row, std::int64_t column, float value) {
                host->output()[static_cast<std::size_t>(row * width + column)] = value;
            };
        }
        return {vector_program(std::move(with_data), mesh, rows, columns), {}};
    };
    return {{std::move(c)}, ""};
}

}  // namespace wb::fabric
