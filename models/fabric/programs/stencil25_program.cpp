#include <cmath>
#include <memory>

#include "models/fabric/programs/line.hpp"
#include "models/fabric/programs/stencil_programs.hpp"

namespace wb::fabric {
namespace {

constexpr int radius = 4;

/// Columns of points travel along a line of PEs, one PE a round: in round k a PE gets that of the PE k before it.
struct Flow {
    Line line;
    Colour first;
    Vec buffer[2];  // of even and odd rounds

    bool sends(int round) const { return !line.last() && line.index >= round - 1; }
    bool receives(int round) const { return line.index >= round; }
    Colour out() const { return static_cast<Colour>(first + line.index % 2); }
    Colour in() const { return static_cast<Colour>(first + (line.index + 1) % 2); }
};

std::vector<Flow> flows(Pe& pe, const Stencil25Call& call) {
    const Line lines[] = {column_line(pe), column_line(pe).reversed(), row_line(pe), row_line(pe).reversed()};
    std::vector<Flow> all;
    for (std::uint8_t i = 0; i < 4; ++i) {
        Flow f{lines[i], static_cast<Colour>(2 * i), {}};
        if (!f.line.last()) pe.route(f.out(), Port::ramp, f.line.next);
        if (!f.line.first()) pe.route(f.in(), f.line.previous, Port::ramp);
        for (Vec& b : f.buffer) b = pe.alloc(call.type, static_cast<std::size_t>(call.depth));
        all.push_back(f);
    }
    return all;
}

/// The grid on one PE.
struct Column {
    std::size_t depth;
    Vec now, before, speed, sum;
};

Column load(Pe& pe, const Stencil25Call& call) {
    const auto n = static_cast<std::size_t>(call.depth);
    const Column c{n, pe.alloc(call.type, n), pe.alloc(call.type, n), pe.alloc(call.type, n), pe.alloc(Type::f32, n)};
    if (pe.data())
        for (std::size_t z = 0; z < n; ++z) {
            const auto at = static_cast<std::int64_t>(z);
            pe.set(c.now, z, call.now(pe.row, pe.column, at));
            pe.set(c.before, z, call.before(pe.row, pe.column, at));
            pe.set(c.speed, z, call.speed(pe.row, pe.column, at));
        }
    return c;
}

/// sum += weight x, from one column of points.
Instruction add_scaled(Pe& pe, const Stencil25Call& call, Vec sum, Vec x, float weight) {
    const auto n = static_cast<std::int64_t>(x.count);
    return pe.compute(sum_sweep(pe, call.type, 1, n, static_cast<double>(n)), [&pe, sum, x, weight] {
        for (std::size_t z = 0; z < x.count; ++z) pe.set(sum, z, std::fma(weight, pe.get(x, z), pe.get(sum, z)));
    });
}

Process own_terms(Pe& pe, const Stencil25Call& call, const Column& c) {
    const auto n = static_cast<std::int64_t>(c.depth);
    co_await pe.compute(sum_sweep(pe, call.type, 1, n, 0.5 * static_cast<double>(n)), [&] {
        for (std::size_t z = 0; z < c.depth; ++z) pe.set(c.sum, z, call.weight[0] * pe.get(c.now, z));
    });
    for (std::size_t d = 1; d <= radius && d < c.depth; ++d) {
        const std::size_t inside = c.depth - d;
        co_await add_scaled(pe, call, c.sum.sub(d, inside), c.now.sub(0, inside), call.weight[d]);
        co_await add_scaled(pe, call, c.sum.sub(0, inside), c.now.sub(d, inside), call.weight[d]);
    }
}

/// What the round before brought.
Process neighbour_terms(Pe& pe, const Stencil25Call& call, const Column& c, const std::vector<Flow>& all, int round) {
    for (const Flow& f : all)
        if (f.receives(round))
            co_await add_scaled(pe, call, c.sum, f.buffer[round % 2], call.weight[static_cast<std::size_t>(round)]);
}

Process step_in_time(Pe& pe, const Stencil25Call& call, const Column& c) {
    const auto n = static_cast<std::int64_t>(c.depth);
    co_await pe.compute(sum_sweep(pe, call.type, 2, n, 2 * static_cast<double>(n)), [&] {
        for (std::size_t z = 0; z < c.depth; ++z) {
            const float straight = 2 * pe.get(c.now, z) - pe.get(c.before, z);
            pe.set(c.before, z, std::fma(pe.get(c.speed, z), pe.get(c.sum, z), straight));
        }
    });
}

Process run(Pe& pe, const Stencil25Call& call) {
    const std::vector<Flow> all = flows(pe, call);
    const Column c = load(pe, call);
    for (int round = 1; round <= radius; ++round) {
        std::vector<Handle> moving;
        for (const Flow& f : all) {
            if (f.receives(round)) moving.push_back(pe.start(pe.recv(f.in(), f.buffer[round % 2])));
            if (f.sends(round))
                moving.push_back(pe.start(pe.send(f.out(), round == 1 ? c.now : f.buffer[(round - 1) % 2])));
        }
        if (round == 1)
            co_await own_terms(pe, call, c);
        else
            co_await neighbour_terms(pe, call, c, all, round - 1);
        for (const Handle& h : moving) co_await h;
        co_await pe.task();
    }
    co_await neighbour_terms(pe, call, c, all, radius);
    co_await step_in_time(pe, call, c);
    if (pe.data())
        for (std::size_t z = 0; z < c.depth; ++z)
            call.next(pe.row, pe.column, static_cast<std::int64_t>(z), pe.get(c.before, z));
}

}  // namespace

Program stencil25_program(Stencil25Call call) {
    const auto shared = std::make_shared<const Stencil25Call>(std::move(call));
    return [shared](Pe& pe) { return run(pe, *shared); };
}

double stencil25_total_flops(int rows, int columns, std::int64_t depth) {
    const double r = rows, c = columns, z = static_cast<double>(depth);
    double pairs = 0;  // of points at most `radius` apart along one axis, each counted from both ends
    for (int d = 1; d <= radius; ++d)
        pairs += 2 * (std::max(r - d, 0.0) * c * z + r * std::max(c - d, 0.0) * z + r * c * std::max(z - d, 0.0));
    return 5 * r * c * z + 2 * pairs;
}

}  // namespace wb::fabric
