#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace wb::fabric {

inline constexpr std::uint64_t never = ~std::uint64_t{0};

/// Things due at a cycle: near ones in a wheel, far ones in a map. Time never runs backwards.
template <class T>
class Calendar {
public:
    void add(std::uint64_t now, std::uint64_t due, T thing) {
        if (due - now < near_.size())
            near_[due % near_.size()].push_back(thing);
        else
            far_[due].push_back(thing);
        ++size_;
    }

    /// Calls f for all that is due at `now`, also for what f adds for this cycle.
    template <class F>
    void take(std::uint64_t now, F&& f) {
        if (size_ == 0) return;
        if (!far_.empty() && far_.begin()->first == now) {
            const auto far = far_.extract(far_.begin());
            for (const T& thing : far.mapped()) {
                --size_;
                f(thing);
            }
        }
        std::vector<T>& due = near_[now % near_.size()];
        for (std::size_t i = 0; i < due.size(); ++i) {
            --size_;
            f(T(due[i]));
        }
        due.clear();
    }

    /// The first cycle after `now` for which something is due.
    std::uint64_t next(std::uint64_t now) const {
        if (size_ == 0) return never;
        const std::uint64_t far = far_.empty() ? never : far_.begin()->first;
        for (std::uint64_t t = now + 1; t < now + near_.size() && t < far; ++t)
            if (!near_[t % near_.size()].empty()) return t;
        return far;
    }

private:
    std::array<std::vector<T>, 128> near_;
    std::map<std::uint64_t, std::vector<T>> far_;
    std::size_t size_ = 0;
};

}  // namespace wb::fabric
