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

/// Seconds of a broadcast in chunks from neighbour to neighbour: a unit takes and gives each of them.
double chain_time(const Wire& w, double bytes, int n, int chunks) {
    const double turn = std::max(bytes / chunks * w.byte_time, 2.0 * static_cast<double>(w.overhead));
    return ((chunks + n - 2) * turn + (n - 1.0) * static_cast<double>(w.latency + 2 * w.overhead)) * 1e-12;
}

/// Short ones fill the chain soon, long ones have fewer overheads.
int best_chunks(const Wire& w, double bytes, int n) {
    constexpr int most = 1024;
    int best = 1;
    for (int chunks = 1; chunks <= most; chunks += 1 + chunks / 8)
        if (chain_time(w, bytes, n, chunks) < chain_time(w, bytes, n, best)) best = chunks;
    return best;
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

double Machine::launch() const {
    const cluster::Device d(*system_);
    return d.constant_or("collective_launch_time", d.constant("launch_time"));
}

// What follows has the constants of models/collective_time.cpp, message by message.

double Machine::filling(const char* key, double bytes, double rate, double fallback) const {
    return cluster::Device(*system_).constant_or(key, fallback) * std::sqrt(bytes / rate * 1e-6);
}

/// Few bytes among neighbours in one domain.
Machine::Protocol Machine::small() const {
    const cluster::Device d(*system_);
    const double rate = system_->fabrics.front().bandwidth->value;
    return {0, d.constant_or("small_hop_time", 1e-6), 1 / (d.constant_or("small_network_fraction", 0.1) * rate)};
}

Machine::Protocol Machine::large(CollectiveKind kind, double bytes, int n) const {
    const cluster::Device d(*system_);
    const double rate = system_->fabrics.front().bandwidth->value;
    return {filling("fill_fraction", cluster::traffic_factor(kind, n) * bytes, rate, 0),
            d.constant_or("large_hop_time", 4e-6), 1 / (d.constant_or("network_fraction", 0.75) * rate)};
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

/// One between domains, by the port of a unit.
Machine::Protocol Machine::far_message() const {
    far_exchange();  // throws where there is no way
    const cluster::Device d(*system_);
    return {d.constant_or("send_launch_time", launch()), d.constant_or("node_send_time", 10e-6),
            1 / (d.constant_or("node_send_fraction", 0.7) * system_->fabrics[1].bandwidth->value)};
}

/// One of many that leave a domain at once.
Machine::Protocol Machine::far_exchange() const {
    const auto& fabrics = system_->fabrics;
    if (fabrics.size() < 2 || !fabrics[1].bandwidth)
        throw Error({system_->id, "has no fabric with a bandwidth at level 2",
                     fmt::format("messages between units {} apart cannot be timed", domain_),
                     "Use fewer units, or describe the fabric in its file."});
    const cluster::Device d(*system_);
    const double latency = fabrics[1].latency ? fabrics[1].latency->value : 0;
    return {0, latency + d.constant_or("large_hop_time", 4e-6),
            1 / (d.constant_or("node_network_fraction", 0.9) * fabrics[1].bandwidth->value)};
}

bool Machine::reduces_in_switch(const System& s) {
    return !s.fabrics.empty() && s.fabrics.front().in_network_reduction && s.fitted.contains("switch_network_fraction");
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

/// The fastest of the protocols, and of the algorithms.
std::vector<Play> Machine::within(const Step& step, const std::vector<Algorithm>& algorithms, int n,
                                  const std::string& wanted) const {
    Play best = begun(step);
    double least = HUGE_VAL;
    const auto offer = [&](Algorithm algorithm, const Protocol& protocol) {
        const Wire one = wire({0, protocol.hop, protocol.byte_time}, 0, step.exposed);
        const bool chain = algorithm == Algorithm::chain;
        const int chunks = chain ? best_chunks(one, step.bytes, n) : 1;
        const Collective c = collective_of(step.operation, algorithm, n, chunks);
        const double time =
            protocol.start + (chain ? chain_time(one, step.bytes, n, chunks)
                                    : c.rounds * protocol.hop + sent_share(c) * step.bytes * protocol.byte_time);
        if (time >= least) return;
        least = time;
        best.collective = c;
        best.wire = one;
        best.time = picoseconds((launch() + protocol.start) * step.exposed);
    };
    if (wanted != "nvls")
        for (const Algorithm algorithm : algorithms) {
            offer(algorithm, small());
            offer(algorithm, large(step.operation, step.bytes, n));
        }
    if (const auto reduced = in_switch(step.operation, step.bytes, n); reduced && (wanted.empty() || wanted == "nvls"))
        offer(Algorithm::ring, *reduced);
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

/// Messages that stay in a domain and others that leave it, each by the port of its unit.
std::vector<Play> Machine::mixed(const Step& step, Algorithm algorithm, int n) const {
    constexpr int under_way = 32;  // grouped sends of a library: none waits for the one before
    Play p = begun(step);
    p.collective = collective_of(step.operation, algorithm, n, algorithm == Algorithm::pairwise ? under_way : 1);
    p.collective.inner = std::gcd(n, neighbours(step.axis));
    const bool alone = step.operation == CollectiveKind::send_recv;
    const Protocol near = alone ? near_message() : large(step.operation, step.bytes, n);
    Protocol far = alone ? near : far_exchange();
    if (alone && n > neighbours(step.axis)) far = far_message();
    p.time = picoseconds((alone ? far.start : launch()) * step.exposed);
    p.wire = wire({0, far.hop, far.byte_time}, 1, step.exposed);
    p.near = wire({0, near.hop, near.byte_time}, 0, step.exposed);
    return {p};
}

std::vector<Play> Machine::collective(const Step& step, const std::string& forced) const {
    const int n = extent(mapping_, step.axis);
    if (n < 2) return {};
    const std::string wanted = step.algorithm.empty() ? forced : step.algorithm;
    std::vector<Algorithm> algorithms = usual(step.operation);
    bool is_forced = false;
    if (!wanted.empty() && wanted != "hierarchical" && wanted != "nvls") {
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
    if (n > local) far_exchange();  // there must be a way
    const bool direct = step.operation == CollectiveKind::alltoall || step.operation == CollectiveKind::send_recv;
    if (direct || is_forced) return mixed(step, algorithms.front(), n);
    return across(step, n, std::gcd(n, local));
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
    p.wire = mapping_.units() > domain_ ? whole(far_message(), 1) : *p.near;
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
