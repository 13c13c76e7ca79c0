#pragma once

#include <cstdint>

#include "models/fabric/arena.hpp"
#include "models/fabric/planes.hpp"

namespace wb::fabric {

inline constexpr int most_ramp_cycles = 13;

/// The FIFOs between 64 PEs and their routers, of one colour and direction. A wavelet pushed in cycle t may be taken
/// from cycle t + T_R on; at most T_R + 2 are inside, those on their way counted.
class RampQueue {
public:
    RampQueue(int ramp_cycles, bool data, Arena& arena)
        : capacity_(ramp_cycles + 2),
          payload_(data ? arena.array<std::uint32_t>(static_cast<std::size_t>(capacity_) * lanes) : nullptr) {}

    Plane room() const { return ~count_.equal(static_cast<unsigned>(capacity_)); }
    Plane ready() const { return ready_.positive(); }
    Plane held() const { return count_.positive(); }
    std::uint32_t count(int lane) const { return count_.at(lane); }
    bool flying() const { return flying_ > 0; }

    /// At the start of a cycle; `slot` is the cycle modulo T_R. True if any wavelet became ready.
    bool mature(int slot) {
        const Plane m = wheel_[slot];
        if (m == 0) return false;
        ready_.add(m);
        wheel_[slot] = 0;
        --flying_;
        return true;
    }
    void push(Plane m, int slot) {
        if (m == 0) return;
        count_.add(m);
        if (wheel_[slot] == 0) ++flying_;
        wheel_[slot] |= m;
    }
    /// The flags of what is taken are returned; see mark().
    Plane pop(Plane m) {
        count_.subtract(m);
        ready_.subtract(m);
        if (!flagged_) return 0;
        const Plane flagged = control_[0] & m;
        for (int k = 0; k + 1 < capacity_; ++k) control_[k] = select(m, control_[k], control_[k + 1]);
        control_[capacity_ - 1] &= ~m;
        return flagged;
    }
    /// Sets the control flag of the youngest wavelet of a lane.
    void mark(int lane) {
        flagged_ = true;
        control_[count_.at(lane) - 1] |= bit_of(lane);
    }

    // The payloads, in data mode: to be called once for each lane pushed or popped.
    void put(int lane, std::uint32_t payload) {
        payload_[index(tail_[lane], lane)] = payload;
        tail_[lane] = next(tail_[lane]);
    }
    std::uint32_t take(int lane) {
        const std::uint32_t payload = payload_[index(head_[lane], lane)];
        head_[lane] = next(head_[lane]);
        return payload;
    }

    std::size_t bytes() const {
        return sizeof *this +
               (payload_ != nullptr ? sizeof(std::uint32_t) * lanes * static_cast<std::size_t>(capacity_) : 0);
    }

private:
    static std::size_t index(std::uint8_t slot, int lane) {
        return static_cast<std::size_t>(slot) * lanes + static_cast<std::size_t>(lane);
    }
    std::uint8_t next(std::uint8_t slot) const {
        return slot + 1 == capacity_ ? 0 : static_cast<std::uint8_t>(slot + 1);
    }

    Counters<4> count_, ready_;
    Plane wheel_[most_ramp_cycles] = {};  // on their way, by the cycle of their push modulo T_R
    int flying_ = 0;                      // slots of the wheel in use
    int capacity_;
    bool flagged_ = false;    // a control flag was ever sent
    std::uint32_t* payload_;  // [capacity][lane]
    std::uint8_t head_[lanes] = {}, tail_[lanes] = {};
    Plane control_[most_ramp_cycles + 2] = {};  // by place from the head
};

}  // namespace wb::fabric
