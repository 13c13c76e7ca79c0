// Every algorithm on a mesh with dead PEs and links: the rows and columns left out cost hops, never a result.

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "models/fabric/programs/attention_programs.hpp"
#include "models/fabric/programs/collectives.hpp"
#include "models/fabric/programs/gemm.hpp"
#include "models/fabric/programs/gemv.hpp"
#include "models/fabric/programs/stencil_programs.hpp"
#include "models/fabric/programs/transpose.hpp"
#include "models/fabric/programs/vector_programs.hpp"
#include "tests/models/program_cases.hpp"

using namespace wb;
using namespace wb::fabric;

namespace {

constexpr int side = 6, spares = 3;

/// What a run left, for comparison, and the cycles it took.
struct Ran {
    std::uint64_t cycles = 0;
    std::vector<double> values;
};
using Run = std::function<Ran(const Mesh& mesh, const Options& options)>;

Options whole(bool data) { return mesh_options(side, side, data); }

/// The first random map from this seed on whose spares suffice, and which makes the mesh leave out something.
YieldMap damaged(std::uint64_t seed) {
    for (;; seed += 1000) {
        YieldMap map = YieldMap::random(side + spares, side + spares, 0.03, 0.01, seed);
        try {
            const Placement p = place(map, side, side);
            if (p.rows.back() >= side || p.columns.back() >= side) return map;
        } catch (const Error&) {
        }
    }
}

/// The fault-free run, then the same on damaged meshes: equal results, in both modes, and the slowdown.
void check(const std::string& name, const Run& run) {
    CAPTURE(name);
    const Mesh mesh = ideal_mesh(side + spares, side + spares);
    const Ran sound = run(mesh, whole(true));
    CHECK(sound.cycles > 0);
    CHECK(std::any_of(sound.values.begin(), sound.values.end(), [](double x) { return x != 0; }));
    double worst = 1;
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
        CAPTURE(seed);
        Options options = whole(true);
        options.defects = damaged(seed);
        const Ran hurt = run(mesh, options);
        CHECK(hurt.values == sound.values);
        // Not always slower: wavelets that meet a cycle later may meet in a luckier order.
        CHECK(static_cast<double>(hurt.cycles) >= 0.99 * static_cast<double>(sound.cycles));
        options.data = false;
        CHECK(run(mesh, options).cycles == hurt.cycles);
        worst = std::max(worst, static_cast<double>(hurt.cycles) / static_cast<double>(sound.cycles));
    }
    // Every hop may be twice as long here, half of the mesh being spare; a message is never slowed down by more.
    CHECK(worst < 1 + 2.0 * spares / (side - 1));
    MESSAGE(fmt::format("{:<24} {:>7} cycles, with defects up to {:.3f} times", name, sound.cycles, worst));
}

/// A collective on whole numbers: PE (r, c) starts with 1 + i + r + 10 c.
Run collective(const std::function<void(Pe&)>& route, const std::function<Process(Pe&, Vec)>& body) {
    return [=](const Mesh& mesh, const Options& options) {
        constexpr std::size_t n = 30;
        Simulator simulator(mesh, options);
        Ran ran;
        ran.cycles = simulator
                         .run([&](Pe& pe) -> Process {
                             const Vec v = pe.alloc(Type::f32, n);
                             for (std::size_t i = 0; i < n; ++i)
                                 pe.set(v, i, static_cast<float>(1 + static_cast<int>(i) + pe.row + 10 * pe.column));
                             route(pe);
                             co_await body(pe, v);
                         })
                         .cycles;
        for (int i = 0; options.data && i < side * side; ++i)
            for (std::size_t k = 0; k < n; ++k)
                ran.values.push_back(simulator.pe(i / side, i % side).get({0, n, 1, Type::f32}, k));
        return ran;
    };
}

/// Every PE's first vector, as `collective` left it, is `wanted`.
void check_sum(const Run& run) {
    const Ran ran = run(ideal_mesh(side, side), whole(true));
    for (std::size_t k = 0; k < ran.values.size(); ++k) {
        const double i = static_cast<double>(k % 30);
        CHECK(ran.values[k] == side * side * (1 + i) + 11 * side * side * (side - 1) / 2.0);
    }
}

std::vector<float> numbers(std::int64_t n, int seed) {
    std::vector<float> v;
    for (std::int64_t i = 0; i < n; ++i) v.push_back(static_cast<float>((i * 7 + seed) % 11 - 5));
    return v;
}

