#include "models/fabric/programs/panels.hpp"

namespace wb::fabric {

void Panels::route(Pe& pe) const {
    if (line_.count == 1) return;
    if (line_.first()) {
        pe.route(to_edge_, line_.next, Port::ramp);
        pe.route(from_edge_, Port::ramp, line_.next);
    } else if (line_.last()) {
        pe.route(to_edge_, Port::ramp, line_.previous);
        pe.route(from_edge_, line_.previous, Port::ramp);
    } else {
        pe.route(to_edge_, {Route{Port::ramp, line_.previous}, Route{line_.next, line_.previous}});
        pe.route(from_edge_, line_.previous, Port::ramp | line_.next);
    }
}

Handle Panels::send(Pe& pe, Vec tile) const {
    if (line_.first()) return {};
    return pe.start(pe.send(to_edge_, tile, true));
}

Handle Panels::begin(Pe& pe, std::int64_t k, Vec tile, Vec buffer) const {
    if (line_.count == 1) return {};
    if (!line_.first()) return pe.start(pe.recv(from_edge_, buffer));
    if (own(k)) return pe.start(pe.send(from_edge_, panel(k, tile)));
    return pe.start(pe.recv_send(to_edge_, buffer, from_edge_));
}

Handle Panels::begin_all(Pe& pe, Vec tile, Vec all) const {
    if (line_.count == 1) return {};
    return edge() ? pe.start(pe.send(from_edge_, tile)) : pe.start(pe.recv(from_edge_, all));
}

Handle Panels::rest(Pe& pe, Vec all) const {
    if (line_.count == 1 || !edge()) return {};
    const std::size_t own = static_cast<std::size_t>(each_) * pitch_;
    return pe.start(pe.recv_send(to_edge_, all.sub(own, all.count - own), from_edge_));
}

Vec Panels::where(std::int64_t k, Vec tile, Vec buffer) const { return own(k) ? panel(k, tile) : buffer; }

}  // namespace wb::fabric
