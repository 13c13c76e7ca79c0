#include "models/fabric/programs/line_sum.hpp"

#include "models/vector_laws.hpp"

namespace wb::fabric {

LineSum::LineSum(const Mesh& mesh, int pes, std::int64_t wavelets, Colour first) {
    if (pes < 2) return;
    const Colours colours{first, 3};
    const bool two_phase = line_allreduce(mesh, pes, wavelets).two_phase;
    how_.emplace(
        Allreduce{two_phase ? two_phase_plan(pes, colours) : chain_plan(pes, colours), static_cast<Colour>(first + 3)});
}

void LineSum::route(Pe& pe, Line line) const {
    if (how_) route_allreduce(pe, line, *how_);
}

Process LineSum::run(Pe& pe, Line line, Vec values, Combine combine) const {
    if (how_) co_await allreduce(pe, line, values, *how_, combine);
}

}  // namespace wb::fabric