Run product(const GemmPlan& plan) {
    return [plan](const Mesh& mesh, const Options& options) {
        const std::vector<float> a = numbers(plan.m * plan.k, 1), b = numbers(plan.k * plan.n, 4);
        GemmProgram gemm(plan, a, b);
        Simulator simulator(mesh, options);
        Ran ran;
        ran.cycles = simulator.run(gemm.program()).cycles;
        if (!options.data) return ran;
        const std::vector<float> c = gemm.result(simulator);
        ran.values.assign(c.begin(), c.end());
        return ran;
    };
}

Run matrix_vector(const GemvPlan& plan) {
    return [plan](const Mesh& mesh, const Options& options) {
        const std::vector<float> w = numbers(plan.k * plan.n, 1), x = numbers(plan.k, 4);
        GemvProgram gemv(plan, w, x);
        Simulator simulator(mesh, options);
        Ran ran;
        ran.cycles = simulator.run(gemv.program()).cycles;
        if (!options.data) return ran;
        const std::vector<float> y = gemv.result(simulator);
        ran.values.assign(y.begin(), y.end());
        return ran;
    };
}

/// A program that writes to matrices of the host.
Ran run_to(const Program& program, const Mesh& mesh, const Options& options, const Matrix& found) {
    Ran ran;
    ran.cycles = Simulator(mesh, options).run(program).cycles;
    ran.values = found.values;
    return ran;
}

}  // namespace

TEST_CASE("collectives on a mesh with defects") {
    check("broadcast",
          collective([](Pe& pe) { route_broadcast_2d(pe, 5); }, [](Pe& pe, Vec v) { return broadcast_2d(pe, v, 5); }));
    const struct {
        const char* name;
        ReductionTree tree;
    } trees[] = {{"reduce, star", star_tree(side)},
                 {"reduce, chain", chain_tree(side)},
                 {"reduce, binary tree", binary_tree(side)},
                 {"reduce, two-phase", two_phase_tree(side)},
                 {"reduce, auto-generated", least_energy_tree(side, 2)}};
    for (const auto& t : trees) {
        const ReducePlan plan(t.tree, {0, 8});
        check(t.name, collective([&](Pe& pe) { route_reduce(pe, row_line(pe), plan); },
                                 [&](Pe& pe, Vec v) { return reduce(pe, row_line(pe), v, plan); }));
    }
    const Allreduce2d both{{chain_plan(side, {0, 2}), chain_plan(side, {2, 2})}, 4};
    const Run sum = collective([&](Pe& pe) { route_allreduce_2d(pe, both); },
                               [&](Pe& pe, Vec v) { return allreduce_2d(pe, v, both); });
    check_sum(sum);
    check("allreduce, chains", sum);
    check("allreduce, ring", collective(
                                 [](Pe& pe) {
                                     route_ring(pe, row_line(pe), {0, 3});
                                 },
                                 [](Pe& pe, Vec v) {
                                     return ring_allreduce(pe, row_line(pe), v, {0, 3});
                                 }));
}

TEST_CASE("GEMM, GEMV and transpose on a mesh with defects") {
    const struct {
        const char* name;
        GemmAlgorithm algorithm;
    } products[] = {{"SUMMA", GemmAlgorithm::summa},
                    {"Cannon", GemmAlgorithm::cannon},
                    {"MeshGEMM", GemmAlgorithm::interleaved},
                    {"allgather GEMM", GemmAlgorithm::allgather},
                    {"transposed GEMM", GemmAlgorithm::transposed}};
    for (const auto& p : products) {
        GemmPlan plan;
        plan.algorithm = p.algorithm;
        plan.m = 29;
        plan.k = 24;
        plan.n = 31;
        plan.rows = plan.columns = side;
        check(p.name, product(plan));
    }
    for (const auto sum : {GemvPlan::Sum::pipeline, GemvPlan::Sum::two_level}) {
        GemvPlan plan;
        plan.k = 50;
        plan.n = 61;
        plan.rows = plan.columns = side;
        plan.sum = sum;
        check(sum == GemvPlan::Sum::pipeline ? "GEMV, pipelined" : "GEMV, K-tree", matrix_vector(plan));
    }
}

