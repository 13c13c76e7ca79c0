#pragma once

#include <string>
#include <vector>

#include "core/case.hpp"
#include "core/measurement.hpp"
#include "models/wafer/footprint.hpp"
#include "models/wafer/op_cost.hpp"

namespace wb::wafer {

/// How weights come to the PEs.
enum class Mode {
    resident,  ///< all in SRAM; each layer in a region of its own, used one after another or, with several pieces of
               ///< the batch under way, as a pipeline
    streamed   ///< from outside, layer by layer, under the arithmetic of the layer before
};

/// One placement of a graph on wafers, and what it costs.
struct Placement {
    Mode mode = Mode::resident;
    Grid grid;                ///< rectangle that works on one op
    int regions = 1;          ///< rectangles that hold the layers, all wafers together
    bool apart = true;        ///< they all fit side by side; else layers take turns on some, weights lying elsewhere
    std::int64_t pieces = 1;  ///< of the batch (resident: in the pipeline; streamed: one after another)
    Seconds time;
    Cost cost;              ///< of the whole run, in cycles of one piece after another
    Seconds between;        ///< in messages from wafer to wafer
    double io_bytes = 0;    ///< to and from one wafer
    std::string algorithm;  ///< of a bare op
    double sram_bytes = 0;  ///< of the fullest PE, of a bare op
    std::string limit;      ///< what the time is made of, in words
    std::vector<Span> spans;

    std::string text(const Machine& m) const;
};

/// What a case asks: its rectangle if it forces one, its algorithm, its wafers.
struct Request {
    const Graph& graph;
    int wafers = 1;
    Mapping mapping;
    bool partial() const { return mapping.algorithm.find("partial") != std::string::npos; }
    bool streamed() const { return mapping.algorithm.find("streamed") != std::string::npos; }
};

/// Why it cannot be placed, with the number that says so; empty if it can.
std::string refusal(const Machine& m, const Request& request);

/// The quickest of all placements tried. `tried` counts them, and `ops` the evaluations of ops.
struct Search {
    Placement best;
    std::int64_t tried = 0, ops = 0;
};
Search place(const Machine& m, const Request& request);

/// One placement without search.
Placement evaluate(const Machine& m, const Request& request, Grid grid, std::int64_t pieces);

/// A step of training or evaluation whose weights are streamed (see training.cpp).
Placement evaluate_training(const Machine& m, const Request& request, const System& system);

}  // namespace wb::wafer
