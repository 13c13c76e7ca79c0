#include <doctest/doctest.h>

#include <functional>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "models/collective_laws.hpp"
#include "models/fabric/programs/collectives.hpp"
#include "models/fabric/simulator.hpp"

using namespace wb;
using namespace wb::fabric;

namespace {

Mesh machine(int start = 0) {
    Mesh m;
    m.rows = m.columns = 128;
    m.sram_bytes = 48 * 1024;
    m.clock_hz = 1e9;
    m.vector_start_cycles = start;
    m.microthread_start_cycles = start;
    m.task_start_cycles = start;
    return m;
}

struct Setting {
    int rows, columns;
    std::size_t elements;
    Type type = Type::f32;
    int start = 0;
};

/// What PE (row, column) holds: small whole numbers, so that sums are exact in f16, too.
float part(int row, int column, std::size_t i) {
    return static_cast<float>((7 * row + 3 * column + 5 * static_cast<int>(i)) % 4 - 1);
}

using Combined = std::function<float(Combine, std::size_t)>;

/// Over the PEs of a rectangle, plainly.
Combined over(int row0, int rows, int column0, int columns) {
    return [=](Combine combine, std::size_t i) {
        float sum = combine == Combine::add ? 0 : -10;
        for (int r = row0; r < row0 + rows; ++r)
            for (int c = column0; c < column0 + columns; ++c)
                sum = combine == Combine::add ? sum + part(r, c, i) : std::max(sum, part(r, c, i));
        return sum;
    };
}

using Body = std::function<Process(Pe&, Vec, Combine)>;

/// Runs `body` on filled vectors, with data and without, then calls check(pe, values, combine) for every PE.
void verify(const Setting& s, const Body& body, const std::function<void(const Pe&, Vec, Combine)>& check) {
    for (const Combine combine : {Combine::add, Combine::maximum}) {
        Options options;
        options.rows = s.rows;
        options.columns = s.columns;
        Vec values;
        const Program program = [&](Pe& pe) -> Process {
            values = pe.alloc(s.type, s.elements);
            if (pe.data())
                for (std::size_t i = 0; i < s.elements; ++i) pe.set(values, i, part(pe.row, pe.column, i));
            co_await body(pe, values, combine);
        };
        Simulator simulator(machine(s.start), options);
        const std::uint64_t cycles = simulator.run(program).cycles;
        for (int r = 0; r < s.rows; ++r)
            for (int c = 0; c < s.columns; ++c) check(simulator.pe(r, c), values, combine);
        options.data = false;
        CHECK(Simulator(machine(s.start), options).run(program).cycles == cycles);
    }
}

void same(const Pe& pe, Vec values, Combine combine, const Combined& expected) {
    for (std::size_t i = 0; i < values.count; ++i) {
        INFO("PE (" << pe.row << ", " << pe.column << ") element " << i);
        REQUIRE(pe.get(values, i) == expected(combine, i));
    }
}

const Setting lines[] = {
    {1, 2, 3}, {1, 7, 1}, {1, 16, 33, Type::f16}, {1, 23, 10, Type::f32, 9}, {1, 48, 5, Type::f16, 3}};

}  // namespace

TEST_CASE("Reductions of every shape give the plain sum and maximum at index 0, in f32 and f16") {
    for (const Setting& s : lines)
        for (const auto algorithm : {ReduceAlgorithm::star, ReduceAlgorithm::chain, ReduceAlgorithm::tree,
                                     ReduceAlgorithm::two_phase, ReduceAlgorithm::generated, ReduceAlgorithm::fastest})
            for (const Forwarding forwarding : {Forwarding::streamed, Forwarding::phased}) {
                CAPTURE(name(algorithm));
                CAPTURE(s.columns);
                const ReductionTree tree = reduction_tree(algorithm, machine(s.start), s.columns, 16);
                const ReducePlan plan(tree, {2, 10}, Serves::once, forwarding);
                verify(
                    s,
                    [&](Pe& pe, Vec v, Combine combine) -> Process {
                        route_reduce(pe, row_line(pe), plan);
                        co_await reduce(pe, row_line(pe), v, plan, combine);
                    },
                    [&](const Pe& pe, Vec v, Combine combine) {
                        if (pe.column == 0) same(pe, v, combine, over(0, 1, 0, s.columns));
                    });
            }
}

