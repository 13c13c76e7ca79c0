#include <algorithm>

#include "models/kernel.hpp"

namespace wb::cluster {

double alone(const Device& d, const Kernel& k) {
    const double call = d.family_constant_or(k.family, "_launch_time", d.constant("launch_time"));
    const double start = d.constant_or("start_time", call);
    return std::max(call, d.family_constant_or(k.family, "_start_time", start) + k.time);
}

Kernel moving(const Device& d, const char* family, double bytes, double row_bytes) {
    Kernel out;
    out.family = family;
    const Device::Family constants = d.family(family);
    const double kept = row_bytes > 0 && constants.kept_bytes >= 0 ? constants.kept_bytes : row_bytes;
    if (kept < row_bytes) bytes *= 1 + 0.5 * (1 - kept / row_bytes);  // reads are half of what moves
    out.bytes = bytes;
    // A kernel that streams through the cache level finds there what the one before it left.
    const bool cached = d.cache_rate() > 0 && bytes <= d.cache_bytes() && d.has("cache_fraction");
    out.time =
        bytes / (cached ? d.constant("cache_fraction") * d.cache_rate() : constants.memory_fraction * d.memory_rate());
    return out;
}

}  // namespace wb::cluster
