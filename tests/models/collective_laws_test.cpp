#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "models/collective_laws.hpp"
#include "models/fabric/programs/collectives.hpp"
#include "models/fabric/simulator.hpp"

using namespace wb;
using namespace wb::fabric;

namespace {

/// The machine of the published laws: instructions start at once.
Mesh ideal() {
    Mesh m;
    m.rows = m.columns = 1024;
    m.sram_bytes = 48 * 1024;
    m.clock_hz = 1e9;
    return m;
}

/// One whose instructions take a while to start.
Mesh starting() {
    Mesh m = ideal();
    m.vector_start_cycles = 7;
    m.microthread_start_cycles = 5;
    return m;
}

/// Deviations of one figure from another, by name: how many, median, worst.
class Table {
public:
    explicit Table(double most) : most_(most) {}

    /// Checks that the deviation is not above the most allowed, or is of so few cycles.
    void add(const std::string& name, double closed, double other, const std::string& what, double cycles = 1) {
        Row& row = rows_[name];
        row.errors.push_back(std::abs(closed / other - 1));
        INFO(name << " " << what << ": " << closed << " and " << other);
        CHECK((row.errors.back() <= most_ || std::abs(closed - other) <= cycles));
        if (row.errors.back() < row.worst) return;
        row.worst = row.errors.back();
        row.at = fmt::format("{}: {:.0f} and {:.0f}", what, closed, other);
    }
    void print(const std::string& title) const {
        std::string text = fmt::format("{}\n{:<26}{:>6}{:>9}{:>9}  {}", title, "", "n", "median", "worst", "worst at");
        for (const auto& [name, row] : rows_) {
            std::vector<double> sorted = row.errors;
            std::sort(sorted.begin(), sorted.end());
            text += fmt::format("\n{:<26}{:>6}{:>8.2f}%{:>8.2f}%  {}", name, sorted.size(),
                                100 * sorted[sorted.size() / 2], 100 * row.worst, row.at);
        }
        MESSAGE(text);
    }

private:
    struct Row {
        std::vector<double> errors;
        double worst = 0;
        std::string at;
    };
    std::map<std::string, Row> rows_;
    double most_;
};

/// Cycles of a collective on `elements` per PE, without data.
double simulated(const Mesh& mesh, int rows, int columns, std::int64_t elements, Type type,
                 const std::function<Process(Pe&, Vec)>& collective) {
    Options o;
    o.rows = rows;
    o.columns = columns;
    o.data = false;
    o.link_use = false;
    const Program program = [&](Pe& pe) -> Process {
        co_await collective(pe, pe.alloc(type, static_cast<std::size_t>(elements)));
    };
    return static_cast<double>(Simulator(mesh, o).run(program).cycles);
}

constexpr ReduceAlgorithm algorithms[] = {ReduceAlgorithm::star,      ReduceAlgorithm::chain,
                                          ReduceAlgorithm::tree,      ReduceAlgorithm::two_phase,
                                          ReduceAlgorithm::generated, ReduceAlgorithm::fastest};

void compare_reductions(Table& table, const Mesh& m, int p, std::int64_t elements, Type type) {
    const std::int64_t b = wavelets(elements, type == Type::f16 ? DType::f16 : DType::f32);
    const std::string what = fmt::format("P {} B {}", p, b);
    for (const ReduceAlgorithm algorithm : algorithms)
        for (const Forwarding forwarding : {Forwarding::streamed, Forwarding::phased}) {
            const bool published = algorithm == ReduceAlgorithm::tree || algorithm == ReduceAlgorithm::two_phase;
            if (forwarding == Forwarding::phased && !published) continue;
            const ReductionTree tree = reduction_tree(algorithm, m, p, b);
            const std::int64_t closed = reduce_cycles(m, tree, b, forwarding);
            if (forwarding == Forwarding::streamed) CHECK(reduce_cycles(algorithm, m, p, b) == closed);
            if (algorithm == ReduceAlgorithm::tree) CHECK(tree_cycles(m, p, b, forwarding) == closed);
            if (algorithm == ReduceAlgorithm::two_phase) CHECK(two_phase_cycles(m, p, b, 0, forwarding) == closed);
            const ReducePlan plan(tree, {0, 12}, Serves::once, forwarding);
            const double cycles = simulated(m, 1, p, elements, type, [&](Pe& pe, Vec v) -> Process {
                route_reduce(pe, row_line(pe), plan);
                co_await reduce(pe, row_line(pe), v, plan);
            });
            table.add("reduce, " + std::string(name(algorithm)) + (forwarding == Forwarding::phased ? ", phased" : ""),
                      static_cast<double>(closed), cycles, what);
        }
}

void compare_others(Table& table, const Mesh& m, int p, std::int64_t elements, Type type) {
    const std::int64_t b = wavelets(elements, type == Type::f16 ? DType::f16 : DType::f32);
    const std::string what = fmt::format("P {} B {}", p, b);
    const auto row = [&](const std::string& name, std::int64_t closed, const std::function<Process(Pe&, Vec)>& run) {
        table.add(name, static_cast<double>(closed), simulated(m, 1, p, elements, type, run), what);
    };
    row("broadcast", broadcast_cycles(m, p, b), [](Pe& pe, Vec v) -> Process {
        route_broadcast(pe, row_line(pe), 0);
        co_await broadcast(pe, row_line(pe), v, 0);
    });
    row("allreduce, ring", ring_allreduce_cycles(m, p, b), [](Pe& pe, Vec v) -> Process {
        route_ring(pe, row_line(pe), {0, 3});
        co_await ring_allreduce(pe, row_line(pe), v, {0, 3});
    });
    row("reduce-scatter, ring", ring_half_cycles(m, p, b), [](Pe& pe, Vec v) -> Process {
        route_ring(pe, row_line(pe), {0, 3});
        co_await ring_reduce_scatter(pe, row_line(pe), v, {0, 3});
    });
    row("allgather, ring", ring_half_cycles(m, p, b), [](Pe& pe, Vec v) -> Process {
        route_ring(pe, row_line(pe), {0, 3});
        co_await ring_allgather(pe, row_line(pe), v, {0, 3});
    });
    const Allreduce sum{two_phase_plan(p, {0, 3}), 3};
    row("allreduce, two-phase", two_phase_cycles(m, p, b) + broadcast_cycles(m, p, b), [&](Pe& pe, Vec v) -> Process {
        route_allreduce(pe, row_line(pe), sum);
        co_await allreduce(pe, row_line(pe), v, sum);
    });
}

void compare_meshes(Table& table, const Mesh& m, int rows, int columns, std::int64_t b) {
    const std::string what = fmt::format("{} x {} B {}", rows, columns, b);
    // Pairs of a star's messages share a link evenly only if the program has no other colours. Else one is through
    // early and the one behind it fills its in-port and queues at the expense of the other, now and then.
    const double fill = 2 * 4 * (m.ramp_cycles + 2);
    const auto row = [&](const std::string& name, std::int64_t closed, const std::function<Process(Pe&, Vec)>& run) {
        table.add(name, static_cast<double>(closed), simulated(m, rows, columns, b, Type::f32, run), what,
                  name.ends_with("star") ? fill : 1);
    };
    row("broadcast 2-D", broadcast_2d_cycles(m, rows, columns, b), [](Pe& pe, Vec v) -> Process {
        route_broadcast_2d(pe, 0);
        co_await broadcast_2d(pe, v, 0);
    });
    const ReducePlan snake = chain_plan(rows * columns, {0, 2});
    row("reduce 2-D, snake", chain_cycles(m, rows * columns, b), [&](Pe& pe, Vec v) -> Process {
        route_reduce(pe, snake_line(pe), snake);
        co_await reduce(pe, snake_line(pe), v, snake);
    });
    for (const ReduceAlgorithm algorithm : algorithms) {
        const Allreduce2d sum{{ReducePlan(reduction_tree(algorithm, m, columns, b), {0, 8}),
                               ReducePlan(reduction_tree(algorithm, m, rows, b), {8, 8})},
                              16};
        const std::int64_t closed = reduce_cycles(algorithm, m, columns, b) + reduce_cycles(algorithm, m, rows, b);
        row("reduce 2-D, " + std::string(name(algorithm)), closed, [&](Pe& pe, Vec v) -> Process {
            route_reduce_2d(pe, sum.plan);
            co_await reduce_2d(pe, v, sum.plan);
        });
        row("allreduce 2-D, " + std::string(name(algorithm)), closed + broadcast_2d_cycles(m, rows, columns, b),
            [&](Pe& pe, Vec v) -> Process {
                route_allreduce_2d(pe, sum);
                co_await allreduce_2d(pe, v, sum);
            });
    }
}

}  // namespace