TEST_CASE("Plans with ever fewer colours stay right, until an error says how many are needed") {
    for (const auto algorithm : {ReduceAlgorithm::star, ReduceAlgorithm::tree, ReduceAlgorithm::generated}) {
        const Setting s{1, 20, 6};
        const ReductionTree tree = reduction_tree(algorithm, machine(), s.columns, 6);
        int colours = reusable_colours(tree);
        for (; colours > 0; --colours) {
            CAPTURE(colours);
            const Serves serves = colours == reusable_colours(tree) ? Serves::often : Serves::once;
            std::unique_ptr<ReducePlan> plan;
            try {
                plan = std::make_unique<ReducePlan>(tree, Colours{0, colours}, serves);
            } catch (const Error& e) {
                CHECK(std::string(e.what()).find("not enough") != std::string::npos);
                break;
            }
            CHECK(plan->colours() <= colours);
            verify(
                s,
                [&](Pe& pe, Vec v, Combine combine) -> Process {
                    route_reduce(pe, row_line(pe), *plan);
                    co_await reduce(pe, row_line(pe), v, *plan, combine);
                },
                [&](const Pe& pe, Vec v, Combine combine) {
                    if (pe.column == 0) same(pe, v, combine, over(0, 1, 0, s.columns));
                });
        }
        CHECK(colours < 3);
    }
    CHECK_THROWS_AS(ReducePlan(star_tree(30), Colours{0, 24}, Serves::often), Error);
    CHECK(two_phase_plan(900, {0, 3}).reusable());
    CHECK(chain_plan(900, {0, 2}).reusable());
    CHECK(ReducePlan(binary_tree(1024), Colours{0, 10}, Serves::often).reusable());
}

TEST_CASE("Reusable plans serve many reductions in a row") {
    std::vector<ReducePlan> plans;
    plans.push_back(chain_plan(19, {0, 2}));
    plans.push_back(two_phase_plan(19, {0, 3}));
    plans.emplace_back(binary_tree(19), Colours{0, 8}, Serves::often);
    plans.emplace_back(binary_tree(8), Colours{0, 8}, Serves::often);
    for (const ReducePlan& plan : plans) {
        const int count = plan.tree().count();
        const Allreduce sum{plan, 9};
        verify(
            {1, count, 4},
            [&](Pe& pe, Vec v, Combine combine) -> Process {
                route_allreduce(pe, row_line(pe), sum);
                const Vec once = pe.alloc(Type::f32, 4);
                for (int round = 0; round < 4; ++round) {
                    co_await pe.copy(once, v);
                    co_await allreduce(pe, row_line(pe), once, sum, combine);
                }
                co_await pe.copy(v, once);
            },
            [&](const Pe& pe, Vec v, Combine combine) { same(pe, v, combine, over(0, 1, 0, count)); });
    }
}

TEST_CASE("Lines: columns, from the other end, parts of rows, side by side") {
    const ReducePlan five = two_phase_plan(5, {0, 3}), three = chain_plan(3, {3, 2});
    verify(
        {5, 6, 7},
        [&](Pe& pe, Vec v, Combine combine) -> Process {
            // Columns to their southern end, then halves of the southern row to their western ends.
            const Line column = column_line(pe).reversed();
            route_reduce(pe, column, five);
            const bool south = pe.row == 4;
            const Line half = row_line(pe).part(pe.column / 3 * 3, 3);
            if (south) route_reduce(pe, half, three);
            co_await reduce(pe, column, v, five, combine);
            if (south) co_await reduce(pe, half, v, three, combine);
        },
        [&](const Pe& pe, Vec v, Combine combine) {
            if (pe.row == 4 && pe.column % 3 == 0) same(pe, v, combine, over(0, 5, pe.column, 3));
        });
}

