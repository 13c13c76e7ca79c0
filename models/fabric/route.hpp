#pragma once

#include <cstdint>

namespace wb::fabric {

/// The five ports of a router. Row 0 is north, column 0 is west; the ramp leads to the router's own PE.
enum class Port : std::uint8_t { north, east, south, west, ramp };

inline constexpr int port_count = 5;

constexpr std::uint8_t bit(Port p) { return static_cast<std::uint8_t>(1U << static_cast<unsigned>(p)); }

/// The port of the neighbour that faces `p`; the ramp faces itself.
constexpr Port opposite(Port p) { return p == Port::ramp ? p : static_cast<Port>((static_cast<unsigned>(p) + 2) % 4); }

constexpr const char* name(Port p) {
    constexpr const char* names[] = {"north", "east", "south", "west", "ramp"};
    return names[static_cast<unsigned>(p)];
}

/// A set of ports: where a wavelet goes, to all of them in the same cycle.
struct Ports {
    std::uint8_t bits = 0;

    constexpr Ports() = default;
    constexpr Ports(Port p) : bits(bit(p)) {}  // NOLINT(google-explicit-constructor): a port is a set of one

    constexpr bool has(Port p) const { return (bits & bit(p)) != 0; }
    constexpr bool empty() const { return bits == 0; }
    friend constexpr bool operator==(Ports, Ports) = default;
};

constexpr Ports operator|(Ports a, Ports b) {
    Ports both;
    both.bits = static_cast<std::uint8_t>(a.bits | b.bits);
    return both;
}
constexpr Ports operator|(Port a, Port b) { return Ports(a) | Ports(b); }

/// A virtual channel: wavelets of different colours share links, never queues.
using Colour = std::uint8_t;

/// One switch position of a colour in a router: wavelets are taken from one port only.
struct Route {
    Port from;
    Ports to;
};

inline constexpr int most_positions = 4;

}  // namespace wb::fabric
