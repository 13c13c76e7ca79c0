#include <doctest/doctest.h>

#include <limits>

#include "core/error.hpp"
#include "models/fabric/programs/attention_programs.hpp"
#include "tests/models/program_cases.hpp"

using namespace wb;
using namespace wb::fabric;

namespace {

Attributes attention(std::int64_t batch, std::int64_t seq, std::int64_t seq_kv, std::int64_t heads,
                     std::int64_t kv_heads, std::int64_t head_dim, bool causal = false) {
    Attributes a;
    a.batch = batch;
    a.seq = seq;
    a.seq_kv = seq_kv;
    a.heads = heads;
    a.kv_heads = kv_heads;
    a.head_dim = a.v_head_dim = head_dim;
    a.causal = causal;
    a.scale = 1 / std::sqrt(static_cast<double>(head_dim));
    return a;
}

struct Outputs {
    Matrix out, lse;
};

/// One query and one head in doubles: the rule of the graph.
void attend(const Attributes& a, const Matrix& q, const Matrix& k, const Matrix& v, std::int64_t b, std::int64_t h,
            std::int64_t i, Outputs& to) {
    const std::int64_t kv = h / (a.heads / a.kv_heads), position = i + a.seq_kv - a.seq;
    const std::int64_t v_stride = a.shared_kv ? a.head_dim : a.v_head_dim;
    std::vector<double> weight(static_cast<std::size_t>(a.seq_kv));
    double largest = -INFINITY, sum = 0;
    const auto visible = [&](std::int64_t j) {
        return !(a.causal || a.window > 0) || (j <= position && (a.window == 0 || j > position - a.window));
    };
    for (std::int64_t j = 0; j < a.seq_kv; ++j) {
        double& w = weight[static_cast<std::size_t>(j)];
        w = -INFINITY;
        if (!visible(j)) continue;
        w = 0;
        for (std::int64_t f = 0; f < a.head_dim; ++f)
            w += a.scale * q.at(b * a.seq + i, h * a.head_dim + f) * k.at(b * a.seq_kv + j, kv * a.head_dim + f);
        largest = std::max(largest, w);
    }
    for (double& w : weight) sum += w = std::isinf(w) ? 0 : std::exp(w - largest);
    to.lse.at(b * a.heads + h, i) = largest + (sum > 0 ? std::log(sum) : 0);
    for (std::int64_t f = 0; f < a.v_head_dim; ++f) {
        double& o = to.out.at(b * a.seq + i, h * a.v_head_dim + f);
        for (std::int64_t j = 0; j < a.seq_kv && sum > 0; ++j)
            o += weight[static_cast<std::size_t>(j)] / sum * v.at(b * a.seq_kv + j, kv * v_stride + f);
    }
}

Outputs empty(const Attributes& a) {
    return {zeros(a.batch * a.seq, a.heads * a.v_head_dim), zeros(a.batch * a.heads, a.seq)};
}

Program program_of(AttentionCall call, const Mesh& mesh) {
    return call.a.seq == 1 ? attention_decode_program(std::move(call), mesh)
                           : attention_prefill_program(std::move(call), mesh);
}

void check_values(const Attributes& a, Type type, int rows, int columns, int width, std::int64_t chunks = 1) {
    CAPTURE(a.seq);
    CAPTURE(a.seq_kv);
    CAPTURE(rows);
    CAPTURE(columns);
    CAPTURE(width);
    const std::int64_t v_width = a.kv_heads * (a.shared_kv ? a.head_dim : a.v_head_dim);
    const Matrix q = filled("q", a.batch * a.seq, a.heads * a.head_dim, type, 2),
                 k = filled("k", a.batch * a.seq_kv, a.kv_heads * a.head_dim, type, 2),
                 v = filled("v", a.batch * a.seq_kv, v_width, type);
    Outputs found = empty(a), wanted = empty(a);
    for (std::int64_t b = 0; b < a.batch; ++b)
        for (std::int64_t h = 0; h < a.heads; ++h)
            for (std::int64_t i = 0; i < a.seq; ++i) attend(a, q, k, v, b, h, i, wanted);

    const Mesh mesh = ideal_mesh(rows, columns);
    AttentionCall call{a,
                       type,
                       attention_plan(a, dtype(type), rows, columns, width),
                       load_of(q),
                       load_of(k),
                       load_of(v),
                       store_to(found.out),
                       store_to(found.lse)};
    call.plan.chunks = chunks;
    const Program program = program_of(call, mesh);
    const Result r = Simulator(mesh, mesh_options(rows, columns, true)).run(program);
    CHECK(largest_difference(found.out, wanted.out) < (type == Type::f32 ? 2e-6 : 2e-3));
    CHECK(largest_difference(found.lse, wanted.lse) < 1e-5);
    CHECK(2 * r.fma == doctest::Approx(attention_flops(a)).epsilon(1e-12).scale(0));
    CHECK(r.sram_peak <= attention_sram_bytes(a, dtype(type), call.plan));
    CHECK(r.sram_peak > attention_sram_bytes(a, dtype(type), call.plan) * 8 / 10 - 64);
    CHECK(Simulator(mesh, mesh_options(rows, columns, false)).run(program).cycles == r.cycles);
}

void compare(Agreement& agreement, const Attributes& a, DType type, int side, int width, bool costly,
             std::int64_t chunks = 1) {
    const Mesh mesh = costly ? costly_mesh(side, side) : ideal_mesh(side, side);
    AttentionCall call;
    call.a = a;
    call.type = type == DType::f32 ? Type::f32 : Type::f16;
    call.plan = attention_plan(a, type, side, side, width);
    call.plan.chunks = chunks;
    const double law = a.seq == 1 ? attention_decode_cycles(mesh, a, type, call.plan)
                                  : attention_prefill_cycles(mesh, a, type, call.plan);
    const Result r = Simulator(mesh, mesh_options(side, side, false)).run(program_of(call, mesh));
    CHECK(agreement.add(fmt::format("{}x{} {} q {} kv {} heads {}/{} d {} w {}{}{}", side, side, name(type), a.seq,
                                    a.seq_kv, a.heads, a.kv_heads, a.head_dim, width, a.causal ? " causal" : "",
                                    costly ? ", starts cost" : ""),
                        r.cycles, law) < 0.05);
}

}  // namespace

