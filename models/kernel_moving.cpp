#include "models/kernel.hpp"

namespace wb::cluster {

Kernel moving(const Device& d, const std::string& family, double bytes) {
    Kernel out;
    out.bytes = bytes;
    const std::string own = family + "_memory_fraction";
    const double fraction = d.constant(d.has(own) ? own : "vector_memory_fraction");
    // A kernel that streams through the cache level finds there what the one before it left.
    const bool cached = d.cache_rate() > 0 && bytes <= d.cache_bytes();
    out.time =
        bytes / (cached ? d.constant_or("cache_fraction", fraction) * d.cache_rate() : fraction * d.memory_rate());
    return out;
}

}  // namespace wb::cluster
