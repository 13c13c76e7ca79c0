#pragma once

#include <coroutine>
#include <cstdint>
#include <functional>

#include "models/fabric/route.hpp"
#include "models/fabric/vec.hpp"

namespace wb::fabric {

class Node;
struct Flow;
struct Cursor;
struct Operand;

/// Vector work in memory: `instructions` vector instructions of `elements` each.
struct Work {
    double instructions = 1, elements = 0, cycles_per_element = 1;
    double fma = 0;  ///< useful FLOP / 2, for Result::fma
};

/// What an instruction does with a wavelet.
enum class Action : std::uint8_t { cycles, send, store, add, max, mac, pass, add_pass, max_pass };

/// One vector instruction of a PE. `co_await` executes it on the main thread; Pe::start begins it asynchronously.
class [[nodiscard]] Instruction {
public:
    bool await_ready() const { return false; }
    bool await_suspend(std::coroutine_handle<> main);
    void await_resume() const {}

    // For the simulator.
    Flow* flow() const { return flow_; }
    std::uint32_t wavelets() const { return wavelets_; }
    bool advances() const { return advance_; }
    Cursor cursor() const;
    Operand second() const;

private:
    friend class Pe;
    friend class Node;

    Node* node_ = nullptr;
    Flow* flow_ = nullptr;  // while it runs
    Action action_ = Action::cycles;
    Colour in_ = 0, out_ = 0;
    bool advance_ = false;        // the last wavelet sent carries the control flag
    bool main_ = true;            // else asynchronous
    bool computes_ = false;       // of Action::cycles: needs the datapath, else only waits
    std::uint32_t wavelets_ = 0;  // to go through in all
    Vec a_, b_;                   // destination or operand; second operand
    std::uint64_t first_ = 0;     // cycle of the first progress
    std::uint64_t cycles_ = 0;    // of Action::cycles: duration
    std::uint64_t busy_ = 0;      // of them, datapath in use
    double fma_ = 0;
    std::function<void()> body_;
};

/// An asynchronous instruction, to be awaited at most once; a Handle of a finished one is ready.
class [[nodiscard]] Handle {
public:
    Handle() = default;
    Handle(Node* node, int slot, std::uint32_t generation) : node_(node), slot_(slot), generation_(generation) {}

    bool await_ready() const;
    void await_suspend(std::coroutine_handle<> main) const;
    void await_resume() const {}

private:
    Node* node_ = nullptr;  // none: finished at once
    int slot_ = 0;
    std::uint32_t generation_ = 0;
};

}  // namespace wb::fabric
