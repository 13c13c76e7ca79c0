#include <cmath>
#include <memory>
#include <vector>

#include "models/fabric/programs/line.hpp"
#include "models/fabric/programs/stencil_programs.hpp"

namespace wb::fabric {
namespace {

enum Term { self, north, east, south, west, below, above };

/// The neighbour before this PE on one of the four lines through it, and the one behind.
struct Stream {
    Line line;
    Term term;     // of what comes from the PE before
    Colour first;  // of two, in turns along the line

    Colour out() const { return static_cast<Colour>(first + line.index % 2); }
    Colour in() const { return static_cast<Colour>(first + (line.index + 1) % 2); }
};

std::array<Stream, 4> routed_streams(Pe& pe) {
    const Line row = row_line(pe), column = column_line(pe);
    const std::array<Stream, 4> all{Stream{column, north, 0}, Stream{column.reversed(), south, 2}, Stream{row, west, 4},
                                    Stream{row.reversed(), east, 6}};
    for (const Stream& s : all) {
        if (!s.line.last()) pe.route(s.out(), Port::ramp, s.line.next);
        if (!s.line.first()) pe.route(s.in(), s.line.previous, Port::ramp);
    }
    return all;
}

Vec loaded(Pe& pe, const GridLoad& from, Type type, std::int64_t depth) {
    const Vec v = pe.alloc(type, static_cast<std::size_t>(depth));
    if (pe.data())
        for (std::int64_t z = 0; z < depth; ++z) pe.set(v, static_cast<std::size_t>(z), from(pe.row, pe.column, z));
    return v;
}

/// Terms that need no other PE: the point itself, then those below and above it.
Process own_terms(Pe& pe, const Stencil7Call& call, Vec y, Vec x, const std::array<Vec, stencil7_terms>& a) {
    const auto n = static_cast<std::size_t>(call.depth);
    const auto work = [&](std::size_t count, double fma) {
        const Work in_type = sweep(pe, call.type, 1, static_cast<std::int64_t>(count), fma);
        return call.sums == call.type ? in_type : sum_sweep(pe, call.type, 1, static_cast<std::int64_t>(count), fma);
    };
    co_await pe.compute(work(n, 0.5 * static_cast<double>(n)), [&] {
        for (std::size_t z = 0; z < n; ++z) pe.set(y, z, pe.get(a[self], z) * pe.get(x, z));
    });
    if (n == 1) co_return;
    co_await pe.compute(work(n - 1, static_cast<double>(n - 1)), [&] {
        for (std::size_t z = 1; z < n; ++z) pe.set(y, z, std::fma(pe.get(a[below], z), pe.get(x, z - 1), pe.get(y, z)));
    });
    co_await pe.compute(work(n - 1, static_cast<double>(n - 1)), [&] {
        for (std::size_t z = 0; z + 1 < n; ++z)
            pe.set(y, z, std::fma(pe.get(a[above], z), pe.get(x, z + 1), pe.get(y, z)));
    });
}

/// One direction after another: four streams at once would meet at the ramps out of step, and wait for each other.
Process neighbour_terms(Pe& pe, const std::array<Stream, 4>& streams, Vec y, Vec x,
                        const std::array<Vec, stencil7_terms>& a) {
    std::vector<Handle> arriving;
    for (const Stream& s : streams) {
        if (!s.line.first()) arriving.push_back(pe.start(pe.recv_mac(s.in(), y, a[s.term])));
        if (!s.line.last())
            co_await pe.start(pe.send(s.out(), x));
        else if (!s.line.first())
            co_await arriving.back();
    }
    for (const Handle& h : arriving) co_await h;
}

Process run(Pe& pe, const Stencil7Call& call) {
    const std::array<Stream, 4> streams = routed_streams(pe);
    const Vec x = loaded(pe, call.x, call.type, call.depth);
    std::array<Vec, stencil7_terms> a;
    for (std::size_t term = 0; term < a.size(); ++term)
        a[term] = loaded(pe, call.coefficient[term], call.type, call.depth);
    const Vec y = pe.alloc(call.sums, static_cast<std::size_t>(call.depth));

    co_await own_terms(pe, call, y, x, a);  // the first product sets y
    co_await neighbour_terms(pe, streams, y, x, a);
    co_await pe.task();
    if (pe.data())
        for (std::int64_t z = 0; z < call.depth; ++z)
            call.out(pe.row, pe.column, z, pe.get(y, static_cast<std::size_t>(z)));
}

}  // namespace

Program stencil7_program(Stencil7Call call) {
    const auto shared = std::make_shared<const Stencil7Call>(std::move(call));
    return [shared](Pe& pe) { return run(pe, *shared); };
}

double stencil7_total_flops(int rows, int columns, std::int64_t depth) {
    const double r = rows, c = columns, z = static_cast<double>(depth);
    return r * c * z + 4 * ((r - 1) * c * z + r * (c - 1) * z + r * c * (z - 1));
}

}  // namespace wb::fabric
