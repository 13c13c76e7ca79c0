#include <fmt/format.h>

#include "models/fabric/candidate.hpp"

namespace wb::fabric {

Candidates candidates(const Placing& p) {
    using enum OpKind;
    switch (p.op.kind) {
        case collective: return collective_candidates(p);
        default: return {{}, fmt::format("there is no program for {}", name(p.op.kind))};
    }
}

std::vector<std::string> known_algorithms() {
    return {"star", "chain", "tree", "two_phase", "generated", "snake", "ring", "multicast"};
}

}  // namespace wb::fabric
