#include <doctest/doctest.h>

#include <numbers>

#include "models/fabric/programs/vector_programs.hpp"
#include "tests/models/program_cases.hpp"

using namespace wb;
using namespace wb::fabric;

namespace {

const VectorOp all_ops[] = {VectorOp::add,  VectorOp::gelu_tanh, VectorOp::gelu_erf,  VectorOp::silu_mul,
                            VectorOp::rope, VectorOp::softmax,   VectorOp::layernorm, VectorOp::rmsnorm};

const char* name_of(VectorOp op) {
    static const char* const names[] = {"add",  "gelu tanh", "gelu erf",  "silu_mul",
                                        "rope", "softmax",   "layernorm", "rmsnorm"};
    return names[static_cast<int>(op)];
}

double gelu(double x, bool tanh_form) {
    const double inner = std::sqrt(2 / std::numbers::pi) * (x + 0.044715 * x * x * x);
    return 0.5 * x * (1 + (tanh_form ? std::tanh(inner) : std::erf(x / std::numbers::sqrt2)));
}

struct Inputs {
    Matrix x, y, beta;
};

/// Row by row in doubles, apart from rope.
void expected_row(const VectorCall& c, const Inputs& in, std::int64_t i, Matrix& out) {
    const std::int64_t n = c.columns;
    double largest = -INFINITY, sum = 0, mean = 0, square = 0;
    for (std::int64_t j = 0; j < n; ++j) largest = std::max(largest, in.x.at(i, j));
    for (std::int64_t j = 0; j < n; ++j) sum += std::exp(in.x.at(i, j) - largest);
    if (c.op == VectorOp::layernorm)
        for (std::int64_t j = 0; j < n; ++j) mean += in.x.at(i, j) / static_cast<double>(n);
    for (std::int64_t j = 0; j < n; ++j) square += std::pow(in.x.at(i, j) - mean, 2) / static_cast<double>(n);
    for (std::int64_t j = 0; j < n; ++j) {
        const double x = in.x.at(i, j), normal = (x - mean) / std::sqrt(square + c.a.eps);
        double& y = out.at(i, j);
        switch (c.op) {
            case VectorOp::add: y = x + in.y.at(i, j); break;
            case VectorOp::gelu_tanh: y = gelu(x, true); break;
            case VectorOp::gelu_erf: y = gelu(x, false); break;
            case VectorOp::silu_mul: y = x / (1 + std::exp(-x)) * in.y.at(i, j); break;
            case VectorOp::softmax: y = std::exp(x - largest) / sum; break;
            case VectorOp::layernorm: y = normal * in.y.at(0, j) + in.beta.at(0, j); break;
            case VectorOp::rmsnorm: y = normal * in.y.at(0, j); break;
            case VectorOp::rope: break;
        }
    }
}

void expected_rope(const VectorCall& c, const Matrix& x, Matrix& out) {
    const Attributes& a = c.a;
    const std::int64_t per_head = c.columns / a.heads, half = a.rotary_dim / 2;
    out = x;
    for (std::int64_t i = 0; i < c.rows; ++i)
        for (std::int64_t h = 0; h < a.heads; ++h)
            for (std::int64_t k = 0; k < half; ++k) {
                const double turn = static_cast<double>(a.offset + i % a.seq) *
                                    std::pow(a.theta, -static_cast<double>(k) / static_cast<double>(half));
                const double s = a.inverse ? -std::sin(turn) : std::sin(turn);
                const std::int64_t at = h * per_head + a.rotary_offset;
                const std::int64_t p = at + (a.interleaved ? 2 * k : k), q = a.interleaved ? p + 1 : p + half;
                out.at(i, p) = x.at(i, p) * std::cos(turn) - x.at(i, q) * s;
                out.at(i, q) = x.at(i, q) * std::cos(turn) + x.at(i, p) * s;
            }
}

VectorCall call_of(VectorOp op, std::int64_t rows, std::int64_t columns, Type type) {
    VectorCall c;
    c.op = op;
    c.rows = rows;
    c.columns = columns;
    c.type = type;
    c.a.eps = 1e-5;
    c.a.theta = 1e4;
    c.a.seq = 5;
    c.a.offset = 3;
    c.a.heads = 3;
    c.a.rotary_dim = columns / 3 / 2 * 2;
    return c;
}

void check_values(VectorCall call, int mesh_rows, int mesh_columns) {
    CAPTURE(name_of(call.op));
    CAPTURE(mesh_rows);
    CAPTURE(mesh_columns);
    const bool per_column = call.op == VectorOp::layernorm || call.op == VectorOp::rmsnorm;
    const Inputs in{filled("x", call.rows, call.columns, call.type, 3),
                    filled("y", per_column ? 1 : call.rows, call.columns, call.type),
                    filled("beta", 1, call.columns, call.type)};
    Matrix found = zeros(call.rows, call.columns), wanted = found;
    call.x = load_of(in.x);
    call.y = load_of(in.y);
    call.beta = load_of(in.beta);
    call.out = store_to(found);
    if (call.op == VectorOp::rope) expected_rope(call, in.x, wanted);
    for (std::int64_t i = 0; i < call.rows && call.op != VectorOp::rope; ++i) expected_row(call, in, i, wanted);

    const Mesh mesh = ideal_mesh(mesh_rows, mesh_columns);
    const Program program = vector_program(call, mesh, mesh_rows, mesh_columns);
    const Result with_data = Simulator(mesh, mesh_options(mesh_rows, mesh_columns, true)).run(program);
    CHECK(largest_difference(found, wanted) < (call.type == Type::f32 ? 4e-6 : 8e-3));
    CHECK(2 * with_data.fma == doctest::Approx(vector_flops(call)).epsilon(1e-12).scale(0));
    const Result timing = Simulator(mesh, mesh_options(mesh_rows, mesh_columns, false)).run(program);
    CHECK(timing.cycles == with_data.cycles);
}

}  // namespace

