#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/backend.hpp"
#include "core/batches.hpp"
#include "core/counted_comm.hpp"
#include "core/interruptible.hpp"
#include "core/phase_taken.hpp"
#include "core/player.hpp"

namespace wb {

/// A composition for real: its graphs share weights and states, training reads a new batch each step, checkpoints are
/// written, and a run that finds one of its own goes on from there.
class Composition final : public Session, public Interruptible {
public:
    /// Collective over `comm`, which must outlive this.
    Composition(const Case& c, Comm& comm, std::unique_ptr<Players> players);

    Sample run() override;
    ResourceUse usage() const override;
    Graph performed() const override;

private:
    /// Earlier parts of a resumed run included.
    struct Taken : PhaseTaken {
        Bytes stored;            ///< read from or written to storage
        std::int64_t times = 0;  ///< runs of the phase
    };
    enum class Does { stage, compile, load, write, restore, train, judge, compute };
    static Does does(const Graph& g);

    bool begin();
    void run_phase(const Phase& phase, bool& restore_due, Taken& taken);
    void carry_out(const Phase& phase, Taken& taken);
    bool goes_on(std::int64_t done, std::int64_t times);
    void open_sessions();
    void stage();
    void train(Player& session, std::int64_t times, Taken& taken);
    void judge(Player& session, std::int64_t times, Taken& taken);
    void write(Taken& taken);
    void restore(Taken& taken);
    std::map<std::string, std::vector<double>> notes() const;
    std::int64_t times_of(Does what) const;
    Phase done_of(std::size_t phase) const;
    std::string detail() const;
    Case case_of(const std::shared_ptr<const Graph>& graph) const;

    const Case case_;
    Comm& comm_;
    CommLedger ledger_;                   // of what this session itself says to the ranks
    const std::unique_ptr<Comm> booked_;  // comm_, with its calls in the ledger
    const std::unique_ptr<Players> players_;
    std::map<const Graph*, std::unique_ptr<Player>> sessions_;
    std::optional<Batches> training_, held_out_;
    std::vector<Taken> taken_;  // by phase
    std::vector<double> losses_;
    std::vector<double> held_out_losses_;
    std::int64_t done_ = 0;                            // optimizer steps
    std::int64_t resumed_ = 0, saved_ = 0, runs_ = 0;  // steps of the checkpoint begun from, of the last; runs begun
    bool stopped_ = false;                             // from outside, in the last run
    std::string remark_;
    std::map<std::string, std::vector<std::byte>> aside_;  // a checkpoint where there is no storage
};

}  // namespace wb
