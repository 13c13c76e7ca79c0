#pragma once

#include <cstdint>

#include "models/fabric/planes.hpp"
#include "models/fabric/ramp_queue.hpp"
#include "models/fabric/route.hpp"

namespace wb::fabric {

/// The switch positions of one (router, colour).
struct Switch {
    std::uint8_t positions = 0, current = 0;
    bool ring = false;
    Route position[most_positions];
};

/// One colour in 64 neighbouring routers of a row: input queues of two wavelets and switches, a bit for each router.
/// A queue is a ring of two slots with a head, so what arrives never overwrites a head that a neighbour still reads.
struct Block {
    Plane some = 0, full = 0;     ///< the queue holds at least one wavelet, two
    Plane from[port_count] = {};  ///< the switch takes from this port; at most one for each lane
    Plane to[port_count] = {};
    RampQueue* up = nullptr;    ///< router to PE
    RampQueue* down = nullptr;  ///< PE to router
    Block* beyond[4] = {};      ///< same colour, by port; none past the edge or where the colour is not known
    std::uint8_t uses = 0;      ///< ports in `to` of any position of any lane
    bool routed = false;

    Plane head = 0;               ///< slot of the oldest
    Plane flag[2] = {};           ///< control flag of the wavelet in this slot
    std::uint32_t* slot[2] = {};  ///< payloads, in data mode

    // What was decided in cycle `decided`, to be read by the neighbours while this block moves on.
    std::uint64_t decided = ~std::uint64_t{0};
    Plane leave = 0, out[port_count] = {};
    Plane old_head = 0, old_flag = 0;

    Plane any_from[port_count] = {}, any_to[port_count] = {};  ///< over all positions
    Plane switching = 0;                                       ///< lanes with several positions
    Switch* switches = nullptr;                                ///< of those, by lane

    /// Lanes that take a wavelet from this port now.
    Plane accepts(Port p) const { return ~full & from[static_cast<int>(p)]; }
    /// Of a colour that another router holds at `lane`: its queue length.
    int count(int lane) const { return static_cast<int>((some >> lane & 1U) + (full >> lane & 1U)); }

    void set_position(int lane, const Route& r) {
        for (int p = 0; p < port_count; ++p) {
            from[p] &= ~bit_of(lane);
            if (r.to.has(static_cast<Port>(p)))
                to[p] |= bit_of(lane);
            else
                to[p] &= ~bit_of(lane);
        }
        from[static_cast<int>(r.from)] |= bit_of(lane);
    }

    void add(int lane, const Switch& s, Arena& arena) {
        routed = true;
        for (int i = 0; i < s.positions; ++i) {
            any_from[static_cast<int>(s.position[i].from)] |= bit_of(lane);
            for (int p = 0; p < port_count; ++p)
                if (s.position[i].to.has(static_cast<Port>(p))) any_to[p] |= bit_of(lane);
            uses = static_cast<std::uint8_t>(uses | s.position[i].to.bits);
        }
        set_position(lane, s.position[0]);
        if (s.positions == 1) return;
        if (switches == nullptr) switches = arena.array<Switch>(lanes);
        switches[lane] = s;
        switching |= bit_of(lane);
    }
};

/// A lane's `plane` of the router one column to the west (east), as seen from here.
constexpr Plane from_west(Plane own, Plane west) { return own << 1 | west >> 63; }
constexpr Plane from_east(Plane own, Plane east) { return own >> 1 | east << 63; }

}  // namespace wb::fabric
