#pragma once

#include "core/partition.hpp"

namespace wb {

/// Data parallelism: one of `replicas` parts of a training step, a loss or any graph whose ops say in `batch` how many
/// sequences they hold. Inputs are cut by sequences, weights and states are whole on every rank, and the gradients are
/// summed over the ranks before they are used: each is the mean over the whole batch, because every loss is divided by
/// the tokens of all. What is then repeated on every rank says so in Attributes::share. Graphs that only move memory
/// are shared by moving the first dimension in parts.
/// Throws Error where the batch does not divide, or a gradient is not known before the update.
Partition replicate(const Graph& g, int replicas, int rank);

}  // namespace wb
