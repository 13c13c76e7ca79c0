#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "models/emulation/program.hpp"
#include "models/emulation/stamp.hpp"

namespace wb::emulation {

/// Bytes of a buffer that one message holds: a run, and what of it wraps around to the front.
struct Part {
    std::int64_t at = 0, bytes = 0, front = 0, wrapped = 0;
    std::int64_t size() const { return bytes + wrapped; }
};

/// What the units of a rank really work on, where messages carry data (payload full). A bare collective has the buffers
/// that its caller lays out; the steps of a model are filled with stamps as they begin and checked as they end.
class Cargo {
public:
    Cargo(const Program& program, int first, int last);

    bool real() const { return program_.payload == Payload::full; }
    bool stamped() const { return real() && program_.stamped; }

    /// To += from, `bytes` of them.
    using Add = void (*)(std::byte* to, const std::byte* from, std::int64_t bytes);
    Add add = nullptr;
    std::vector<std::vector<std::byte>> inputs, buffers;  ///< by unit
    std::int64_t checked = 0, wrong = 0;                  ///< steps and messages that were stamped
    std::string first_wrong;

    void reset();
    /// The bytes a unit sends in a round, one after the other; null without data. Valid until the next call.
    const std::byte* gathered(const Play& play, int unit, const Part& part);
    /// What has come, added or as it is.
    void put(int unit, const Part& part, const std::byte* data, bool sum);

    /// A collective of a step begins, or is over: `first` and `last` of the plays that make it up.
    void begin(const Play& first, int unit);
    void end(const Play& first, const Play& last, int unit);
    /// A message of one unit to another; null without data.
    const std::byte* message(const Play& send, int unit);
    void check_message(const Play& receive, int source, int unit, const std::byte* data);

private:
    std::size_t index(int unit) const { return static_cast<std::size_t>(unit - first_); }
    void judge(bool right, const Play& play, int unit);
    bool summed(const Play& last, int unit, const Region& where);
    bool arrived(const Play& first, const Play& last, int unit);
    Stamp stamp(const Play& play, int unit) const;

    const Program& program_;
    int first_;
    std::vector<std::byte> scratch_;
};

}  // namespace wb::emulation
