#pragma once

#include "core/config.hpp"
#include "core/emulation.hpp"

namespace wb {

/// The table [system.emulation]: payload = "none", "sized" or "full"; uplink = "50 GB/s" shared by uplink_units units;
/// and lists of faults: straggler = [{ unit = 3, factor = 2 }], slow_link = the same, failed = [{ unit = 3, at = "1 ms"
/// }]. Defaults where it is absent. Throws Error at what it does not understand.
EmulationChoice read_emulation(const Config& system);

}  // namespace wb
