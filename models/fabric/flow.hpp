#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "models/fabric/instruction.hpp"
#include "models/fabric/planes.hpp"
#include "models/fabric/ramp_queue.hpp"

namespace wb::fabric {

constexpr bool receives(Action a) { return a != Action::send && a != Action::cycles; }
constexpr bool sends(Action a) { return a == Action::send || a >= Action::pass; }
constexpr bool calculates(Action a) {
    return a == Action::add || a == Action::max || a == Action::mac || a == Action::add_pass || a == Action::max_pass;
}

/// The second operand of a mac: the address of its next element, and bytes from element to element.
struct Operand {
    std::uint32_t at = Vec::nowhere;
    std::int32_t step = 0;
};

/// Where an instruction stands in memory: the byte address of the next wavelet's first element.
struct Cursor {
    std::uint32_t a = Vec::nowhere;
    std::int32_t a_step = 0;  // bytes from element to element
    std::uint32_t left = 0;   // elements
    Action action = Action::cycles;
    Type type = Type::f32;    // of the wavelets
    Type a_type = Type::f32;  // of the destination of a mac

    /// What the wavelet with this payload does to memory; the payload that goes on. Moves to the next wavelet.
    /// `second` is of a mac only.
    std::uint32_t apply(std::byte* memory, std::uint32_t payload, Operand* second) {
        return type == Type::f32 && action != Action::mac ? apply_f32(memory, payload)
                                                          : apply_any(memory, payload, second);
    }

private:
    std::uint32_t apply_f32(std::byte* memory, std::uint32_t payload);
    std::uint32_t apply_any(std::byte* memory, std::uint32_t payload, Operand* second);
};

/// The common case, inline.
inline std::uint32_t Cursor::apply_f32(std::byte* memory, std::uint32_t payload) {
    --left;
    if (a == Vec::nowhere) return action == Action::send ? 0 : payload;
    std::byte* at = memory + a;
    a += static_cast<std::uint32_t>(a_step);
    if (action == Action::store || action == Action::pass) {
        std::memcpy(at, &payload, sizeof payload);
        return payload;
    }
    std::uint32_t held = 0;
    std::memcpy(&held, at, sizeof held);
    if (action == Action::send) return held;
    const float x = std::bit_cast<float>(payload), y = std::bit_cast<float>(held);
    const bool add = action == Action::add || action == Action::add_pass;
    const auto result = std::bit_cast<std::uint32_t>(add ? y + x : std::max(y, x));
    if (action == Action::add || action == Action::max) std::memcpy(at, &result, sizeof result);
    return result;
}

/// What distinguishes flows: two instructions with the same key in one PE cannot run at once.
struct FlowKey {
    bool receives = false, sends = false, calculates = false;
    Colour in = 0, out = 0;

    friend bool operator==(const FlowKey&, const FlowKey&) = default;
};

/// Running fabric instructions of 64 neighbouring PEs that take from the same colour and send on the same: they
/// progress together, a bit each.
struct Flow {
    FlowKey key;
    Plane request = 0;  ///< lanes that could progress in this cycle; none between cycles
    int place = 0;      ///< among the flows of the word
    RampQueue* up = nullptr;
    RampQueue* down = nullptr;
    Counters<32> left;  ///< wavelets to go, less one
    Instruction* owner[lanes] = {};
    Cursor* cursor = nullptr;   ///< by lane, in data mode
    Operand* second = nullptr;  ///< by lane, of flows that calculate
};

}  // namespace wb::fabric
