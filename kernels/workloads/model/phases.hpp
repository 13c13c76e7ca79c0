#pragma once

#include <memory>

#include "core/graph.hpp"
#include "kernels/workloads/model/model_config.hpp"
#include "kernels/workloads/model/transformer.hpp"

namespace wb {

using SharedGraph = std::shared_ptr<const Graph>;

// Graphs that composed workloads are made of. Weights have the same names in all of them.

/// One optimizer step: forward, backward, AdamW.
SharedGraph train_step(const ModelConfig& model, const Sequence& sequence);
/// Forward pass of one batch and its loss.
SharedGraph held_out_loss(const ModelConfig& model, const Sequence& sequence);
SharedGraph prefill_of(const ModelConfig& model, const Sequence& sequence);
SharedGraph decode_of(const ModelConfig& model, const Sequence& sequence);
/// `tokens` token ids from storage to host to units.
SharedGraph staged_tokens(std::int64_t tokens);
/// A program of as many operators as `of` executes: made ready to run.
SharedGraph compiled(const Graph& of);
/// Every weight and state of `of` moved, see move_stored().
SharedGraph loaded(const Graph& of);
SharedGraph written(const Graph& of);
SharedGraph restored(const Graph& of);
/// The weights of one of `experts` models alike brought to where they can be used.
SharedGraph switched(const Graph& of, std::int64_t experts);

/// Decoding `tokens` tokens after `sequence.seq` cached ones, in at most `runs` runs of equal cache length: the middle
/// of the lengths a run stands for, where halves are carried to the next run: the sum of all lengths is that of the
/// tokens one by one to half the tokens of a run.
void then_decode(Graph& g, const ModelConfig& model, const Sequence& sequence, std::int64_t tokens,
                 std::int64_t times = 1, std::int64_t runs = 8);

}  // namespace wb
