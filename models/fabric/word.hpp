#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <vector>

#include "models/fabric/block.hpp"
#include "models/fabric/flow.hpp"

namespace wb::fabric {

class Node;

inline constexpr int most_colours = 32;

/// What one shard counts, and what a cycle needs to know.
struct Cycle {
    std::uint64_t now = 0;
    int slot = 0;                      ///< now modulo T_R
    int first_colour = 0;              ///< the one considered first in this cycle
    std::uint8_t* awake = nullptr;     ///< by word: to be looked at in the next cycle
    std::uint8_t* arriving = nullptr;  ///< by word: a neighbour sends to it in this cycle
    bool data = true, link_use = true;

    bool any_awake = false;
    std::uint64_t hops = 0, injected = 0, consumed = 0;

    void wake(std::size_t word) {
        std::atomic_ref(awake[word]).store(1, std::memory_order_relaxed);
        any_awake = true;
    }
};

/// 64 neighbouring PEs of a row with their routers: all colours, and the instructions that run.
class Word {
public:
    /// Phase A of a cycle: which queue heads move, given the state of all routers.
    void decide(Cycle& c);
    /// Phase B: moves them, and lets the PEs' instructions progress. Reads of other words only what they decided.
    void advance(Cycle& c);

    Block& block(Colour c, bool data);
    Block* find(Colour c) const { return blocks_[c].get(); }
    RampQueue& up(Colour c, int ramp_cycles, bool data);
    RampQueue& down(Colour c, int ramp_cycles, bool data);
    Flow& flow(const FlowKey& key, int ramp_cycles, bool data);
    void activate(Instruction& i, int lane);
    std::uint32_t link_use(int lane, Port p) const { return use_ ? use_[static_cast<int>(p)].at(lane) : 0; }
    /// Of anything that can be in motion: bytes, for the benchmark.
    std::size_t bytes() const;

    std::size_t index = 0;
    Word* beyond[4] = {};
    Node* nodes = nullptr;                 ///< of lane 0; the others follow
    Plane computing = 0;                   ///< lanes whose main thread uses the datapath
    std::unique_ptr<std::byte*[]> memory;  ///< by lane, in data mode

private:
    void publish(Cycle& c, Colour colour, Block& b, Plane go);
    Plane movable(const Block& b) const;
    bool mature(int slot);
    bool progress(Cycle& c);
    void arbitrate(int lane);
    void grant(Cycle& c, Flow& f);
    void move(Cycle& c, Colour colour, Plane inject);
    Plane receive(Cycle& c, Block& b, Port from, Plane tail);
    void store_flags(Block& b, Plane arrive, Plane flags, Plane tail);
    void switch_on(Cycle& c, Block& b, Plane leave);
    void wake_sources(Cycle& c, const Block& b, Plane freed);
    void rest(Cycle& c, bool changed);

    std::uint32_t occupied_ = 0;                 // colours, a bit each: a queue holds something
    std::uint32_t moved_ = 0;                    // something leaves in this cycle
    std::uint32_t incoming_[4] = {};             // something comes from this port in this cycle
    std::uint32_t up_busy_ = 0, down_busy_ = 0;  // a ramp queue holds something
    std::unique_ptr<Block> blocks_[most_colours];
    std::vector<std::unique_ptr<Flow>> flows_;
    std::unique_ptr<Counters<32>[]> use_;  // of the five links
};

}  // namespace wb::fabric
