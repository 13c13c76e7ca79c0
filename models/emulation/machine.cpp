#include "models/emulation/machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.hpp"
#include "models/collective_time.hpp"

namespace wb::emulation {
namespace {

constexpr const char* stated_keys[] = {"message_latency", "message_overhead_time", "message_gap_time",
                                       "message_byte_time"};

double stated_value(const System& s, std::size_t i) { return s.fitted.at(stated_keys[i]).value; }

/// Blocks that the busiest unit sends in all rounds, as a share of the whole buffer.
double sent_share(const Collective& c) {
    std::int64_t most = 0;
    for (const int place : {0, c.units / 2}) {
        std::int64_t blocks = 0;
        for (int k = 0; k < c.rounds; ++k) {
            const Round r = round_of(c, place, k);
            if (r.to >= 0) blocks += r.send.count;
        }
        most = std::max(most, blocks);
    }
    return static_cast<double>(most) / c.blocks;
}

std::vector<Algorithm> usual(CollectiveKind kind) {
    switch (kind) {
        case CollectiveKind::alltoall: return {Algorithm::pairwise};
        case CollectiveKind::broadcast: return {Algorithm::tree, Algorithm::chain};
        default: return {Algorithm::ring};
    }
}

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

}  // namespace

bool Machine::states_messages(const System& s) { return s.fitted.contains(stated_keys[0]); }

std::string Machine::missing(const System& s) {
    if (states_messages(s)) {
        for (const char* key : stated_keys)
            if (!s.fitted.contains(key)) return fmt::format("{} has no constant \"{}\"", s.id, key);
        return "";
    }
    if (const std::string key = cluster::missing_constant(s); !key.empty())
        return fmt::format("{} has no constant \"{}\": nothing measured on it to fit", s.id, key);
    if (s.fabrics.empty() || !s.fabrics.front().bandwidth)
        return fmt::format("{} has no fabric with a bandwidth to send messages through", s.id);
    return "";
}

Machine::Machine(const System& system, const Mapping& mapping) : system_(&system), mapping_(mapping) {
    if (const std::string why = missing(system); !why.empty())
        throw Error({system.file, why, "the cost of a message would be a guess", ""});
    domain_ = std::max(1, cluster::domain_units(system));
}

/// The fabric's own latency is spent on the way, the rest of a hop by the units at its ends.
Wire Machine::wire(const Protocol& p, std::size_t level, double exposed) const {
    Wire w;
    const double hop = p.hop * exposed;
    const auto& fabrics = system_->fabrics;
    const double known = level < fabrics.size() && fabrics[level].latency ? fabrics[level].latency->value : hop / 2;
    w.overhead = picoseconds(std::max(0.0, hop - known * exposed) / 2);
    w.latency = std::max<Time>(1, picoseconds(hop) - 2 * w.overhead) + picoseconds(p.start * exposed);
    w.gap = 0;  // a hop has all there is to a message
    w.byte_time = p.byte_time * exposed * 1e12;
    w.shared = level > 0;
    return w;
}

/// The two protocols of models/collective_time.cpp for neighbours in one domain.
std::vector<Machine::Protocol> Machine::inside() const {
    const cluster::Device d(*system_);
    const double rate = system_->fabrics.front().bandwidth->value;
    return {{0, d.constant_or("small_hop_time", 1e-6), 1 / (d.constant_or("small_network_fraction", 0.1) * rate)},
            {d.constant_or("large_start_time", 0), d.constant_or("large_hop_time", 4e-6),
             1 / (d.constant_or("network_fraction", 0.75) * rate)}};
}

/// One message between domains, by the port of a unit.
Machine::Protocol Machine::outside() const {
    const auto& fabrics = system_->fabrics;
    if (fabrics.size() < 2 || !fabrics[1].bandwidth)
        throw Error({system_->file, "has no fabric with a bandwidth at level 2",
                     fmt::format("messages between units {} apart cannot be timed", domain_), "Use fewer units."});
    const cluster::Device d(*system_);
    const double latency = fabrics[1].latency ? fabrics[1].latency->value : 0;
    return {0, latency + d.constant_or("large_hop_time", 4e-6),
            1 / (d.constant_or("node_network_fraction", 0.9) * fabrics[1].bandwidth->value)};
}

/// Members of a group along an axis that share a domain.
int Machine::neighbours(Axis axis) const {
    if (extent(mapping_, axis) < 2) return 1;
    const int stride = member(mapping_, axis, 0, 1) - member(mapping_, axis, 0, 0);
    return std::max(1, domain_ / stride);
}

/// By the four constants alone; `all_near`: no message can leave a domain.
void Machine::state(Play& p, bool all_near) const {
    p.wire = {picoseconds(stated_value(*system_, 0)), picoseconds(stated_value(*system_, 1)),
              picoseconds(stated_value(*system_, 2)), stated_value(*system_, 3) * 1e12, false};
    if (all_near) return;
    p.near = p.wire;
    p.wire.shared = true;
}

/// The faster of two protocols, and of the algorithms.
std::vector<Play> Machine::within(const Step& step, const std::vector<Algorithm>& algorithms, int n) const {
    const cluster::Device d(*system_);
    const double launch = d.constant_or("collective_launch_time", d.constant("launch_time"));
    Play best = begun(step);
    double least = HUGE_VAL;
    for (const Algorithm algorithm : algorithms)
        for (const Protocol& protocol : inside()) {
            int chunks = 1;
            if (algorithm == Algorithm::chain)
                // As short as a hop half over: more would cost overheads, fewer a longer filling of the chain.
                chunks = static_cast<int>(std::clamp(2 * step.bytes * protocol.byte_time / protocol.hop, 1.0, 1024.0));
            const Collective c = collective_of(step.operation, algorithm, n, chunks);
            const int hops = algorithm == Algorithm::chain ? n - 1 : c.rounds;
            const double time = protocol.start + hops * protocol.hop + sent_share(c) * step.bytes * protocol.byte_time;
            if (time >= least) continue;
            least = time;
            best.collective = c;
            best.wire = wire({0, protocol.hop, protocol.byte_time}, 0, step.exposed);
            best.time = picoseconds((launch + protocol.start) * step.exposed);
        }
    return {best};
}

/// Hierarchical, as the closed form has it: the switch of a domain reduces while the ports send, so messages inside
/// cost nothing more; between domains each port takes the part of one unit. A round's hop and byte time are those of
/// the tree that was measured: its depth, and its traffic whatever the number of domains.
std::vector<Play> Machine::across(const Step& step, int n, int local) const {
    const cluster::Device d(*system_);
    const int domains = n / local;
    const double depth = std::log2(static_cast<double>(domains)), rate = system_->fabrics[1].bandwidth->value;
    const bool broadcast = step.operation == CollectiveKind::broadcast;
    const Algorithm algorithm = broadcast ? Algorithm::tree : Algorithm::halving_doubling;
    Play between = begun(step);
    between.collective = collective_of(step.operation, algorithm, domains);
    between.skip = between.shards = local;
    const double share = cluster::traffic_factor(step.operation, n) / sent_share(between.collective);
    const Protocol protocol{0, depth * d.constant_or("node_hop_time", 45e-6) / between.collective.rounds,
                            share / (d.constant_or("node_network_fraction", 0.9) * rate)};
    between.wire = wire(protocol, 1, step.exposed);
    Play first = begun(step), last = begun(step);
    first.inside = last.inside = local;
    first.collective = collective_of(CollectiveKind::reduce_scatter, Algorithm::ring, local);
    last.collective = collective_of(CollectiveKind::allgather, Algorithm::ring, local);
    const double launch = d.constant_or("collective_launch_time", d.constant("launch_time"));
    const double fill =
        d.constant_or("node_fill_fraction", 1) * std::sqrt(step.bytes * (1 + depth) / (rate * local) * 1e-6);
    first.time = picoseconds((launch + fill) * step.exposed);
    if (step.operation == CollectiveKind::allreduce || step.operation == CollectiveKind::reduce_scatter)
        return step.operation == CollectiveKind::allreduce ? std::vector<Play>{first, between, last}
                                                           : std::vector<Play>{first, between};
    between.time = first.time;
    return {between, last};
}

/// Messages that stay in a domain and others that leave it, each by the port of its unit.
std::vector<Play> Machine::mixed(const Step& step, Algorithm algorithm, int n) const {
    const cluster::Device d(*system_);
    constexpr int under_way = 32;  // grouped sends of a library: none waits for the one before
    Play p = begun(step);
    p.collective = collective_of(step.operation, algorithm, n, algorithm == Algorithm::pairwise ? under_way : 1);
    p.collective.inner = std::gcd(n, neighbours(step.axis));
    p.time = picoseconds(d.constant_or("collective_launch_time", d.constant("launch_time")) * step.exposed);
    p.wire = wire(outside(), 1, step.exposed);
    p.near = wire(inside().back(), 0, step.exposed);
    return {p};
}

std::vector<Play> Machine::collective(const Step& step, const std::string& forced) const {
    const int n = extent(mapping_, step.axis);
    if (n < 2) return {};
    const std::string wanted = step.algorithm.empty() ? forced : step.algorithm;
    std::vector<Algorithm> algorithms = usual(step.operation);
    bool is_forced = false;
    if (!wanted.empty() && wanted != "hierarchical") {
        const Algorithm a = algorithm_from_name(wanted);
        if (plays(step.operation, a)) algorithms = {a}, is_forced = true;
    }
    const int local = neighbours(step.axis);
    if (states_messages(*system_)) {
        const int chunks = algorithms.front() == Algorithm::chain ? 16 : 1;
        Play p = begun(step);
        p.collective = collective_of(step.operation, algorithms.front(), n, chunks);
        state(p, n <= local);
        return {p};
    }
    if (n <= local) return within(step, algorithms, n);
    outside();  // there must be one
    const bool direct = step.operation == CollectiveKind::alltoall || step.operation == CollectiveKind::send_recv;
    if (direct || is_forced) return mixed(step, algorithms.front(), n);
    return across(step, n, std::gcd(n, local));
}

Play Machine::message(const Step& step) const {
    Play p = begun(step);
    if (states_messages(*system_)) {
        state(p, mapping_.units() <= domain_);
        return p;
    }
    const cluster::Device d(*system_);
    const double launch = d.constant_or("collective_launch_time", d.constant("launch_time"));
    const auto protocols = inside();
    const auto time = [&](const Protocol& q) { return q.start + q.hop + step.bytes * q.byte_time; };
    Protocol near = time(protocols[0]) < time(protocols[1]) ? protocols[0] : protocols[1];
    near.start += launch;
    p.near = wire(near, 0, step.exposed);
    p.wire = *p.near;
    if (mapping_.units() > domain_) {
        Protocol far = outside();
        far.start += launch;
        p.wire = wire(far, 1, step.exposed);
    }
    return p;
}

Program Machine::compile(const StageSteps& steps, const EmulationChoice& choice, const std::string& forced) {
    Program program;
    program.mapping = steps.mapping;
    program.units = steps.mapping.units();
    program.domain = domain_;
    program.payload = choice.payload;
    program.faults = choice.faults;
    program.uplink_units = choice.uplink_units > 0 ? choice.uplink_units : domain_;
    program.uplink_byte_time = choice.uplink.si() > 0 ? 1e12 / choice.uplink.si() : 0;
    // Layers repeat: the same collective is compiled once.
    std::map<std::tuple<Axis, CollectiveKind, double, double, std::string>, std::vector<Play>> known;
    for (const auto& list : steps.stages) {
        std::vector<Play>& out = program.stages.emplace_back();
        for (std::size_t i = 0; i < list.size(); ++i) {
            const Step& step = list[i];
            std::vector<Play> plays;
            if (step.kind == Step::Kind::compute) {
                plays = {begun(step)};
                plays.front().time = picoseconds(step.seconds);
            } else if (step.kind == Step::Kind::collective) {
                auto& same = known[{step.axis, step.operation, step.bytes, step.exposed, step.algorithm}];
                if (same.empty()) same = collective(step, forced);
                plays = same;
            } else {
                plays = {message(step)};
            }
            for (Play& p : plays) {
                p.step = static_cast<int>(i);
                p.begins = &p == &plays.front();
                p.ends = &p == &plays.back();
                out.push_back(std::move(p));
            }
        }
    }
    return program;
}

}  // namespace wb::emulation
