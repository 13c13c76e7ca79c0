#pragma once

#include <exception>
#include <stdexcept>
#include <string>

#include "core/comm.hpp"

namespace wb {

/// Runs `action` on this rank, then waits for the others: if it threw anywhere, it throws everywhere, so that no rank
/// goes on to a collective call the others will never make. The text is empty on ranks that had nothing to say.
template <class Action>
void agreed(Comm& comm, Action&& action) {
    std::string text;
    bool threw = false;
    try {
        action();
    } catch (const std::exception& e) {
        threw = true;
        text = e.what();
    }
    if (!comm.all(!threw)) throw std::runtime_error(text);
}

}  // namespace wb
