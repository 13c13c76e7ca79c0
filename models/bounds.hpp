#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/graph.hpp"
#include "core/mapping.hpp"
#include "core/system.hpp"

namespace wb {

/// Lower bounds on the time of one run of a graph on `units` units of a system: each holds for every program, mapping
/// and algorithm that does the arithmetic the graph states, number by number. A product emulated by several narrower
/// ones, or matrices multiplied in fewer operations (Strassen), is other arithmetic.
struct Limit {
    Seconds time;
    Flops flops;       ///< of all units
    Bytes bytes;       ///< of all units
    std::string text;  ///< "140.00 GB of HBM3 at 3.35 TB/s"; empty if nothing limits
};

/// True if every value of `operand` is a value of `unit`, scaled by a power of two at most: a unit for the one type can
/// then multiply the other without loss. f16 and bf16 do not hold each other.
bool holds(DType unit, DType operand);

/// The fastest dense peak that multiplies these operands without loss; nothing if the system has none.
struct Peak {
    DType type;
    FlopsPerSecond rate;
};
std::optional<Peak> usable_peak(const System& system, const std::vector<DType>& operands);

/// Why the graph cannot be bounded there: a type without a peak. Empty if it can.
std::string missing_peak(const Graph& graph, const System& system);

/// Arithmetic. Matrix products of different types and vector work may all run at once on parts of their own, so the
/// slowest of them is the bound. Needs missing_peak() to be empty.
Limit compute_limit(const Graph& graph, const System& system, int units);

/// Bytes that one run must move across each memory level, all units together, inner to outer. A level is spared what
/// the levels inside it can hold: data read may be there from the run before, data written may leave after the run. The
/// innermost level sees every compulsory byte. Levels the system does not list hold nothing.
std::vector<Bytes> crossing_bytes(const Graph& graph, const System& system, int units);
/// The slowest level. What crosses one may come from it or, side by side, from those outside it (HBM and DDR of one
/// unit), so their bandwidths add; one without a bandwidth leaves itself and those inside it unbounded.
Limit memory_limit(const Graph& graph, const System& system, int units);

/// Bare collectives, on more than one unit or among the PEs of one wafer (of the mapping's rectangle, if it names one).
/// Graphs without them may be spread in ways unknown here: no bound, no text.
Limit network_limit(const Graph& graph, const System& system, int units, const Mapping& mapping = {});

/// What must exist in memory at once, all units together: inputs, weights, state and outputs.
Bytes resident_bytes(const Graph& graph, int units);
/// Of all levels of all units; nothing if some level is unlimited.
std::optional<Bytes> capacity(const System& system, int units);
/// How many units the fabrics join at most; nothing if unlimited.
std::optional<double> joinable_units(const System& system);

}  // namespace wb
