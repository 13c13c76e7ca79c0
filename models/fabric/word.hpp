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

/// What one shard counts in one cycle of a window (see Shard), and what this cycle needs to know.
struct Cycle {
    std::uint64_t now = 0;
    int slot = 0;                      ///< now modulo T_R
    int first_colour = 0;              ///< the one considered first in this cycle
    std::uint8_t* awake = nullptr;     ///< by word: to be looked at in the next cycle
    std::uint8_t* arriving = nullptr;  ///< by word: a neighbour sends to it in this cycle
    bool data = true, link_use = true;

    bool any_awake = false;
    bool active = false;  ///< a timer went off, or a word was awake
    std::uint64_t hops = 0, injected = 0, consumed = 0;

    void wake(std::size_t word) {
        std::atomic_ref(awake[word]).store(1, std::memory_order_relaxed);
        any_awake = true;
    }
};

/// Wavelets over the five links of 64 routers. Links in use change rarely: equal cycles are gathered before they are
/// added.
class LinkUse {
public:
    void add(int port, Plane used) {
        if (used != last_[port]) {
            flush(port);
            last_[port] = used;
        }
        ++repeat_[port];
    }
    std::uint32_t at(int port, int lane) {
        flush(port);
        return count_[port].at(lane);
    }

private:
    void flush(int port) {
        for (int k = 0; repeat_[port] != 0; ++k, repeat_[port] >>= 1)
            if ((repeat_[port] & 1U) != 0) count_[port].add(last_[port], k);
    }

    Plane last_[port_count] = {};
    std::uint32_t repeat_[port_count] = {};
    Counters<32> count_[port_count];
};

/// What tells whether a flow is worth a look.
struct FlowHead {
    std::uint32_t in = 0;  ///< its colour as a bit; none if it does not receive
    Plane active = 0;      ///< lanes past their start
    Flow* flow = nullptr;
};

/// 64 neighbouring PEs of a row with their routers: all colours, and the instructions that run.
class Word {
public:
    /// Phase A of a cycle: which queue heads move, given the state of all routers.
    void decide(Cycle& c);
    /// Phase B: moves them, and lets the PEs' instructions progress. Reads of other words only what they decided.
    void advance(Cycle& c);

    /// Made when first asked for.
    Block& block(Colour c, bool data);
    /// After set-up: lets the block of this colour know its neighbours.
    void link(Colour c);
    Block* find(Colour c) const { return blocks_[c]; }
    RampQueue& up(Colour c, int ramp_cycles, bool data);
    RampQueue& down(Colour c, int ramp_cycles, bool data);
    Flow& flow(const FlowKey& key, int ramp_cycles, bool data);
    void activate(Instruction& i, int lane);
    std::uint32_t link_use(int lane, Port p) const { return use_ != nullptr ? use_->at(static_cast<int>(p), lane) : 0; }
    /// Of anything that can be in motion: bytes, for the benchmark.
    std::size_t bytes() const;

    std::size_t index = 0;
    Word* beyond[4] = {};
    Arena* arena = nullptr;                ///< of its shard
    Node* nodes = nullptr;                 ///< of lane 0; the others follow
    Plane computing = 0;                   ///< lanes whose main thread uses the datapath
    std::unique_ptr<std::byte*[]> memory;  ///< by lane, in data mode

private:
    void publish(Cycle& c, Colour colour, Block& b, Plane go);
    Plane movable(const Block& b) const;
    bool mature(int slot);
    bool progress(Cycle& c);
    void arbitrate(int lane);
    void grant(Cycle& c, FlowHead& head);
    void calculate(Flow& f);
    void move(Cycle& c, Colour colour, Plane inject);
    Plane receive(Cycle& c, Block& b, Port from, Plane tail);
    void store_flags(Block& b, Plane arrive, Plane flags, Plane tail);
    void switch_on(Cycle& c, Block& b, Plane leave);
    void wake_sources(Cycle& c, const Block& b, Plane freed);

    std::uint32_t occupied_ = 0;      // colours, a bit each: a queue holds something
    std::uint32_t moved_ = 0;         // something leaves in this cycle
    std::uint32_t incoming_[4] = {};  // something comes from this port in this cycle
    // Ramp queues: something is on its way, something is ready.
    std::uint32_t up_flying_ = 0, down_flying_ = 0, up_ready_ = 0, down_ready_ = 0;
    Block* blocks_[most_colours] = {};
    std::vector<FlowHead> flows_;
    LinkUse* use_ = nullptr;
};

}  // namespace wb::fabric
