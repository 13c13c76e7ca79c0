#pragma once

#include <cstdint>

#include "core/backend.hpp"
#include "core/generation.hpp"

namespace wb::reference {

/// The tokens of a generation ("tokens") and the logits each was chosen from ("logits"); instance n is token n of all
/// sequences. Every step is a graph of its own with a cache of exactly the tokens before it.
Outputs generate(const Generation& generation, const TokenChoice& choice, std::uint64_t seed);

}  // namespace wb::reference
