#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/units.hpp"
#include "models/bounds.hpp"
#include "models/wafer/placement.hpp"

namespace wb::wafer {

/// Weight streaming: the activations of a piece of the batch stay on the wafers; for each piece the weights of layer
/// after layer come in, forward and backward, and gradients go out, added up on the way between data-parallel wafers.
/// A service outside keeps the weights and updates each as its gradient arrives. Arithmetic, streams and updates go on
/// side by side: the slowest is the step. Without a backward pass weights come in once, and nothing is updated: the
/// service outside has a third of the work.
Placement evaluate_training(const Machine& m, const Request& r, const System& system) {
    const Footprint f = footprint(r.graph);
    Placement p;
    p.mode = Mode::streamed;
    p.grid = m.whole();
    const double room = r.wafers * m.whole().pes() * m.usable_bytes();
    p.pieces = std::max<std::int64_t>(1, static_cast<std::int64_t>(std::ceil((f.activations + f.carried) / room)));
    const Seconds compute = compute_limit(r.graph, system, r.wafers).time / m.train_fraction;
    const bool train = trains(r.graph);
    p.io_bytes = (train ? 3 : 1) * f.weights * static_cast<double>(p.pieces);
    const Seconds stream = m.external > BytesPerSecond(0) ? Bytes(p.io_bytes) / m.external : Seconds(0);
    // Of the three ways of a parameter in a step, in twice and its gradient out, held-out loss has one.
    const Seconds update = m.update_parameter * f.parameters * (train ? 1 : 1.0 / 3);
    p.time = std::max({compute, stream, update});
    const auto span = [&](const char* resource, Seconds duration, Bytes bytes) {
        Span s;
        s.resource = resource;
        s.phase = train ? "step" : "forward";
        s.duration = duration;
        s.bytes = bytes;
        p.spans.push_back(s);
    };
    span("compute", compute, Bytes(0));
    span("external", stream, Bytes(p.io_bytes));
    span("update", update, Bytes(0));
    p.limit = compute >= std::max(stream, update) ? "compute"
              : stream >= update                  ? "weights streamed"
                                                  : "update of the weights outside";
    p.cost.compute = compute.si() * m.mesh.clock_hz;
    return p;
}

}  // namespace wb::wafer
