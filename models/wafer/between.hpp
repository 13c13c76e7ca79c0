#pragma once

#include "models/wafer/placement.hpp"

namespace wb::wafer {

/// A bare collective among wafers, each with one buffer dealt over all its PEs: over the outermost fabric, one message
/// a partner, or by adding and copying in the network where it can.
Placement between_wafers(const Machine& m, const Request& request);

}  // namespace wb::wafer