TEST_CASE("prefill attention computes what plain loops compute") {
    for (Type type : {Type::f32, Type::f16}) {
        check_values(attention(1, 4, 4, 1, 1, 2), type, 1, 1, 1);
        check_values(attention(1, 8, 8, 1, 1, 4), type, 2, 2, 2);
        check_values(attention(1, 9, 9, 2, 2, 4, true), type, 3, 4, 2);
        check_values(attention(2, 10, 10, 4, 2, 6, true), type, 4, 7, 3);
        check_values(attention(1, 23, 23, 3, 1, 8, true), type, 5, 4, 4);
        check_values(attention(1, 7, 20, 2, 1, 4, true), type, 4, 5, 4);
        check_values(attention(1, 20, 7, 2, 2, 4), type, 3, 2, 1);
        check_values(attention(1, 12, 5, 2, 2, 4, true), type, 3, 2, 1);
        check_values(attention(1, 30, 30, 2, 1, 5, true), type, 4, 5, 5, 3);
    }
}

TEST_CASE("prefill attention with a window, and with values inside the keys") {
    Attributes a = attention(1, 24, 24, 2, 1, 4, true);
    a.window = 5;
    check_values(a, Type::f32, 4, 4, 2);
    check_values(a, Type::f16, 3, 2, 2, 2);
    Attributes shared = attention(1, 10, 10, 4, 1, 6, true);
    shared.shared_kv = true;
    shared.v_head_dim = 4;
    check_values(shared, Type::f32, 3, 4, 4);
}

TEST_CASE("decode attention computes what plain loops compute") {
    for (Type type : {Type::f32, Type::f16}) {
        check_values(attention(1, 1, 4, 1, 1, 2), type, 1, 1, 1);
        check_values(attention(1, 1, 21, 4, 2, 4, true), type, 4, 6, 3);
        check_values(attention(3, 1, 9, 6, 2, 5, true), type, 4, 8, 2);
        check_values(attention(2, 1, 40, 8, 1, 8), type, 6, 16, 8);
    }
    Attributes a = attention(1, 1, 24, 2, 1, 4, true);
    a.window = 5;
    check_values(a, Type::f32, 4, 4, 4);
}

