#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "core/backend.hpp"
#include "core/generation.hpp"
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
class GeneratingSession final : public Session {
public:
    /// Collective over `comm`, which must outlive this. "temperature" among the case's parameters.
    GeneratingSession(const Case& c, const Generation& generation, Comm& comm, std::unique_ptr<Players> players);

    Sample run() override;
    /// After poison(), of the run that follows: the tokens of all sequences, named "tokens", and the logits they were
    /// chosen from, named "logits" and kept for the first tokens only; instance n is token n of every sequence.
    std::optional<Outputs> outputs() override;
    void poison() override;
    ResourceUse usage() const override;

private:
    /// Of the last run.
    struct Taken : PhaseTaken {
        Flops useful, overhead;  // of all its runs
    };

    void read_prompt();
    void one_token(Player& session, Taken& taken);
    std::vector<std::int32_t> choose(const Player& from, Taken& taken);
    void keep(Player& session);
    Series chosen(std::int64_t sequence) const;

    const Case case_;
    const Generation generation_;
    const GenerationPrograms programs_;
    const TokenChoice choice_;
    Comm& comm_;
    const std::unique_ptr<Players> players_;
    const std::unique_ptr<Player> prefill_, decode_;
    std::vector<Taken> taken_;                       // by phase
    std::vector<std::vector<std::int32_t>> tokens_;  // by number: of every sequence
    bool judged_ = false;
    Outputs kept_;
};

}  // namespace wb