TEST_CASE("vector programs compute what plain loops compute, on even and uneven tiles") {
    const int meshes[][2] = {{1, 1}, {1, 2}, {3, 5}, {4, 8}, {7, 1}, {2, 40}};
    for (VectorOp op : all_ops)
        for (Type type : {Type::f32, Type::f16})
            for (const auto& mesh : meshes) check_values(call_of(op, 10, 30, type), mesh[0], mesh[1]);
}

TEST_CASE("rope turns part of a head, interleaved and back") {
    VectorCall call = call_of(VectorOp::rope, 6, 33, Type::f32);
    call.a.rotary_dim = 6;
    call.a.rotary_offset = 4;
    check_values(call, 2, 4);
    call.a.interleaved = call.a.inverse = true;
    check_values(call, 3, 3);
}

TEST_CASE("closed form of vector ops agrees with the simulator within 5 %") {
    Agreement agreement("vector ops on meshes");
    for (bool costly : {false, true})
        for (int side : {4, 8, 16, 32, 64}) {
            const Mesh mesh = costly ? costly_mesh(side, side) : ideal_mesh(side, side);
            for (VectorOp op : all_ops)
                for (Type type : {Type::f32, Type::f16})
                    for (const auto& [rows, columns] : {std::pair{1, 1}, {1, 8}, {4, 4}, {16, 6}, {5, 33}}) {
                        if (side >= 32 && (type == Type::f16 || rows * columns == 24)) continue;
                        VectorCall call = call_of(op, rows * side, columns * side, type);
                        call.a.heads = 1;
                        call.a.rotary_dim = columns * side / 2 * 2;
                        const Result r = Simulator(mesh, mesh_options(side, side, false))
                                             .run(vector_program(call, mesh, side, side));
                        const Spread spread{call.rows, call.columns, side, side, dtype(type)};
                        const double error =
                            agreement.add(fmt::format("{} {} {}x{} tiles of {}x{}{}", name_of(op), name(dtype(type)),
                                                      side, side, rows, columns, costly ? ", starts cost" : ""),
                                          r.cycles, vector_op_cycles(mesh, op, spread));
                        CHECK(error < 0.05);
                    }
        }
}