TEST_CASE("closed form of attention agrees with the simulator within 5 %") {
    Agreement prefill("prefill attention on meshes"), decode("decode attention on meshes");
    for (bool costly : {false, true})
        for (int s : {4, 8, 16, 32}) {
            const DType type = costly ? DType::f32 : DType::f16, other = costly ? DType::f16 : DType::f32;
            compare(prefill, attention(1, 2 * s, 2 * s, s, s, 8, true), type, s, 1, costly);
            compare(prefill, attention(1, 2 * s, 2 * s, s / 4, s / 4, 8, true), other, s, 4, costly);
            compare(prefill, attention(1, 4 * s, 4 * s, 4, 1, 32, true), type, s, s, costly);
            compare(prefill, attention(1, 6 * s, 6 * s, 4, 2, 16, true), other, s, s / 2, costly);
            if (s < 32) compare(prefill, attention(1, 2 * s, 2 * s, s, s / 4, 8), type, s, 4, costly);
            for (int width : {1, 4, s}) {
                compare(decode, attention(1, 1, 8 * s, 4 * (s / width), s / width, 32), type, s, width, costly);
                compare(decode, attention(2, 1, 16 * s, s / width, s / width, 64), other, s, width, costly);
            }
        }
    compare(prefill, attention(1, 128, 128, 64, 16, 8), DType::f16, 64, 4, false);
    compare(prefill, attention(1, 96, 96, 4, 2, 16, true), DType::f16, 8, 4, true, 4);
    compare(prefill, attention(1, 96, 96, 4, 2, 16), DType::f32, 16, 8, false, 3);
    compare(prefill, attention(2, 40, 200, 4, 2, 16, true), DType::f16, 8, 2, false);
    Attributes windowed = attention(1, 200, 200, 4, 4, 8, true);
    windowed.window = 40;
    compare(prefill, windowed, DType::f32, 8, 2, true, 2);
    compare(decode, attention(1, 1, 512, 16, 4, 64), DType::f16, 64, 16, true);
}

TEST_CASE("attention plans fit the SRAM, and say by how much they do not") {
    const Attributes a = attention(1, 2048, 2048, 32, 8, 128, true);
    Mesh mesh = costly_mesh(128, 128);
    const PlannedAttention best = plan_attention(mesh, a, DType::f16, 128, 128);
    CHECK(best.sram_bytes <= mesh.sram_bytes);
    CHECK(best.plan.width <= 128);
    CHECK(best.cycles == attention_prefill_cycles(mesh, a, DType::f16, best.plan));
    for (int width : {1, 4, 16, 64}) {
        const AttentionPlan other = attention_plan(a, DType::f16, 128, 128, width);
        if (attention_sram_bytes(a, DType::f16, other) <= mesh.sram_bytes)
            CHECK(best.cycles <= attention_prefill_cycles(mesh, a, DType::f16, other));
    }
    // Less SRAM: first more chunks of queries, then none.
    mesh.sram_bytes = best.sram_bytes - 1;
    CHECK(plan_attention(mesh, a, DType::f16, 128, 128).cycles >= best.cycles);
    mesh.sram_bytes = 2000;
    CHECK_THROWS_WITH_AS(plan_attention(mesh, a, DType::f16, 128, 128), doctest::Contains("bytes more than the 2000"),
                         Error);
    CHECK_THROWS_AS(attention_plan(a, DType::f16, 4, 4, 5), Error);
}

TEST_CASE("a simulated plan that just fits runs, and with a byte less is refused") {
    const Attributes a = attention(1, 1, 64, 2, 2, 8, true);
    Mesh mesh = ideal_mesh(4, 4);
    AttentionCall call;
    call.a = a;
    call.plan = attention_plan(a, DType::f32, 4, 4, 2);
    mesh.sram_bytes = attention_sram_bytes(a, DType::f32, call.plan);
    const Result r = Simulator(mesh, mesh_options(4, 4, false)).run(program_of(call, mesh));
    mesh.sram_bytes = r.sram_peak - 1;
    CHECK_THROWS_AS(Simulator(mesh, mesh_options(4, 4, false)).run(program_of(call, mesh)), Error);
}

TEST_SUITE_BEGIN("nightly");

TEST_CASE("closed form of attention agrees with the simulator, more sizes") {
    Agreement prefill("prefill attention on meshes"), decode("decode attention on meshes");
    for (bool costly : {false, true})
        for (DType type : {DType::f32, DType::f16})
            for (int s : {4, 8, 16, 32, 64}) {
                for (int width : {1, 4}) {
                    compare(prefill, attention(1, 2 * s, 2 * s, s / width, s / width, 8, true), type, s, width, costly);
                    compare(prefill, attention(1, 2 * s, 2 * s, 4 * (s / width), s / width, 8), type, s, width, costly);
                }
                compare(prefill, attention(1, 4 * s, 4 * s, 4, 1, 32, true), type, s, s, costly);
                compare(prefill, attention(1, 6 * s, 6 * s, 4, 2, 16, true), type, s, s / 2, costly);
                for (int width : {1, 4, s}) {
                    compare(decode, attention(1, 1, 8 * s, 4 * (s / width), s / width, 32), type, s, width, costly);
                    compare(decode, attention(2, 1, 16 * s, s / width, s / width, 64), type, s, width, costly);
                }
            }
}

TEST_SUITE_END();
