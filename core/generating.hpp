#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/backend.hpp"
#include "core/generation.hpp"
#include "core/interruptible.hpp"
#include "core/phase_taken.hpp"
#include "core/player.hpp"

namespace wb {

/// The two graphs that all of a generation runs on: the prefill, whose caches have room for every token, and the last
/// step of decoding, whose caches are the same memory. Steps before it lack some of their tokens.
struct GenerationPrograms {
    std::shared_ptr<const Graph> prefill, decode;
    explicit GenerationPrograms(const Generation& g);
};

/// Generates for real: the caches grow by the tokens that were chosen, each token is fed to the step after it. Ranks
/// may share sequences or the model; all see every token. The prompt is the begin of the case's dataset, or hashed.
/// Where the case names tokens that end a sequence, a run ends when all sequences have; those that ended before go on
/// beside the others, and what they say then is not told.
class GeneratingSession final : public Session, public Interruptible {
public:
    /// Collective over `comm`, which must outlive this. "temperature" and "eos", ids with commas between, among the
    /// case's parameters.
    GeneratingSession(const Case& c, const Generation& generation, Comm& comm, std::unique_ptr<Players> players);

    Sample run() override;
    /// After poison(), of the run that follows, which has all its tokens: the tokens of all sequences, named "tokens",
    /// and the logits they were chosen from, named "logits" and kept for the first tokens only; instance n is token n
    /// of every sequence.
    std::optional<Outputs> outputs() override;
    void poison() override;
    ResourceUse usage() const override;
    Graph performed() const override;

private:
    /// Of the last run.
    struct Taken : PhaseTaken {
        Flops useful, overhead;  // of a run
        std::int64_t times = 0;
    };

    void read_prompt();
    void one_token(Player& session, Taken& taken);
    std::vector<std::int32_t> choose(const Player& from, Taken& taken);
    void keep(Player& session);
    bool all_ended();
    Series chosen(std::int64_t sequence) const;
    Phase done_of(std::size_t phase) const;

    const Case case_;
    const Generation generation_;
    const GenerationPrograms programs_;
    const TokenChoice choice_;
    const std::vector<std::int32_t> ends_;  // tokens that end a sequence
    Comm& comm_;
    const std::unique_ptr<Players> players_;
    const std::unique_ptr<Player> prefill_, decode_;
    std::vector<Taken> taken_;                       // by phase
    std::vector<std::vector<std::int32_t>> tokens_;  // by number: of every sequence
    std::vector<std::size_t> lengths_;               // by sequence: of its answer, where it has ended; else 0
    bool judged_ = false;
    Outputs kept_;
};

}  // namespace wb
