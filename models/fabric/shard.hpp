#pragma once

#include <array>
#include <cstdint>
#include <exception>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "models/fabric/calendar.hpp"
#include "models/fabric/result.hpp"
#include "models/fabric/word.hpp"
#include "models/mesh.hpp"

namespace wb::fabric {

class Instruction;
class Node;
class Grid;

inline constexpr int most_window = 32;

/// What all PEs of a run share.
struct Machine {
    Mesh mesh;
    bool data = true, link_use = true;
    bool setting_up = true;

    int ramp_cycles() const { return mesh.ramp_cycles; }
};

/// The rows of one thread, with their clock and timers. Cycles are simulated in windows of several: a row goes through
/// all of them while it is in the cache. A row may go through a cycle as soon as it and its neighbours have decided,
/// for which two rows to either side must have come to this cycle, so each cycle of a window follows two rows behind
/// the cycle before. At a boundary between two shards each keeps back from it by two rows more for each cycle: the rows
/// in between follow when both shards are done.
class Shard {
public:
    Shard(const Machine& machine, Grid& grid, std::size_t first_row, std::size_t last_row);

    /// The next window: `cycles` cycles from `now` on.
    void begin_window(std::uint64_t now, int cycles);
    /// All rows of the window that need no other shard to move on.
    void sweep();
    /// The rest of the window around the boundary between `above` and `below`.
    static void close(Shard& above, Shard& below);

    /// Cycles that a window may have.
    int most_cycles() const { return static_cast<int>((last_ - first_ + 1) / 4); }
    std::uint64_t now() const { return cycle_->now; }
    /// After the last cycle of the window.
    bool any_awake() const { return cycles_[window_ - 1].any_awake; }
    /// The last cycle of the window in which anything could happen; its first if nothing could.
    std::uint64_t last_active() const;
    std::uint64_t next_timer(std::uint64_t now) const;
    int unfinished() const { return unfinished_; }
    const std::exception_ptr& error() const { return error_; }
    /// Cycle and PE of the first error.
    std::pair<std::uint64_t, std::size_t> error_at() const { return error_at_; }
    /// The counts of all cycles.
    Cycle counts() const;
    const std::map<std::string, Phase, std::less<>>& phases() const { return phases_; }

    // For the PEs.
    void resume_at(std::uint64_t due, Node& node);
    void start_at(std::uint64_t due, Node& node, Instruction& i);
    void wake_now(const Word& w);
    Phase* phase(std::string_view name);
    void began() { ++unfinished_; }
    void ended() { --unfinished_; }

    Arena& arena() { return arena_; }

private:
    struct Start {
        Node* node;
        Instruction* instruction;
    };
    struct Timers {
        Calendar<Node*> resumes;
        Calendar<Start> starts;
    };
    Timers& timers(const Node& node);
    void resume(Node& node);
    void decide_row(std::size_t row, std::size_t cycle);
    void advance_row(std::size_t row, std::size_t cycle);
    bool has(std::size_t row) const { return first_ <= row && row < last_; }
    bool shares_top() const { return first_ > 0; }
    bool shares_bottom() const;

    const Machine& machine_;
    Grid& grid_;
    Arena arena_;
    std::size_t first_, last_;  // rows
    std::size_t window_ = 1;    // cycles
    std::array<Cycle, most_window> cycles_;
    Cycle* cycle_ = cycles_.data();  // at work
    std::vector<Timers> timers_;     // by row
    int unfinished_ = 0;
    std::map<std::string, Phase, std::less<>> phases_;
    std::exception_ptr error_;
    std::pair<std::uint64_t, std::size_t> error_at_;
};

}  // namespace wb::fabric
