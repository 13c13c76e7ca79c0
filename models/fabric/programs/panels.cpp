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

Vec Panels::where(std::int64_t k, Vec tile, Vec buffer) const { return own(k) ? panel(k, tile) : buffer; }

}  // namespace wb::fabric
