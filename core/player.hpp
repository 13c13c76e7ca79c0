#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/backend.hpp"
#include "core/fusion.hpp"
#include "core/generation.hpp"
#include "core/partition.hpp"
#include "core/storage.hpp"

namespace wb {

inline constexpr std::string_view update_phase = "update";  ///< of a training step, the phase that changes weights

/// One graph made ready on one machine, with what the compositions that play it ask beside a run.
class Player : public Session {
public:
    Sample run() override { return run(nullptr); }
    /// `before_update` is called, if given, when all gradients are known and no weight is changed yet.
    virtual Sample run(const std::function<void()>& before_update) = 0;
    /// The optimizer goes on as after `done` runs.
    virtual void at_step(std::int64_t done) = 0;
    /// Caches hold `tokens` tokens fewer of each sequence than the graph says, from the next run on: its caches have
    /// room for all, and the token at hand stands that much earlier.
    virtual void lack(std::int64_t tokens) = 0;
    /// This rank's rows of an input of 32-bit integers, from the whole of it. Nothing if the graph has none so named.
    virtual void put(std::string_view name, std::span<const std::int32_t> whole) = 0;
    /// This rank's losses of the last run, one a token; empty without a loss.
    virtual std::vector<float> losses() const = 0;
    /// By sequence, of `sequences` in all: the best id among this rank's logits of the last run, as token `number`.
    virtual std::vector<BestToken> best_tokens(const TokenChoice& choice, std::int64_t number,
                                               std::int64_t sequences) const = 0;
    /// Of the last run.
    virtual std::vector<CommUse> communication() const = 0;
    /// Repeats all before the update op by op (collective) and names the first tensor this rank sees that has a value
    /// that is no number; empty if there is none.
    virtual std::string first_nonfinite() = 0;
};

/// One machine, and the weights and states that graphs of the same composition share on it: the same name, shape and
/// type are the same memory.
class Players {
public:
    virtual ~Players() = default;
    /// Collective. Must outlive what it opens.
    virtual std::unique_ptr<Player> open(const Case& c) = 0;
    /// Every weight and state from its fill, as at the start of a run.
    virtual void fill() = 0;
    /// What this rank holds, where the host can read and write it; put_back() takes over what was written.
    virtual std::vector<StoredPiece> pieces() = 0;
    virtual void put_back() = 0;
    /// Bytes held of one role.
    virtual Bytes bytes(Role role) const = 0;
    /// What the machine has used since some moment: take differences. Nothing if it does not say.
    virtual std::optional<Joules> energy() const = 0;
    /// Counts from now on, in all threads there are and those they start, what misses of the last cache fetch.
    virtual void begin_counting() {}
    /// What they have fetched since. Nothing if the machine does not say.
    virtual std::optional<Bytes> counted() const { return {}; }
    /// What is held beside weights, states, inputs and activations.
    virtual std::vector<MemoryUse> memory() const = 0;
    /// What was found by timing, so that a run that goes on computes bit for bit what it would have.
    virtual std::vector<double> choices() const { return {}; }
    virtual void adopt(const std::vector<double>&) {}
};

/// Bytes one rank needs for graphs that share weights and states.
double memory_needed(const std::vector<const Graph*>& graphs, const Mapping& mapping, int rank,
                     std::int64_t alignment = 64);

/// The output that holds a loss for each token; nothing if there is none.
std::optional<TensorId> losses_of(const Graph& local);

/// A rank's part of the output matrix [sequences, vocabulary].
struct LogitsPart {
    TensorId id;
    std::int64_t rows, columns, first_row, first_column;
    explicit LogitsPart(const Partition& part);
};

/// Of the last run, over the batch of all ranks. Collective.
double mean_loss(const Player& player, const Mapping& mapping, Comm& comm);
/// What a player's first_nonfinite() says. `run` plays one op of a block the k-th time; `finite` says whether a tensor
/// of an iteration has numbers only. What `fused` ops do is asked for at the place of their product.
std::string first_nonfinite(const Graph& local,
                            const std::function<void(std::size_t block, std::int64_t k, int op)>& run,
                            const std::function<bool(TensorId id, std::int64_t iteration)>& finite,
                            const FusedOps& fused = {});
/// Names the first tensor that has a value that is no number. Collective.
[[noreturn]] void stop_at_nan(Player& player, Comm& comm, const std::string& where);

}  // namespace wb
