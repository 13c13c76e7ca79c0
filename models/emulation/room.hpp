#pragma once

#include <string>

#include "models/emulation/program.hpp"
#include "models/steps.hpp"

namespace wb::emulation {

/// Messages that the units of a program send in one run.
double messages_of(const Program& program);

/// What messages and buffers take of the memory of the machines that play them.
struct Burden {
    double bytes = 0;          ///< of all units together, at most
    std::string largest;       ///< the longest message or buffer: "gradients, allreduce"
    double largest_bytes = 0;  ///< of it, on one unit
};
/// `in_flight`: messages of a pipeline that may be sent before the first is received.
Burden burden(const Program& program, const StageSteps& steps, double in_flight);

/// Bytes of this machine that can still be used without swapping; 0 if unknown.
double free_bytes();
/// Share of the `ranks` that use the memory of this machine, as the launcher says; 1 if it says nothing.
double local_share(int ranks);

}  // namespace wb::emulation
