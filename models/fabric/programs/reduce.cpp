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

/// The messages a router serves in turn: to its own PE, the PE's own, those from beyond. If there are more than it can
/// count, it stays with the last kind.
void route_in_turn(Pe& pe, Line line, const ReducePlan::Use& use, bool returns) {
    const Route in{line.next, Port::ramp}, own{Port::ramp, line.previous}, over{line.next, line.previous};
    if (!returns) {
        if (use.sent > 0) return pe.route(use.colour, {own, over});
        if (use.received == 1) return pe.route(use.colour, {in, over});
        if (use.received == 2) return pe.route(use.colour, {in, in, over});
        return pe.route(use.colour, {in, in, in, over});
    }
    const auto turn = [&](int k) { return k < use.received ? in : k < use.received + use.sent ? own : over; };
    const int all = use.received + use.sent + use.passing;
    WB_EXPECT(all >= 2 && all <= most_positions);
    if (all == 2) return pe.route(use.colour, {turn(0), turn(1)}, true);
    if (all == 3) return pe.route(use.colour, {turn(0), turn(1), turn(2)}, true);
    pe.route(use.colour, {turn(0), turn(1), turn(2), turn(3)}, true);
}

}  // namespace

void route_reduce(Pe& pe, Line line, const ReducePlan& plan) {
    WB_EXPECT(plan.tree().count() == line.count);
    for (const ReducePlan::Use& use : plan.uses(line.index)) {
        if ((use.received > 0) + (use.sent > 0) + (use.passing > 0) > 1)
            route_in_turn(pe, line, use, plan.reusable());
        else if (use.received > 0)
            pe.route(use.colour, line.next, Port::ramp);
        else
            pe.route(use.colour, use.sent > 0 ? Port::ramp : line.next, line.previous);
    }
}

Process reduce(Pe& pe, Line line, Vec values, const ReducePlan& plan, Combine combine) {
    const auto children = plan.tree().children(line.index);
    const auto stored = plan.stored_children(line.index);
    for (std::size_t k = 0; k < stored.size(); ++k) {
        const Colour in = plan.colour(stored[k]);
        if (plan.tree().pair(stored, k) && plan.colour(stored[k + 1]) != in) {
            const Handle beside = pe.start(accumulate(pe, plan.colour(stored[++k]), values, combine));
            co_await accumulate(pe, in, values, combine);
            co_await beside;
        } else {
            co_await accumulate(pe, in, values, combine);
        }
    }
    if (line.first()) co_return;
    const Colour out = plan.colour(line.index);
    if (stored.size() < children.size())
        co_await accumulate_and_send(pe, plan.colour(children.back()), values, out, plan.switched(), combine);
    else
        co_await pe.send(out, values, plan.switched());
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