TEST_CASE("Closed form and simulator agree within 5 % on lines of 4 to 64 PEs") {
    for (const Mesh& m : {ideal(), starting()}) {
        Table table(0.05);
        for (const int p : {4, 6, 8, 13, 16, 24, 32, 48, 64})
            for (const std::int64_t elements : {1, 3, 16, 64, 256, 1024}) {
                const Type type = elements % 3 == 0 ? Type::f16 : Type::f32;
                compare_reductions(table, m, p, elements, type);
                compare_others(table, m, p, elements, type);
            }
        table.print(fmt::format("closed form against simulator, start {}", m.vector_start_cycles));
    }
}

TEST_CASE("Closed form and simulator agree within 5 % on meshes of 4 x 4 to 64 x 64") {
    for (const Mesh& m : {ideal(), starting()}) {
        Table table(0.05);
        for (const auto& [rows, columns] : {std::pair{4, 4}, {8, 5}, {16, 16}, {11, 32}, {64, 64}})
            for (const std::int64_t b : {1, 16, 100}) {
                if (rows == 64 && b == 16) continue;
                compare_meshes(table, m, rows, columns, b);
            }
        table.print(fmt::format("closed form against simulator, start {}", m.vector_start_cycles));
    }
}

TEST_CASE("Closed form and the laws of Luczynski et al. agree within 4 % for P to 1024 and B to 8192") {
    const Mesh m = ideal();
    const double start = 2 * m.ramp_cycles + 1;
    Table table(0.04);
    for (int p = 2; p <= 1024; p += std::max(1, p / 7))
        for (std::int64_t b = 1; b <= 8192; b += std::max<std::int64_t>(1, b / 3)) {
            const double n = p, e = static_cast<double>(b);
            const std::string what = fmt::format("P {} B {}", p, b);
            const auto row = [&](const std::string& name, std::int64_t closed, double law) {
                table.add(name, static_cast<double>(closed), law, what);
            };
            row("broadcast", broadcast_cycles(m, p, b), e + n + start - 1);
            row("broadcast 2-D", broadcast_2d_cycles(m, p, 17, b), e + n + 17 - 2 + start);
            row("reduce, chain", chain_cycles(m, p, b), e + (start + 1) * (n - 1));
            // With two PEs star and chain are the same program, but the published laws, B (P - 1) + 2 T_R + 1 and
            // B + (2 T_R + 2)(P - 1), differ by a cycle. The chain's counts the hop, so the star's is taken one higher.
            // An odd message out costs a cycle more, for the switch of a router: above 4 % below 25 cycles.
            row("reduce, star", star_cycles(m, p, b), e * (n - 1) + start + 1);
            // Of B / P elements a chunk; a part of an element cannot be sent.
            if (b % p == 0)
                row("allreduce, ring", ring_allreduce_cycles(m, p, b),
                    2 * (n - 1) * e / n + 4 * n - 6 + 2 * (n - 1) * start);
        }
    // T = max(C, E / links) + L + (2 T_R + 1) D with C = B log2 P, D = log2 P for the tree, and C = 2 B,
    // D = 2 sqrt P - 2 in two phases; L = P - 1.
    for (int k = 1; k <= 10; ++k)
        for (std::int64_t b = 1; b <= 8192; b += std::max<std::int64_t>(1, b / 3)) {
            const int p = 1 << k;
            table.add("reduce, tree, phased", static_cast<double>(tree_cycles(m, p, b, Forwarding::phased)),
                      static_cast<double>(b * k + p - 1) + start * k, fmt::format("P {} B {}", p, b));
        }
    for (int s = 2; s <= 32; ++s)
        for (std::int64_t b = 1; b <= 8192; b += std::max<std::int64_t>(1, b / 3)) {
            const int p = s * s;
            table.add("reduce, two-phase, phased",
                      static_cast<double>(two_phase_cycles(m, p, b, 0, Forwarding::phased)),
                      static_cast<double>(2 * b + p - 1) + start * (2 * s - 2), fmt::format("P {} B {}", p, b));
        }
    table.print("closed form against the published laws");
}

