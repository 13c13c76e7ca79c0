#include "models/emulation/program.hpp"

#include <cmath>

#include "core/error.hpp"

namespace wb::emulation {

Time picoseconds(double seconds) { return std::llround(seconds * 1e12); }

Play begun(const Step& step) {
    Play p;
    p.kind = step.kind;
    p.bytes = std::llround(step.bytes);
    p.axis = step.axis;
    p.operation = step.operation;
    p.peer = step.peer;
    p.tag = step.tag;
    return p;
}

Group group_of(const Mapping& m, const Play& play, int unit) {
    const int n = extent(m, play.axis), mine = place(m, play.axis, unit);
    // Skipping: the members at the same place of every run of `skip`; inside: the run itself.
    const int first = play.inside > 0 ? mine / play.inside * play.inside : mine % play.skip;
    const int stride = play.inside > 0 ? 1 : play.skip;
    Group g;
    g.units = play.inside > 0 ? play.inside : n / play.skip;
    g.place = (mine - first) / stride;
    g.base = member(m, play.axis, unit, first);
    g.inner = g.units;
    if (g.units > 1) g.stride = member(m, play.axis, unit, first + stride) - g.base;
    // Experts lie between the replicas they are shared by: the one axis of two strides.
    if (play.axis == Axis::expert_replicas && m.context > 1 && m.data > 1 && m.expert > 1) {
        WB_EXPECT(play.inside == 0 && (m.context % play.skip == 0 || play.skip % m.context == 0));
        g.inner = std::max(1, m.context / play.skip);
        g.outer = member(m, play.axis, unit, std::min(n - 1, first + g.inner * stride)) - g.base;
        if (g.inner == 1) g.stride = g.outer;
    }
    return g;
}

Region shard_of(const Program& program, const Play& p, int unit) {
    if (p.shards <= 1) return {0, p.bytes};
    const int mine = place(program.mapping, p.axis, unit) % p.shards;
    const std::int64_t at = block_start(p.bytes, program.element_bytes, p.shards, mine);
    return {at, block_start(p.bytes, program.element_bytes, p.shards, mine + 1) - at};
}

Region own_block(const Program& program, const Play& p, int unit) {
    const Region shard = shard_of(program, p, unit);
    const int mine = group_of(program.mapping, p, unit).place, blocks = p.collective.blocks;
    const std::int64_t at = block_start(shard.bytes, program.element_bytes, blocks, mine);
    return {shard.at + at, block_start(shard.bytes, program.element_bytes, blocks, mine + 1) - at};
}

}  // namespace wb::emulation
