#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/dtype.hpp"
#include "core/graph.hpp"
#include "core/quantity.hpp"
#include "core/system.hpp"
#include "models/mesh.hpp"

namespace wb::wafer {

/// A rectangle of PEs.
struct Grid {
    int rows = 0, columns = 0;
    double pes() const { return static_cast<double>(rows) * columns; }
    bool operator==(const Grid&) const = default;
};

/// What the closed form knows of a machine: its mesh, and the [fitted] costs of the software that runs on it, each with
/// its source in the system file. Cycles are of the PE clock.
struct Machine {
    Mesh mesh;
    double row_start = 0;           ///< gemv: a vector instruction for each input element, over its row of weights
    double dispatch = 0;            ///< starting one op of the graph on all PEs: a task
    double gemm_step = 0;           ///< one compute-shift step of a product of matrices: the tasks of step and tiles
    double gemm_word = 0;           ///< receiving, storing and using one word of the two tiles of a step
    double reduce_stage = 0;        ///< one software stage of a tree reduction
    double interface_fraction = 1;  ///< of its own decoding speed, what one user of a public interface is given
    double piece_tokens = 0;        ///< least tokens of a piece of a prompt; 0: prompts are worked on whole
    bool layer_regions = false;     ///< every layer has a region of its own, so that users follow each other
    double train_fraction = 0;      ///< of the peak, reached by streamed training where nothing else limits
    Seconds update_parameter;       ///< one parameter's update by the service that holds the weights
    double reserved_bytes = 0;      ///< of a PE's SRAM: program and buffers
    BytesPerSecond external;        ///< weights streamed to one wafer; 0: unknown
    /// A fabric between wafers.
    struct Way {
        double joined = 1;    ///< wafers
        BytesPerSecond link;  ///< of one of them; 0: one wafer only
        Seconds latency;
        bool adds = false;  ///< sums on the way
        std::string name;
    };
    std::vector<Way> ways{Way{}};  ///< inner to outer
    double joined = 1;             ///< wafers that fabrics join at most

    explicit Machine(const System& system);

    /// The innermost fabric that joins so many wafers, or the outermost.
    const Way& way(int wafers) const;
    Grid whole() const { return {mesh.rows, mesh.columns}; }
    double usable_bytes() const { return static_cast<double>(mesh.sram_bytes) - reserved_bytes; }  ///< of a PE
    double fma_cycles(DType type) const;  ///< of one element, operands in SRAM
    Seconds seconds(double cycles) const { return Seconds(cycles / mesh.clock_hz); }
};

/// Why this graph cannot be computed there at all: a type the PEs lack. Empty if it can.
std::string missing_type(const Graph& graph, const System& system);

}  // namespace wb::wafer