TEST_CASE("How far each reduction is from the published lower bound") {
    const Mesh m = ideal();
    std::map<std::string, std::pair<double, std::string>> worst;
    const auto note = [&](std::string_view name, std::int64_t cycles, int p, std::int64_t b) {
        auto& [ratio, at] = worst[std::string(name)];
        CHECK(cycles >= farthest_bound(m, 1, p, b));
        const double now = static_cast<double>(cycles) / reduce_bound(m, p, b);
        if (now > ratio) std::tie(ratio, at) = std::pair{now, fmt::format("P {} B {}", p, b)};
    };
    for (int p = 4; p <= 1024; p *= 2)
        for (std::int64_t b = 1; b <= 8192; b *= 2) {
            std::int64_t simple = chain_cycles(m, p, b);
            for (const ReduceAlgorithm algorithm : algorithms) {
                const std::int64_t cycles = reduce_cycles(algorithm, m, p, b);
                note(name(algorithm), cycles, p, b);
                if (algorithm < ReduceAlgorithm::two_phase) simple = std::min(simple, cycles);
            }
            note("best of the first three", simple, p, b);
        }
    std::string text = "times the lower bound, at worst";
    for (const auto& [name, row] : worst) text += fmt::format("\n{:<26}{:>9.2f}  {}", name, row.first, row.second);
    MESSAGE(text);
    // The paper: 5.9 for the best of star, chain and tree, 2.4 in two phases, 1.4 generated.
    CHECK(worst.at("best of the first three").first < 5.9);
    CHECK(worst.at("two-phase").first < 2.4);
    CHECK(worst.at("generated").first < 1.4);
    CHECK(worst.at("fastest").first < 1.15);
}

