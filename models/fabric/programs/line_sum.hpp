#pragma once

#include <optional>

#include "models/fabric/programs/collectives.hpp"

namespace wb::fabric {

/// Allreduce over lines of `pes` PEs by the algorithm that line_allreduce() finds the quickest for this many wavelets.
/// Four colours from `first` on. Nothing happens on a line of one.
class LineSum {
public:
    LineSum(const Mesh& mesh, int pes, std::int64_t wavelets, Colour first);

    void route(Pe& pe, Line line) const;
    Process run(Pe& pe, Line line, Vec values, Combine combine) const;

private:
    std::optional<Allreduce> how_;
};

}  // namespace wb::fabric
