#pragma once

#include <cstdint>
#include <exception>
#include <map>
#include <string>
#include <vector>

#include "models/fabric/calendar.hpp"
#include "models/fabric/result.hpp"
#include "models/fabric/word.hpp"
#include "models/mesh.hpp"

namespace wb::fabric {

class Instruction;
class Node;
class Grid;

/// What all PEs of a run share.
struct Machine {
    Mesh mesh;
    bool data = true, link_use = true;
    bool setting_up = true;

    int ramp_cycles() const { return mesh.ramp_cycles; }
};

/// The rows of one thread, with its clock and timers.
class Shard {
public:
    Shard(const Machine& machine, Grid& grid, std::size_t first_row, std::size_t last_row);

    // A cycle: decide_edges() of all shards, a barrier, advance() of all shards, a barrier. A row moves on as soon as
    // it and its neighbours have decided, while it is in the cache.
    void decide_edges(std::uint64_t now);
    void advance();

    std::uint64_t now() const { return cycle_.now; }
    bool any_awake() const { return cycle_.any_awake; }
    std::uint64_t next_timer(std::uint64_t now) const;
    int unfinished() const { return unfinished_; }
    const std::exception_ptr& error() const { return error_; }
    std::size_t error_at() const { return error_at_; }
    const Cycle& cycle() const { return cycle_; }
    const std::map<std::string, Phase, std::less<>>& phases() const { return phases_; }

    // For the PEs.
    void resume_at(std::uint64_t due, Node& node) { resumes_.add(cycle_.now, due, &node); }
    void start_at(std::uint64_t due, Node& node, Instruction& i) { starts_.add(cycle_.now, due, {&node, &i}); }
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
    void resume(Node& node);
    void decide_row(std::size_t row);
    void advance_row(std::size_t row);

    const Machine& machine_;
    Grid& grid_;
    Arena arena_;
    std::size_t first_, last_;  // rows
    Cycle cycle_;
    Calendar<Node*> resumes_;
    Calendar<Start> starts_;
    int unfinished_ = 0;
    std::map<std::string, Phase, std::less<>> phases_;
    std::exception_ptr error_;
    std::size_t error_at_ = 0;
};

}  // namespace wb::fabric
