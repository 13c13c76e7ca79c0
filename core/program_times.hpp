#pragma once

#include <map>
#include <string>

#include "core/system.hpp"

namespace wb {

/// One round of a program that no graph of operators states: an iteration of a solver, a step in time, a transform.
struct ProgramRound {
    double seconds = 0;
    double flops = 0, bytes = 0;  ///< of all units together; bytes: of the matrix read, 0 where nobody counts them
    std::string assumed;          ///< what the facts leave out
};

/// A backend may also be one of these: it knows closed forms of such programs.
class ProgramTimes {
public:
    virtual ~ProgramTimes() = default;
    /// `facts` as a published row states them: op, nx, ny, nz, dtype, gpus. Throws Error for a program it does not
    /// know, or a grid that does not fit the machine.
    virtual ProgramRound program(const System& system, const std::map<std::string, std::string>& facts) const = 0;
};

}  // namespace wb
