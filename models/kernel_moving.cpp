#include <algorithm>

#include "models/kernel.hpp"

namespace wb::cluster {

double alone(const Device& d, const Kernel& k) {
    const std::string family = k.family;
    const double call = d.constant_or(family + "_launch_time", d.constant("launch_time"));
    return std::max(call, d.constant_or(family + "_start_time", call) + k.time);
}

Kernel moving(const Device& d, const char* family, double bytes, double row_bytes) {
    Kernel out;
    out.family = family;
    const double kept = row_bytes > 0 ? d.constant_or(std::string(family) + "_kept_bytes", row_bytes) : row_bytes;
    if (kept < row_bytes) bytes *= 1 + 0.5 * (1 - kept / row_bytes);  // reads are half of what moves
    out.bytes = bytes;
    const std::string own = std::string(family) + "_memory_fraction";
    const double fraction = d.constant(d.has(own) ? own : "vector_memory_fraction");
    // A kernel that streams through the cache level finds there what the one before it left.
    const bool cached = d.has("cache_fraction") && d.cache_rate() > 0 && bytes <= d.cache_bytes();
    out.time = bytes / (cached ? d.constant("cache_fraction") * d.cache_rate() : fraction * d.memory_rate());
    return out;
}

}  // namespace wb::cluster