TEST_CASE("transpose on a mesh with defects") {
    check("transpose", [](const Mesh& mesh, const Options& options) {
        Simulator simulator(mesh, options);
        Ran ran;
        ran.cycles =
            simulator
                .run([](Pe& pe) -> Process {
                    route_transpose(pe, 3);
                    const Vec tile = pe.alloc(Type::f32, 12), out = pe.alloc(Type::f32, 12),
                              scratch = pe.alloc(Type::f32, 12);
                    for (std::size_t i = 0; i < 12; ++i)
                        pe.set(tile, i, static_cast<float>(100 * pe.row + 10 * pe.column + static_cast<int>(i)));
                    co_await transpose(pe, tile, out, scratch, 4, 3, 3);
                })
                .cycles;
        for (int i = 0; options.data && i < side * side; ++i)
            for (std::size_t k = 0; k < 12; ++k)
                ran.values.push_back(simulator.pe(i / side, i % side).get({48, 12, 1, Type::f32}, k));
        return ran;
    });
}

TEST_CASE("vector operators on a mesh with defects") {
    const struct {
        const char* name;
        VectorOp op;
    } ops[] = {{"softmax", VectorOp::softmax}, {"rmsnorm", VectorOp::rmsnorm}, {"layernorm", VectorOp::layernorm},
               {"rope", VectorOp::rope},       {"gelu", VectorOp::gelu_tanh},  {"silu_mul", VectorOp::silu_mul}};
    const Matrix x = filled("x", 17, 40, Type::f32), y = filled("y", 17, 40, Type::f32),
                 beta = filled("b", 1, 40, Type::f32);
    for (const auto& o : ops)
        check(o.name, [&](const Mesh& mesh, const Options& options) {
            Matrix found = zeros(17, 40);
            VectorCall call{o.op, 17, 40, Type::f32, {}, load_of(x), load_of(y), load_of(beta), store_to(found)};
            call.a.eps = 1e-5;
            call.a.heads = 2;
            call.a.seq = 17;
            call.a.rotary_dim = 20;
            call.a.theta = 10000;
            return run_to(vector_program(call, mesh, side, side), mesh, options, found);
        });
}

TEST_CASE("attention on a mesh with defects") {
    for (const int seq : {12, 1})
        check(seq == 1 ? "attention, decode" : "attention, prefill", [&](const Mesh& mesh, const Options& options) {
            AttentionCall call;
            call.a.batch = 1;
            call.a.seq = seq;
            call.a.seq_kv = 24;
            call.a.heads = call.a.kv_heads = 2;
            call.a.head_dim = call.a.v_head_dim = 6;
            call.a.causal = true;
            call.a.scale = 0.5;
            const Matrix q = filled("q", seq, 12, Type::f32), k = filled("k", 24, 12, Type::f32),
                         v = filled("v", 24, 12, Type::f32);
            Matrix found = zeros(seq, 12);
            call.plan = attention_plan(call.a, DType::f32, side, side, 2);
            call.q = load_of(q);
            call.k = load_of(k);
            call.v = load_of(v);
            call.out = store_to(found);
            const Program program =
                seq == 1 ? attention_decode_program(call, mesh) : attention_prefill_program(call, mesh);
            return run_to(program, mesh, options, found);
        });
}

TEST_CASE("stencils on a mesh with defects") {
    const std::int64_t depth = 20;
    const auto field = [](int r, int c, std::int64_t z) { return static_cast<float>((3 * r + 5 * c + z) % 7 - 3); };
    check("stencil, 7 points", [&](const Mesh& mesh, const Options& options) {
        Matrix found = zeros(side * side, depth);
        Stencil7Call call;
        call.depth = depth;
        call.x = field;
        call.coefficient.fill(field);
        call.out = [&](int r, int c, std::int64_t z, float value) { found.at(r * side + c, z) = value; };
        return run_to(stencil7_program(call), mesh, options, found);
    });
    check("stencil, 25 points", [&](const Mesh& mesh, const Options& options) {
        Matrix found = zeros(side * side, depth);
        Stencil25Call call;
        call.depth = depth;
        call.weight = {1, 2, 3, 4, 5};
        call.now = call.before = call.speed = field;
        call.next = [&](int r, int c, std::int64_t z, float value) { found.at(r * side + c, z) = value; };
        return run_to(stencil25_program(call), mesh, options, found);
    });
}