TEST_CASE("Two-dimensional reductions: X then Y, and the snake") {
    for (const Setting& s : {Setting{4, 6, 5}, Setting{5, 3, 8, Type::f16, 4}, Setting{1, 4, 2}, Setting{6, 1, 2}}) {
        const Allreduce2d sum{{two_phase_plan(s.columns, {0, 3}), two_phase_plan(s.rows, {3, 3})}, 6};
        verify(
            s,
            [&](Pe& pe, Vec v, Combine combine) -> Process {
                route_allreduce_2d(pe, sum);
                co_await allreduce_2d(pe, v, sum, combine);
            },
            [&](const Pe& pe, Vec v, Combine combine) { same(pe, v, combine, over(0, s.rows, 0, s.columns)); });
        const ReducePlan chain = chain_plan(s.rows * s.columns, {0, 2});
        verify(
            s,
            [&](Pe& pe, Vec v, Combine combine) -> Process {
                route_reduce(pe, snake_line(pe), chain);
                co_await reduce(pe, snake_line(pe), v, chain, combine);
            },
            [&](const Pe& pe, Vec v, Combine combine) {
                if (pe.row == 0 && pe.column == 0) same(pe, v, combine, over(0, s.rows, 0, s.columns));
            });
    }
}

TEST_CASE("Broadcasts reach every PE") {
    for (const Setting& s : {Setting{1, 9, 5}, Setting{4, 5, 7, Type::f16}, Setting{3, 1, 2}, Setting{1, 1, 2}}) {
        verify(
            s,
            [](Pe& pe, Vec v, Combine) -> Process {
                route_broadcast_2d(pe, 0);
                co_await broadcast_2d(pe, v, 0);
            },
            [](const Pe& pe, Vec v, Combine combine) { same(pe, v, combine, over(0, 1, 0, 1)); });
        verify(
            s,
            [](Pe& pe, Vec v, Combine) -> Process {
                route_broadcast(pe, column_line(pe), 0);
                co_await broadcast(pe, column_line(pe), v, 0);
            },
            [](const Pe& pe, Vec v, Combine combine) { same(pe, v, combine, over(0, 1, pe.column, 1)); });
    }
}

TEST_CASE("Rings: allreduce, and its two halves") {
    for (const Setting& s : {Setting{1, 2, 4}, Setting{1, 5, 20}, Setting{1, 8, 13, Type::f16, 5}, Setting{1, 6, 3},
                             Setting{1, 1, 3}, Setting{3, 7, 30, Type::f16}}) {
        const auto row = [&](const Pe& pe) { return over(pe.row, 1, 0, s.columns); };
        verify(
            s,
            [](Pe& pe, Vec v, Combine combine) -> Process {
                route_ring(pe, row_line(pe), {0, 3});
                co_await ring_allreduce(pe, row_line(pe), v, {0, 3}, combine);
            },
            [&](const Pe& pe, Vec v, Combine combine) { same(pe, v, combine, row(pe)); });
        verify(
            s,
            [](Pe& pe, Vec v, Combine combine) -> Process {
                route_ring(pe, row_line(pe), {0, 3});
                co_await ring_reduce_scatter(pe, row_line(pe), v, {0, 3}, combine);
            },
            [&](const Pe& pe, Vec v, Combine combine) {
                const Vec own = ring_chunk(v, s.columns, pe.column);
                for (std::size_t i = 0; i < v.count; ++i)
                    if (v.at(i) >= own.base && v.at(i) < own.base + own.count * bytes(v.type))
                        REQUIRE(pe.get(v, i) == row(pe)(combine, i));
            });
        verify(
            s,
            [](Pe& pe, Vec v, Combine) -> Process {
                route_ring(pe, row_line(pe), {0, 3});
                co_await ring_allgather(pe, row_line(pe), v, {0, 3});
            },
            [&](const Pe& pe, Vec v, Combine combine) {
                for (int owner = 0; owner < s.columns; ++owner) {
                    const Vec chunk = ring_chunk(v, s.columns, owner);
                    for (std::size_t i = 0; i < v.count; ++i)
                        if (v.at(i) >= chunk.base && v.at(i) < chunk.base + chunk.count * bytes(v.type))
                            REQUIRE(pe.get(v, i) == over(pe.row, 1, owner, 1)(combine, i));
                }
            });
    }
}
