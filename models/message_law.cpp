#include "models/message_law.hpp"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <string_view>

#include "core/error.hpp"

namespace wb::cluster {
namespace {

/// The bytes in "exchange_4096_time" if the name is "exchange"; -1 if it is another key.
double bytes_in(std::string_view key, std::string_view name) {
    constexpr std::string_view end = "_time";
    if (!key.starts_with(name) || !key.ends_with(end) || key.size() <= name.size() + 1 + end.size()) return -1;
    key.remove_prefix(name.size() + 1);
    key.remove_suffix(end.size());
    long long bytes = -1;
    const auto r = std::from_chars(key.data(), key.data() + key.size(), bytes);
    return r.ec == std::errc() && r.ptr == key.data() + key.size() ? static_cast<double>(bytes) : -1;
}

int rounds(int n) { return std::bit_width(static_cast<unsigned>(n - 1)); }

}  // namespace

std::optional<MessageLaw> MessageLaw::of(const System& system) {
    if (!system.fitted.contains("exchange_8_time")) return std::nullopt;  // where all of them begin; asked very often
    MessageLaw law;
    for (const auto& [key, fact] : system.fitted)
        for (const auto& [name, points] : {std::pair{"message", &law.message_},
                                           {"exchange", &law.exchange_},
                                           {"add", &law.add_},
                                           {"copy", &law.copy_},
                                           {"fresh_exchange", &law.fresh_exchange_},
                                           {"fresh_copy", &law.fresh_copy_}})
            if (const double bytes = bytes_in(key, name); bytes >= 0) (*points)[bytes] = fact.value;
    if (const auto at = system.fitted.find("allreduce_long_bytes"); at != system.fitted.end())
        law.long_bytes_ = at->second.value;
    if (const auto at = system.fitted.find("reduction_overhead_time"); at != system.fitted.end())
        law.overhead_ = at->second.value;
    for (const Points* points : {&law.message_, &law.exchange_, &law.add_, &law.copy_})
        if (points->size() < 2) return std::nullopt;
    return law;
}

double MessageLaw::at(const Points& points, double bytes) {
    auto above = points.lower_bound(bytes);
    if (above == points.begin()) return above->second;    // nothing is faster than the smallest message
    if (above == points.end()) above = std::prev(above);  // the last line goes on
    const auto below = std::prev(above);
    const double slope = (above->second - below->second) / (above->first - below->first);
    return below->second + slope * (bytes - below->first);
}

double MessageLaw::reduction_to_all(double bytes, int n) const {
    const int whole = static_cast<int>(std::bit_floor(static_cast<unsigned>(n)));
    // Ranks beyond a power of two hand theirs to a neighbour first and are told the sum at last.
    const double doubling =
        rounds(whole) * (fresh_exchange(bytes) + add(bytes)) + (whole < n ? 2 * message(bytes) + add(bytes) : 0.0);
    const double ring = (n - 1) * (2 * fresh_exchange(bytes / n) + add(bytes / n));
    double halving = whole < n ? 2 * message(bytes) + add(bytes) : 0.0;
    for (int d = 2; d <= whole; d *= 2) halving += 2 * fresh_exchange(bytes / d) + add(bytes / d);
    const double blocks = std::min(ring, halving);
    const double chosen = !long_bytes_ ? std::min(doubling, blocks) : bytes < *long_bytes_ ? doubling : blocks;
    return overhead_ + fresh_copy(bytes) + chosen;
}

double MessageLaw::scattered_reduction(double bytes, int n) const {
    const double copies =
        overhead_ + fresh_copy(bytes) + copy(bytes / n);  // sums are made aside; a rank's own is handed out
    const double ring = (n - 1) * (fresh_exchange(bytes / n) + add(bytes / n));
    if (!std::has_single_bit(static_cast<unsigned>(n))) return copies + ring;
    double halving = 0;
    for (int d = 2; d <= n; d *= 2) halving += fresh_exchange(bytes / d) + add(bytes / d);
    return copies + std::min(ring, halving);
}

double MessageLaw::gathering(double bytes, int n) const {
    const double block = bytes / n, ring = (n - 1) * exchange(block);
    double doubling = 0;
    for (int d = 1; d < n; d *= 2) doubling += exchange(block * std::min(d, n - d));  // Bruck et al. 1997
    return copy(block) + std::min(ring, doubling);
}

double MessageLaw::spreading(double bytes, int n) const {
    double best = rounds(n) * message(bytes);
    for (double piece = 4096; piece < bytes && n > 2; piece *= 2)  // from neighbour to neighbour
        best = std::min(best, (n - 1) * message(piece) + (bytes / piece - 1) * exchange(piece));
    return best;
}

double MessageLaw::collective(CollectiveKind kind, double bytes, int n) const {
    WB_EXPECT(n >= 2);
    switch (kind) {
        case CollectiveKind::allreduce: return reduction_to_all(bytes, n);
        case CollectiveKind::reduce_scatter: return scattered_reduction(bytes, n);
        case CollectiveKind::allgather: return gathering(bytes, n);
        case CollectiveKind::broadcast: return spreading(bytes, n);
        case CollectiveKind::alltoall:
            return copy(bytes / n) + std::min((n - 1) * exchange(bytes / n), rounds(n) * exchange(bytes / 2));
        case CollectiveKind::send_recv: return exchange(bytes);
        case CollectiveKind::none: break;
    }
    return 0;
}

}  // namespace wb::cluster