TEST_CASE("The best algorithm: star for a single element, chain for long vectors, never worse than any") {
    const Mesh m = starting();
    CHECK(best_simple_reduce(ideal(), 8, 1).algorithm == ReduceAlgorithm::star);
    CHECK(best_simple_reduce(ideal(), 8, 8192).algorithm == ReduceAlgorithm::chain);
    CHECK(best_simple_reduce(ideal(), 1024, 256).algorithm == ReduceAlgorithm::two_phase);
    for (const int p : {2, 9, 100})
        for (const std::int64_t b : {1, 40, 5000}) {
            const ReduceChoice best = best_reduce(m, p, b), again = best_reduce(m, p, b);
            for (const ReduceAlgorithm algorithm : algorithms) CHECK(best.cycles <= reduce_cycles(algorithm, m, p, b));
            CHECK(best.cycles == reduce_cycles(best.algorithm, m, p, b));
            CHECK(again.algorithm == best.algorithm);
            const AllreduceChoice both = best_allreduce(m, p, b);
            CHECK(both.cycles <= best.cycles + broadcast_cycles(m, p, b));
            CHECK(both.cycles <= ring_allreduce_cycles(m, p, b));
        }
    CHECK(best_allreduce(ideal(), 4, 100'000).ring);
    CHECK(best_reduce_2d(ideal(), 4, 4, 100'000).snake);
    CHECK_FALSE(best_reduce_2d(ideal(), 64, 64, 16).snake);
    CHECK(best_reduce(m, 1, 7).cycles == 0);
    CHECK(best_allreduce_2d_cycles(m, 1, 1, 7) == 0);
}

TEST_CASE("Wavelets hold one 32-bit or two 16-bit elements") {
    CHECK(wavelets(7, DType::f32) == 7);
    CHECK(wavelets(7, DType::f16) == 4);
    CHECK_THROWS_AS(wavelets(7, DType::f64), Error);
}
