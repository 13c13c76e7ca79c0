#include "models/offload.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/units.hpp"

namespace wb::cluster {
namespace {

double fact(const System& s, const char* key) {
    const auto found = s.node.find(key);
    return found == s.node.end() ? 0 : found->second.value;
}

double replicas(const Mapping& m) { return static_cast<double>(m.data) * m.context * m.expert; }

}  // namespace

Host host_of(const Device& device) {
    const System& s = device.system();
    // Ren et al. 2021, table 4 (recalled): a billion parameters in 0.24 s, 30 bytes each, on two sockets of 128 GB/s.
    const double reached = device.constant_or("host_memory_fraction", 0.5);
    return {fact(s, "host_memory"), reached * fact(s, "host_memory_bandwidth"), fact(s, "host_link"),
            std::max(1.0, fact(s, "units"))};
}

bool gradients_leave(const Mapping& m) { return m.shard >= 2 || replicas(m) == 1; }

Offload offload(const ModelWork& w, const Host& host, const Mapping& m, double backward) {
    Offload out;
    if (!m.offload || w.update == 0) return out;
    const double dense = m.shard > 0 ? replicas(m) : 1, experts = m.shard > 0 ? replicas(m) / m.expert : 1;
    const double held = (w.parameter_bytes + w.expert_bytes) / m.pipeline;  // 16-bit gradients of a stage
    const double bytes = (w.parameter_bytes / dense + w.expert_bytes / experts) / m.pipeline;
    const double rate = host.rate / std::min<double>(host.units, m.units());
    const bool leave = gradients_leave(m);
    const double moves = leave ? m.microbatches : 1;
    double down = host.link > 0 ? bytes / host.link : 0;
    const double up = down;
    if (moves > 1 && rate > 0) {
        // The host adds: written, read, and the sum read and written in 32 bits. Or the sum comes up, is added to on
        // the unit, and goes down, both ways at once (as DeepSpeed has it): read and written. Passes of 16-bit
        // gradients.
        const double on_host = std::max(down, 6 * bytes / rate), on_unit = std::max(2 * down, 4 * bytes / rate);
        down = std::min(on_host, on_unit);
    }
    const double last = down / std::max(1.0, w.attention_layers / m.pipeline);  // of the layer that is done last
    const double stall = std::max(0.0, down - last - backward);
    out.stall = leave ? stall : 0;
    out.tail = leave ? last : last + stall;
    const double part = held > 0 ? bytes / held : 0;
    const double updated = rate > 0 ? part * w.update_bytes / m.pipeline / rate : 0;
    out.update = std::max(updated, up);
    out.bytes = moves * bytes;
    return out;
}

std::string host_refusal(const Footprint& f, const Device& device, const Mapping& m) {
    if (!m.offload) return "";
    const Host host = host_of(device);
    const System& s = device.system();
    for (const auto& [value, key] : {std::pair{host.memory, "host_memory"}, {host.link, "host_link"}})
        if (value == 0) return fmt::format("{} cannot offload: [node] of the system lacks \"{}\"", s.id, key);
    const double room = host.share(m.units());
    if (f.hosted() <= room) return "";
    return fmt::format("{} does not fit the {} of host memory a unit has: it needs {} there", m.text(),
                       format(Bytes(room)), format(Bytes(f.hosted())));
}

}  // namespace wb::cluster
