#include "models/emulation/machine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.hpp"
#include "models/collective_time.hpp"
#include "models/stage_sends.hpp"

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

int pieces_of(Algorithm algorithm, double bytes, const cluster::Link& slowest) {
    if (algorithm == Algorithm::chain) return cluster::chain_pieces(bytes, slowest);
    return algorithm == Algorithm::pairwise ? cluster::messages_under_way : 1;
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

double Machine::launch() const {
    const cluster::Device d(*system_);
    return d.constant_or("collective_launch_time", d.constant("launch_time"));
}

// What follows has the constants of models/collective_time.cpp, message by message.

double Machine::filling(const char* key, double bytes, double rate, double fallback) const {
    return cluster::Device(*system_).constant_or(key, fallback) * std::sqrt(bytes / rate * 1e-6);
}

/// Between domains, where a library's helpers carry messages while the units go on: all of a hop is the way.
Wire Machine::far_wire(const cluster::Link& link, double exposed) const {
    Wire w;
    w.latency = std::max<Time>(1, picoseconds(link.hop * exposed));
    w.gap = picoseconds(link.gap * exposed);
    w.byte_time = exposed * 1e12 / link.rate;
    w.shared = true;
    return w;
}

/// Levels of a group of n along an axis, and what a message through each costs under a protocol of the innermost:
/// those of the closed form (models/collective_time.hpp).
std::vector<Machine::Way> Machine::ways(Axis axis, int n, CollectiveKind operation) const {
    const cluster::Device d(*system_);
    const auto levels = cluster::network_levels(*system_, n, neighbours(axis));
    std::vector<Way> out;
    for (const cluster::Protocol& p : cluster::protocols(d, levels[0])) {
        Way w{p, levels, {p.link}};
        if (operation == CollectiveKind::alltoall && d.has("alltoall_fraction"))
            w.links[0].rate = std::min(p.link.rate, d.constant("alltoall_fraction") * levels[0].rate);
        for (std::size_t i = 1; i < levels.size(); ++i)
            w.links.push_back(cluster::outer_link(d, levels[i], levels[i - 1].ranks));
        out.push_back(std::move(w));
    }
    return out;
}

/// The fastest by the closed form of the protocols an algorithm may go by.
Machine::Way Machine::fastest(const Step& step, const std::string& algorithm, int n) const {
    const auto closed = cluster::collective_algorithm(algorithm);
    Way best;
    for (Way& way : ways(step.axis, n, step.operation)) {
        way.filling = way.protocol.filling(cluster::bytes_sent(closed, step.operation, step.bytes, n));
        way.seconds =
            way.filling + cluster::messages_seconds(closed, step.operation, step.bytes, way.levels, way.links);
        if (way.seconds < best.seconds) best = std::move(way);
    }
    return best;
}

/// What stands before the first message: the launch, and what the pipeline's filling costs.
Time Machine::before(const Way& way, double exposed) const {
    return picoseconds((cluster::collective_launch(cluster::Device(*system_)) + way.filling) * exposed);
}

/// The switch adds up: a port is busy with the buffer and one share of the sum, in as many messages as a ring has.
std::optional<Machine::Protocol> Machine::in_switch(CollectiveKind kind, double bytes, int n) const {
    if (kind != CollectiveKind::allreduce || !reduces_in_switch(*system_)) return std::nullopt;
    const cluster::Device d(*system_);
    const double rate = system_->fabrics.front().bandwidth->value, shares = 1 + 1.0 / n;
    return Protocol{
        d.constant("switch_launch_time") - launch() + filling("switch_fill_fraction", bytes * shares, rate, 0), 0,
        shares / cluster::traffic_factor(kind, n) / (d.constant("switch_network_fraction") * rate)};
}

/// One message by itself, within a domain.
Machine::Protocol Machine::near_message() const {
    const cluster::Device d(*system_);
    return {d.constant_or("send_launch_time", launch()), 0,
            1 / (d.constant_or("send_fraction", 0.8) * system_->fabrics.front().bandwidth->value)};
}

void Machine::expect_way_out() const {
    const auto& fabrics = system_->fabrics;
    if (fabrics.size() > 1 && fabrics[1].bandwidth) return;
    throw Error({system_->id, "has no fabric with a bandwidth at level 2",
                 fmt::format("messages between units {} apart cannot be timed", domain_),
                 "Use fewer units, or describe the fabric in its file."});
}

/// One between domains, by the port of a unit.
Machine::Protocol Machine::far_message() const {
    expect_way_out();
    const cluster::Device d(*system_);
    return {d.constant_or("send_launch_time", launch()), d.constant_or("node_send_time", 10e-6),
            1 / (d.constant_or("node_send_fraction", 0.7) * system_->fabrics[1].bandwidth->value)};
}

/// The same from stage to stage, which all units of a domain send at once.
Machine::Protocol Machine::stage_message() const {
    expect_way_out();
    const cluster::Device d(*system_);
    const cluster::Link link = cluster::crossing_link(d, cluster::stage_stride(mapping_));
    return {d.constant_or("send_launch_time", launch()), link.hop, 1 / link.rate};
}

bool Machine::reduces_in_switch(const System& s) {
    return !s.fabrics.empty() && s.fabrics.front().in_network_reduction &&
           s.fitted.contains("switch_network_fraction") && s.fitted.at("switch_network_fraction").value > 0;
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

/// Of the algorithms the fastest by the closed form.
std::vector<Play> Machine::within(const Step& step, const std::vector<Algorithm>& algorithms, int n,
                                  const std::string& wanted) const {
    Play best = begun(step);
    double least = HUGE_VAL;
    for (const Algorithm algorithm : wanted == "nvls" ? std::vector<Algorithm>{} : algorithms) {
        const Way way = fastest(step, std::string(name(algorithm)), n);
        if (way.seconds >= least) continue;
        least = way.seconds;
        best.collective = collective_of(step.operation, algorithm, n, pieces_of(algorithm, step.bytes, way.links[0]));
        double rate = way.links[0].rate;
        if (algorithm == Algorithm::ring) rate /= way.levels[0].links;  // a cycle of a torus: one dimension
        best.wire = wire({0, way.links[0].hop, 1 / rate}, 0, step.exposed);
        best.time = before(way, step.exposed);
    }
    const auto reduced = in_switch(step.operation, step.bytes, n);
    if (!reduced || (!wanted.empty() && wanted != "nvls")) return {best};
    const Collective around = collective_of(step.operation, Algorithm::ring, n, 1);
    if (reduced->start + sent_share(around) * step.bytes * reduced->byte_time >= least) return {best};
    best.collective = around;
    best.wire = wire({0, reduced->hop, reduced->byte_time}, 0, step.exposed);
    best.time = picoseconds((launch() + reduced->start) * step.exposed);
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
    const double fill = filling("node_fill_fraction", step.bytes * (1 + depth), rate * local, 1);
    first.time = picoseconds((launch() + fill) * step.exposed);
    if (step.operation == CollectiveKind::allreduce || step.operation == CollectiveKind::reduce_scatter)
        return step.operation == CollectiveKind::allreduce ? std::vector<Play>{first, between, last}
                                                           : std::vector<Play>{first, between};
    between.time = first.time;
    return {between, last};
}

/// Each unit sends one message to the next: within a domain, or one of them out of it.
Play Machine::around(const Step& step, int n) const {
    Play p = begun(step);
    p.collective = collective_of(step.operation, Algorithm::ring, n, 1);
    p.collective.inner = std::gcd(n, neighbours(step.axis));
    const Protocol near = near_message(), far = n > neighbours(step.axis) ? far_message() : near;
    p.time = picoseconds(far.start * step.exposed);
    double turn = 0;  // the last unit of a domain sends to the first of the next: another rail
    if (n > neighbours(step.axis)) {
        const Way way = ways(step.axis, n, step.operation).back();
        turn = cluster::other_rail_hop(way.levels, way.links[0].hop);
    }
    p.wire = wire({0, far.hop + turn, far.byte_time}, 1, step.exposed);
    p.near = wire({0, near.hop, near.byte_time}, 0, step.exposed);
    return p;
}

/// Messages that stay in a domain and others that leave it, each by the port of its unit; a ring is laid through all
/// ports of a domain, so that each carries a share of what leaves it.
std::vector<Play> Machine::mixed(const Step& step, Algorithm algorithm, int n) const {
    if (step.operation == CollectiveKind::send_recv) return {around(step, n)};
    const Way way = fastest(step, std::string(name(algorithm)), n);
    Play p = begun(step);
    p.collective = collective_of(step.operation, algorithm, n, pieces_of(algorithm, step.bytes, way.links.back()));
    p.collective.inner = std::gcd(n, neighbours(step.axis));
    p.time = before(way, step.exposed);
    const cluster::Link& near = way.links.front();
    cluster::Link far = way.links.back();
    if (algorithm == Algorithm::pairwise)
        far = cluster::rail_link(cluster::alltoall_path(step.bytes, way.levels, way.links), way.levels, way.links);
    const bool striped = algorithm == Algorithm::ring;
    p.wire = far_wire({far.hop, far.rate * (striped ? way.levels.back().rings : 1), far.gap}, step.exposed);
    p.near = wire({0, near.hop, 1 / near.rate}, 0, step.exposed);
    return {p};
}

std::vector<Play> Machine::collective(const Step& step, const std::string& forced) const {
    const int n = extent(mapping_, step.axis);
    if (n < 2) return {};
    const std::string wanted = step.algorithm.empty() ? forced : step.algorithm;
    std::vector<Algorithm> algorithms = usual(step.operation);
    bool is_forced = false;
    if (!wanted.empty() && wanted != "hierarchical" && wanted != "nvls" && wanted != "dragonfly") {
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
    if (n <= local && step.operation != CollectiveKind::send_recv)
        return within(step, algorithms, n, is_forced || wanted == "nvls" ? wanted : "");
    if (n > local) expect_way_out();
    const bool direct = step.operation == CollectiveKind::alltoall || step.operation == CollectiveKind::send_recv;
    if (direct || is_forced) return mixed(step, algorithms.front(), n);
    if (wanted == "dragonfly" && step.operation != CollectiveKind::broadcast)
        return dragonfly(step, n, std::gcd(n, local));
    return wanted == "hierarchical" ? hierarchical(step, n, std::gcd(n, local)) : across(step, n, std::gcd(n, local));
}

/// Its sender is held for the share of it that nothing hides; it is there when all of it is over.
Play Machine::message(const Step& step) const {
    Play p = begun(step);
    if (states_messages(*system_)) {
        state(p, mapping_.units() <= domain_);
        return p;
    }
    const auto whole = [&](const Protocol& q, std::size_t level) {
        Wire w = wire({0, q.hop, q.byte_time}, level, 1);
        const Time all = picoseconds(q.start + q.hop + step.bytes * q.byte_time);
        w.latency += picoseconds(q.start);
        w.hold = std::max<Time>(0, static_cast<Time>(step.exposed * static_cast<double>(all)) - w.overhead);
        return w;
    };
    p.near = whole(near_message(), 0);
    p.wire = mapping_.units() > domain_ ? whole(stage_message(), 1) : *p.near;
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
