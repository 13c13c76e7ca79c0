#pragma once

#include <memory>

#include "core/backend.hpp"

namespace wb {

// How every modelled machine answers a phase that only moves data or compiles (see transfer.hpp). Needs
// only_moves(*c.graph).

Support transfer_support(const Case& c);
/// `bound`: the band is exact; else it is that of the constants, to be replaced by what validation found.
std::unique_ptr<Session> transfer_session(const Case& c, bool bound);

}  // namespace wb
