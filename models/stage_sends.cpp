#include "models/stage_sends.hpp"

#include <algorithm>

#include "models/collective_time.hpp"

namespace wb::cluster {

int stage_stride(const Mapping& m) { return m.data * m.expert * m.context * m.tensor; }

bool crosses(const System& system, const Mapping& m, int stage, int other) {
    const int domain = domain_units(system), apart = stage_stride(m);
    const auto differ = [&](int unit) { return (stage * apart + unit) / domain != (other * apart + unit) / domain; };
    return apart >= domain || differ(0) || differ(apart - 1);
}

StageSend stage_send(const Device& d, const ModelWork& w, const Mapping& m, bool far) {
    const auto sent = [&](double bytes) {
        return far ? crossing_message_time(d, bytes, stage_stride(m))
                   : collective_time(d, CollectiveKind::send_recv, bytes, 2);
    };
    StageSend out;
    out.bytes = w.boundary_bytes / (m.sequence_parallel ? m.tensor : 1);
    out.seconds = sent(out.bytes);
    if (!far || m.sequence_parallel || m.tensor == 1) return out;
    const double part = out.bytes / m.tensor;
    const double gather = collective_time(d, CollectiveKind::allgather, out.bytes, m.tensor);
    const double seconds = sent(part) + gather;
    return seconds < out.seconds ? StageSend{part, true, gather, seconds} : out;
}

double stage_exposed_fraction(const Device& d) { return d.constant_or("stage_exposed_fraction", 0.2); }

StageSends stage_sends(const Device& d, const ModelWork& w, const Mapping& m) {
    if (m.pipeline == 1) return {};
    const bool training = w.update > 0;
    const int domain = domain_units(d.system());
    const auto alike = [&](bool far) {
        const double one = stage_send(d, w, m, far).seconds;
        return StageSends{one, training ? 2 * one : one};
    };
    if (m.units() <= domain) return alike(false);
    if (stage_stride(m) >= domain) return alike(true);
    const double near = stage_send(d, w, m, false).seconds, far = stage_send(d, w, m, true).seconds;
    const auto hop = [&](int stage) { return crosses(d.system(), m, stage, stage + 1) ? far : near; };
    StageSends out;
    double before = 0;
    for (int stage = 0; stage + 1 < m.pipeline; ++stage) {
        const double one = hop(stage);
        out.mean += one / (m.pipeline - 1);
        out.paired = std::max(out.paired, training ? before + one : one);
        before = one;
    }
    return out;
}

}  // namespace wb::cluster
