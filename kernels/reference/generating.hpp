#pragma once

#include <cstdint>
#include <vector>

#include "core/backend.hpp"
#include "core/generation.hpp"

namespace wb::reference {

/// The tokens of a generation ("tokens") and the logits each was chosen from ("logits"); instance n is token n of all
/// sequences. Every step is a graph of its own with a cache of exactly the tokens before it. `prompt` has the ids of
/// all sequences; where it is empty they are hashed.
Outputs generate(const Generation& generation, const TokenChoice& choice, std::uint64_t seed,
                 const std::vector<double>& prompt = {});

}  // namespace wb::reference
