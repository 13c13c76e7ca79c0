#pragma once

#include <functional>
#include <memory>

#include "core/backend.hpp"

namespace wb::cpu {

/// A case on the first `ranks` of a job's ranks; the others sleep meanwhile, so that a spinning wait of theirs takes no
/// processor from those that work. Collective over `comm`, which must outlive it. `make` is called on those that work.
std::unique_ptr<Session> on_first_ranks(int ranks, Comm& comm,
                                        const std::function<std::unique_ptr<Session>(Comm&)>& make);

}  // namespace wb::cpu
