#include "core/error.hpp"
#include "models/fabric/programs/collectives.hpp"

namespace wb::fabric {
namespace {

Instruction accumulate(Pe& pe, Colour in, Vec values, Combine combine) {
    return combine == Combine::add ? pe.recv_add(in, values) : pe.recv_max(in, values);
}

Instruction accumulate_and_send(Pe& pe, Colour in, Vec values, Colour out, bool advance, Combine combine) {
    return combine == Combine::add ? pe.recv_add_send(in, values, out, advance)
                                   : pe.recv_max_send(in, values, out, advance);
}

/// A router that first serves `received` messages to its own PE, then those from beyond.
void route_switched(Pe& pe, Line line, Colour colour, int received) {
    const Route in{line.next, Port::ramp}, over{line.next, line.previous};
    if (received == 1) return pe.route(colour, {in, over});
    if (received == 2) return pe.route(colour, {in, in, over});
    WB_EXPECT(received == 3);
    pe.route(colour, {in, in, in, over});
}

}  // namespace

void route_reduce(Pe& pe, Line line, const ReducePlan& plan) {
    WB_EXPECT(plan.tree().count() == line.count);
    for (const ReducePlan::Use& use : plan.uses(line.index)) {
        if (use.received > 0 && use.passes)
            route_switched(pe, line, use.colour, use.received);
        else if (use.received > 0)
            pe.route(use.colour, line.next, Port::ramp);
        else if (use.sent && use.passes)
            pe.route(use.colour, {{Port::ramp, line.previous}, {line.next, line.previous}});
        else
            pe.route(use.colour, use.sent ? Port::ramp : line.next, line.previous);
    }
}

Process reduce(Pe& pe, Line line, Vec values, const ReducePlan& plan, Combine combine) {
    const auto children = plan.tree().children(line.index);
    const bool root = line.first(), advance = !plan.reusable();
    const Colour out = root ? Colour{0} : plan.colour(line.index);
    for (const int child : children) {
        const Colour in = plan.colour(child);
        if (!root && plan.streamed() && child == children.back()) {
            co_await accumulate_and_send(pe, in, values, out, advance, combine);
            co_return;
        }
        co_await accumulate(pe, in, values, combine);
    }
    if (!root) co_await pe.send(out, values, advance);
}

void route_allreduce(Pe& pe, Line line, const Allreduce& how) {
    route_reduce(pe, line, how.plan);
    route_broadcast(pe, line, how.broadcast);
}

Process allreduce(Pe& pe, Line line, Vec values, const Allreduce& how, Combine combine) {
    co_await reduce(pe, line, values, how.plan, combine);
    co_await broadcast(pe, line, values, how.broadcast);
}

void route_reduce_2d(Pe& pe, const Reduce2d& how) {
    route_reduce(pe, row_line(pe), how.rows);
    if (pe.column == 0) route_reduce(pe, column_line(pe), how.columns);
}

Process reduce_2d(Pe& pe, Vec values, const Reduce2d& how, Combine combine) {
    co_await reduce(pe, row_line(pe), values, how.rows, combine);
    if (pe.column == 0) co_await reduce(pe, column_line(pe), values, how.columns, combine);
}

void route_allreduce_2d(Pe& pe, const Allreduce2d& how) {
    route_reduce_2d(pe, how.plan);
    route_broadcast_2d(pe, how.broadcast);
}

Process allreduce_2d(Pe& pe, Vec values, const Allreduce2d& how, Combine combine) {
    co_await reduce_2d(pe, values, how.plan, combine);
    co_await broadcast_2d(pe, values, how.broadcast);
}

}  // namespace wb::fabric
