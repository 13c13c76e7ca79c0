#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/quantity.hpp"

namespace wb {

/// What the messages of an emulation carry: a header alone, as many bytes as the real ones, or the real data.
enum class Payload : std::uint8_t { none, sized, full };

/// Something wrong with one unit of an emulated machine.
struct Fault {
    enum class Kind : std::uint8_t { straggler, slow_link, failed } kind = Kind::straggler;
    int unit = 0;
    double factor = 1;  ///< straggler: of its kernels and overheads; slow link: of the time a byte takes at its port
    Seconds at{0};      ///< failed: when it stops
};

/// How an experiment wants a machine emulated: [emulation] of a [[system]].
struct EmulationChoice {
    Payload payload = Payload::none;
    BytesPerSecond uplink{0};  ///< shared by the units of a domain, each way; 0: every unit has a port of its own
    int uplink_units = 0;      ///< that share one; 0: those of the innermost fabric
    std::vector<Fault> faults;
    /// What makes a case of it: "payload=full straggler=3x2"; empty if nothing is asked for.
    std::string text() const;
};

}  // namespace wb
