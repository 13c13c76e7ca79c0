#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/graph.hpp"
#include "models/fabric/host_tensors.hpp"
#include "models/fabric/simulator.hpp"
#include "models/mesh.hpp"

namespace wb::fabric {

/// A program, and what to do with the PEs' memories after a run with data; may be empty.
struct Job {
    Program program;
    std::function<void(Simulator&)> collect;
};

/// One way to carry out an operator on a rectangle of PEs.
struct Candidate {
    std::string algorithm;
    int rows = 1, columns = 1;  ///< of the rectangle
    double cycles = 0;          ///< by the closed-form laws
    double sram_bytes = 0;      ///< of the fullest PE
    double hops = 0;            ///< wavelets over links, about: most of what simulating it costs
    double padding_flops = 0;   ///< done on padding, not useful
    double host_flops = 0;      ///< arithmetic the simulator does itself when it carries data
    std::int64_t ranks = 1;     ///< that hold tensors of their own: a bare collective's
    /// Null tensors: timing only.
    std::function<Job(HostTensors*)> job;
};

/// The ways that exist for an operator on a rectangle, or why there is none.
struct Candidates {
    std::vector<Candidate> all;
    std::string refused;
};

/// An operator to be placed: the only one of the graph, on f32 or f16.
struct Placing {
    const Graph& graph;
    const Op& op;
    const Mesh& mesh;
    Type type;
    int rows, columns;

    const Shape& in(std::size_t i) const { return graph.tensor(op.in[i]).shape; }
    const Shape& out() const { return graph.tensor(op.out.front()).shape; }
    double pes() const { return static_cast<double>(rows) * columns; }
};

// By family of operators.
Candidates collective_candidates(const Placing& p);
Candidates matmul_candidates(const Placing& p);
Candidates attention_candidates(const Placing& p);
Candidates vector_candidates(const Placing& p);

/// All of them.
Candidates candidates(const Placing& p);
/// The words for Mapping::algorithm.
std::vector<std::string> known_algorithms();

}  // namespace wb::fabric
