#pragma once

#include "core/graph.hpp"

namespace wb {

/// A graph that moves every weight and state of `of` and computes nothing, in one phase: `how` is OpKind::write (units
/// to storage), OpKind::read (storage to host) or OpKind::load (host to units). Blocks repeat as they do in `of`.
/// `experts` > 1: of so many models alike that lie together in some tier of memory, one is moved.
void move_stored(Graph& g, const Graph& of, OpKind how, const std::string& phase, std::int64_t experts = 0);

}  // namespace wb
