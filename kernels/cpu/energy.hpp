#pragma once

#include <optional>
#include <string>

#include "core/quantity.hpp"

namespace wb::cpu {

/// Energy of all processor packages of this machine since some moment (RAPL, through the kernel's powercap tree below
/// `root`). Nothing where the kernel does not let us read it. Counters wrap round: take differences of short times.
std::optional<Joules> package_energy(const std::string& root = "/sys/class/powercap");

}  // namespace wb::cpu
