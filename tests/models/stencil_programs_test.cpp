#include <doctest/doctest.h>

#include "models/fabric/programs/stencil_programs.hpp"
#include "tests/models/program_cases.hpp"

using namespace wb;
using namespace wb::fabric;

namespace {

/// A grid as a matrix: a row for each column of points.
struct Grid {
    int rows, columns;
    std::int64_t depth;
    Matrix values;

    double at(int i, int j, std::int64_t z) const {
        const bool inside = i >= 0 && i < rows && j >= 0 && j < columns && z >= 0 && z < depth;
        return inside ? values.at(std::int64_t{i} * columns + j, z) : 0;
    }
};

Grid grid(const std::string& name, int rows, int columns, std::int64_t depth, Type type) {
    return {rows, columns, depth, filled(name, std::int64_t{rows} * columns, depth, type)};
}

GridLoad load_of(const Grid& g) {
    return [&g](int i, int j, std::int64_t z) { return static_cast<float>(g.at(i, j, z)); };
}
GridStore store_to(Grid& g) {
    return [&g](int i, int j, std::int64_t z, float v) { g.values.at(std::int64_t{i} * g.columns + j, z) = v; };
}

template <class F>
Grid computed(const Grid& like, const F& f) {
    Grid out = like;
    for (int i = 0; i < like.rows; ++i)
        for (int j = 0; j < like.columns; ++j)
            for (std::int64_t z = 0; z < like.depth; ++z)
                out.values.at(std::int64_t{i} * like.columns + j, z) = f(i, j, z);
    return out;
}

/// Runs with data and without; the cycles of both.
Result run_both(const Program& program, int rows, int columns) {
    const Mesh mesh = ideal_mesh(rows, columns);
    const Result timing = Simulator(mesh, mesh_options(rows, columns, false)).run(program);
    const Result result = Simulator(mesh, mesh_options(rows, columns, true)).run(program);
    CHECK(timing.cycles == result.cycles);
    return result;
}

void check_stencil7(int rows, int columns, std::int64_t depth, Type type, Type sums) {
    const Grid x = grid("x", rows, columns, depth, type);
    std::vector<Grid> a;
    for (int term = 0; term < stencil7_terms; ++term)
        a.push_back(grid("a" + std::to_string(term), rows, columns, depth, type));
    const Grid wanted = computed(x, [&](int i, int j, std::int64_t z) {
        return a[0].at(i, j, z) * x.at(i, j, z) + a[1].at(i, j, z) * x.at(i - 1, j, z) +
               a[2].at(i, j, z) * x.at(i, j + 1, z) + a[3].at(i, j, z) * x.at(i + 1, j, z) +
               a[4].at(i, j, z) * x.at(i, j - 1, z) + a[5].at(i, j, z) * x.at(i, j, z - 1) +
               a[6].at(i, j, z) * x.at(i, j, z + 1);
    });
    Grid found = x;
    Stencil7Call call{depth, type, sums, load_of(x), {}, store_to(found)};
    for (std::size_t term = 0; term < a.size(); ++term) call.coefficient[term] = load_of(a[term]);
    const Result r = run_both(stencil7_program(call), rows, columns);
    CHECK(largest_difference(found.values, wanted.values) < (sums == Type::f32 ? 2e-6 : 6e-3));
    CHECK(2 * r.fma == doctest::Approx(stencil7_total_flops(rows, columns, depth)).epsilon(1e-12).scale(0));
}

void check_stencil25(int rows, int columns, std::int64_t depth, Type type) {
    const Grid now = grid("now", rows, columns, depth, type), before = grid("before", rows, columns, depth, type),
               speed = grid("speed", rows, columns, depth, type);
    const std::array<float, 5> w{-0.875F, 0.5F, -0.25F, 0.125F, -0.0625F};
    const Grid wanted = computed(now, [&](int i, int j, std::int64_t z) {
        double sum = w[0] * now.at(i, j, z);
        for (int d = 1; d <= 4; ++d)
            sum += w[static_cast<std::size_t>(d)] * (now.at(i - d, j, z) + now.at(i + d, j, z) + now.at(i, j - d, z) +
                                                     now.at(i, j + d, z) + now.at(i, j, z - d) + now.at(i, j, z + d));
        return 2 * now.at(i, j, z) - before.at(i, j, z) + speed.at(i, j, z) * sum;
    });
    Grid found = now;
    const Stencil25Call call{depth, type, w, load_of(now), load_of(before), load_of(speed), store_to(found)};
    const Result r = run_both(stencil25_program(call), rows, columns);
    CHECK(largest_difference(found.values, wanted.values) < (type == Type::f32 ? 2e-6 : 3e-3));
    CHECK(2 * r.fma == doctest::Approx(stencil25_total_flops(rows, columns, depth)).epsilon(1e-12).scale(0));
}

}  // namespace

TEST_CASE("stencil programs compute what plain loops compute") {
    const int meshes[][2] = {{1, 1}, {1, 6}, {5, 2}, {3, 3}, {10, 11}};
    for (const auto& mesh : meshes)
        for (std::int64_t depth : {1, 4, 13}) {
            check_stencil7(mesh[0], mesh[1], depth, Type::f32, Type::f32);
            check_stencil7(mesh[0], mesh[1], depth, Type::f16, Type::f32);
            check_stencil7(mesh[0], mesh[1], depth, Type::f16, Type::f16);
            check_stencil25(mesh[0], mesh[1], depth, Type::f32);
            check_stencil25(mesh[0], mesh[1], depth, Type::f16);
        }
}

TEST_CASE("closed form of stencils agrees with the simulator within 5 %") {
    Agreement agreement("stencil steps on meshes");
    for (bool costly : {false, true})
        for (int side : {4, 8, 16, 32, 64})
            for (std::int64_t depth : {16, 100, 700})
                for (Type type : {Type::f32, Type::f16}) {
                    if (side >= 32 && depth > 100) continue;
                    const Mesh mesh = costly ? costly_mesh(side, side) : ideal_mesh(side, side);
                    const StencilShape shape{side, side, depth, dtype(type), DType::f32};
                    const auto compare = [&](const char* name, const Program& program, double law) {
                        const Result r = Simulator(mesh, mesh_options(side, side, false)).run(program);
                        CHECK(agreement.add(fmt::format("{} {} {}x{}x{}{}", name, wb::name(shape.type), side, side,
                                                        depth, costly ? ", starts cost" : ""),
                                            r.cycles, law) < 0.05);
                    };
                    Stencil7Call seven;
                    seven.depth = depth;
                    seven.type = type;
                    compare("7 points", stencil7_program(seven), stencil7_cycles(mesh, shape));
                    Stencil25Call twenty_five;
                    twenty_five.depth = depth;
                    twenty_five.type = type;
                    compare("25 points", stencil25_program(twenty_five), stencil25_cycles(mesh, shape));
                }
}
