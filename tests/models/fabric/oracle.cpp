#include "tests/models/fabric/oracle.hpp"

#include <algorithm>
#include <cmath>
#include <set>

namespace wb::fabric::test {

namespace {

constexpr int queue_capacity = 2;

Side opposite(int side) {
    constexpr Side sides[] = {south, west, north, east};
    return sides[side];
}

}  // namespace

Oracle::Oracle(const Script& script) : script_(script) {
    const std::size_t n = script.nodes.size();
    std::set<int> used;
    routers_.resize(n);
    pes_.resize(n);
    for (std::size_t i = 0; i < n; ++i) {
        for (const ColourRoute& r : script.nodes[i].routes) {
            routers_[i][r.colour].positions = r.positions;
            routers_[i][r.colour].ring = r.ring;
            used.insert(r.colour);
        }
        for (const Region& r : script.nodes[i].regions) pes_[i].memory.push_back(r.initial);
    }
    colours_.assign(used.begin(), used.end());
    result_.links.resize(n * 5);
    result_.busy.resize(n);
}

Outcome Oracle::run(std::uint64_t most_cycles) {
    try {
        return run_all(most_cycles);
    } catch (const Refused& e) {
        Outcome o = outcome(End::refused);
        o.message = e.what();
        return o;
    }
}

Outcome Oracle::run_all(std::uint64_t most_cycles) {
    const int nodes = static_cast<int>(pes_.size());
    for (; now_ < most_cycles; ++now_) {
        bool moved = false, all_finished = true;
        for (int i = 0; i < nodes; ++i) {
            moved |= run_main(i);
            const Pe& pe = pes_[static_cast<std::size_t>(i)];
            all_finished &= pe.finished && pe.active.empty();
        }
        if (all_finished) return outcome(left_over() > 0 ? End::never_received : End::finished);
        // All is decided on the state at the start of the cycle, then applied: routers and ramps only look here,
        // and an instruction changes nothing that another one of this cycle looks at.
        const std::vector<Move> forwards = router_moves(), injected = injections();
        for (int i = 0; i < nodes; ++i) moved |= progress(i);
        for (const Move& m : forwards) forward(m);
        for (const Move& m : injected) inject(m);
        moved |= !forwards.empty() || !injected.empty();
        if (!moved && !timer_pending()) return outcome(End::deadlock);
    }
    return outcome(End::endless);
}

// ---- the main thread

bool Oracle::run_main(int node) {
    Pe& pe = pes_[static_cast<std::size_t>(node)];
    const auto& steps = script_.nodes[static_cast<std::size_t>(node)].steps;
    bool moved = false;
    while (!pe.finished) {
        if (pe.sleeps_until > now_) break;
        if (pe.blocked_on >= 0) {
            const auto found = pe.resumes.find(pe.blocked_on);
            if (found == pe.resumes.end() || found->second > now_) break;
            pe.blocked_on = -1;
        }
        moved = true;
        if (pe.next == steps.size()) {
            pe.finished = true;
            break;
        }
        const int step = static_cast<int>(pe.next++);
        if (begin(node, step)) pe.blocked_on = step;
    }
    return moved;
}

/// Begins a step; says whether the main thread must wait for its end.
bool Oracle::begin(int node, int step) {
    Pe& pe = pes_[static_cast<std::size_t>(node)];
    const Mesh& mesh = script_.mesh;
    const Step& s = script_.nodes[static_cast<std::size_t>(node)].steps[static_cast<std::size_t>(step)];
    if (s.kind == Kind::wait) pe.sleeps_until = now_ + static_cast<std::uint64_t>(s.cycles);
    if (s.kind == Kind::task) pe.sleeps_until = now_ + static_cast<std::uint64_t>(mesh.task_start_cycles);
    if (s.kind == Kind::await) pe.blocked_on = s.awaited;
    if (s.kind >= Kind::compute) {
        if (s.kind != Kind::compute) return false;
        const double each = mesh.vector_start_cycles + s.elements * s.cycles_per_element;
        const int cycles = static_cast<int>(std::ceil(s.instructions * each));
        if (cycles > 0) {
            pe.active.push_back({step, now_, 0, cycles});
        } else {
            finish_compute(node, s);
            pe.resumes[step] = now_;
        }
        return true;
    }
    const int start = mesh.vector_start_cycles + (s.async ? mesh.microthread_start_cycles : 0);
    const int total = wavelets(s.a.count, carried_in_halves(node, s));
    if (total == 0 && start == 0) {
        pe.resumes[step] = now_;
        return !s.async;
    }
    check_rules(node, s);
    pe.active.push_back({step, now_ + static_cast<std::uint64_t>(start), 0, total});
    return !s.async;
}

void Oracle::check_rules(int node, const Step& s) const {
    const Pe& pe = pes_[static_cast<std::size_t>(node)];
    int threads = 0;
    for (const Active& a : pe.active) {
        const Step& other = script_.nodes[static_cast<std::size_t>(node)].steps[static_cast<std::size_t>(a.step)];
        threads += other.async;
        if (a.total == 0 || s.a.count == 0) continue;
        if (receives(s.kind) && receives(other.kind) && s.in == other.in) throw Refused("two receivers");
        if (sends(s.kind) && sends(other.kind) && s.out == other.out) throw Refused("two senders");
    }
    if (s.async && threads >= script_.mesh.microthreads) throw Refused("too many microthreads");
}

// ---- routers and ramps

int Oracle::neighbour(int node, int side) const {
    const int row = node / script_.columns - (side == north) + (side == south);
    const int column = node % script_.columns - (side == west) + (side == east);
    if (row < 0 || row >= script_.rows || column < 0 || column >= script_.columns)
        throw std::logic_error("off the mesh");
    return row * script_.columns + column;
}

const Oracle::Router& Oracle::router(int node, int colour) const {
    static const Router none;
    const auto& of_node = routers_[static_cast<std::size_t>(node)];
    const auto found = of_node.find(colour);
    return found == of_node.end() ? none : found->second;
}

Oracle::Router& Oracle::router(int node, int colour) { return routers_[static_cast<std::size_t>(node)][colour]; }

bool Oracle::can_leave(int node, int colour, const bool (&taken)[5]) const {
    const Router& r = router(node, colour);
    if (r.queue.empty()) return false;
    for (const Side side : r.now()->to) {
        if (taken[side]) return false;
        if (side == ramp) {
            const auto& in = pes_[static_cast<std::size_t>(node)].in;
            const auto port = in.find(colour);
            if (port != in.end() && static_cast<int>(port->second.size()) >= script_.mesh.ramp_cycles + 2) return false;
            continue;
        }
        const Router& next = router(neighbour(node, side), colour);
        if (!next.now() || next.now()->from != opposite(side)) return false;
        if (static_cast<int>(next.queue.size()) >= queue_capacity) return false;
    }
    return true;
}

std::vector<Oracle::Move> Oracle::router_moves() const {
    std::vector<Move> moves;
    const std::size_t n = colours_.size();
    for (int node = 0; node < static_cast<int>(pes_.size()); ++node) {
        bool taken[5] = {};
        for (std::size_t k = 0; k < n; ++k) {
            const int colour = colours_[(static_cast<std::size_t>(now_) + k) % n];
            if (!can_leave(node, colour, taken)) continue;
            for (const Side side : router(node, colour).now()->to) taken[side] = true;
            moves.push_back({node, colour});
        }
    }
    return moves;
}

std::vector<Oracle::Move> Oracle::injections() const {
    std::vector<Move> moves;
    for (int node = 0; node < static_cast<int>(pes_.size()); ++node)
        for (const auto& [colour, port] : pes_[static_cast<std::size_t>(node)].out) {
            const Router& r = router(node, colour);
            if (port.empty() || port.front().ready > now_) continue;
            if (!r.now() || r.now()->from != ramp) continue;
            if (static_cast<int>(r.queue.size()) < queue_capacity) moves.push_back({node, colour});
        }
    return moves;
}

void Oracle::forward(const Move& m) {
    Router& r = router(m.node, m.colour);
    const Wavelet w = r.queue.front();
    r.queue.pop_front();
    for (const Side side : r.now()->to) {
        ++result_.links[static_cast<std::size_t>(m.node) * 5 + side];
        if (side == ramp) {
            const std::uint64_t ready = now_ + static_cast<std::uint64_t>(script_.mesh.ramp_cycles);
            pes_[static_cast<std::size_t>(m.node)].in[m.colour].push_back({w, ready});
        } else {
            ++result_.hops;
            router(neighbour(m.node, side), m.colour).queue.push_back(w);
        }
    }
    if (!w.control) return;
    if (r.position + 1 < r.positions.size())
        ++r.position;
    else if (r.ring)
        r.position = 0;
}

void Oracle::inject(const Move& m) {
    auto& port = pes_[static_cast<std::size_t>(m.node)].out[m.colour];
    router(m.node, m.colour).queue.push_back(port.front().wavelet);
    port.pop_front();
}

// ---- instructions

bool Oracle::progress(int node) {
    Pe& pe = pes_[static_cast<std::size_t>(node)];
    const auto& steps = script_.nodes[static_cast<std::size_t>(node)].steps;
    bool moved = false, emitted = false, arithmetic = false;
    pe.touched.clear();
    for (Active& a : pe.active)
        if (steps[static_cast<std::size_t>(a.step)].kind != Kind::compute)
            moved |= fabric_progress(node, a, emitted, arithmetic);
    for (Active& a : pe.active) {
        if (steps[static_cast<std::size_t>(a.step)].kind != Kind::compute) continue;
        if (!arithmetic) {
            ++a.done;
            moved = true;
        }
    }
    result_.busy[static_cast<std::size_t>(node)] += arithmetic;
    for (auto a = pe.active.begin(); a != pe.active.end();) {
        if (a->done < a->total || (a->total == 0 && a->first > now_ + 1)) {
            ++a;
            continue;
        }
        const Step& s = steps[static_cast<std::size_t>(a->step)];
        if (s.kind == Kind::compute) finish_compute(node, s);
        pe.resumes[a->step] = now_ + 1;
        a = pe.active.erase(a);
    }
    return moved;
}

bool Oracle::fabric_progress(int node, Active& a, bool& emitted, bool& arithmetic) {
    Pe& pe = pes_[static_cast<std::size_t>(node)];
    const Step& s = script_.nodes[static_cast<std::size_t>(node)].steps[static_cast<std::size_t>(a.step)];
    if (a.first > now_ || a.total == 0) return false;
    if (receives(s.kind) && (pe.in[s.in].empty() || pe.in[s.in].front().ready > now_)) return false;
    if (sends(s.kind) && (emitted || static_cast<int>(pe.out[s.out].size()) >= script_.mesh.ramp_cycles + 2))
        return false;
    if (computes(s.kind) && arithmetic) return false;
    Wavelet in;
    if (receives(s.kind)) {
        in = pe.in[s.in].front().wavelet;
        pe.in[s.in].pop_front();
        ++result_.consumed;
    }
    Wavelet out = execute(node, s, a.done, in);
    ++a.done;
    if (sends(s.kind)) {
        out.control = s.advance && a.done == a.total;
        pe.out[s.out].push_back({out, now_ + static_cast<std::uint64_t>(script_.mesh.ramp_cycles)});
        emitted = true;
        ++result_.injected;
    }
    if (computes(s.kind)) arithmetic = true;
    return true;
}

// ---- the end

bool Oracle::timer_pending() const {
    for (const Pe& pe : pes_) {
        if (!pe.finished && pe.sleeps_until > now_) return true;
        if (!pe.finished && pe.blocked_on >= 0) {
            const auto found = pe.resumes.find(pe.blocked_on);
            if (found != pe.resumes.end() && found->second > now_) return true;
        }
        for (const Active& a : pe.active)
            if (a.first > now_) return true;
        for (const auto* ports : {&pe.in, &pe.out})
            for (const auto& [colour, port] : *ports)
                if (!port.empty() && port.front().ready > now_) return true;
    }
    return false;
}

std::uint64_t Oracle::left_over() const {
    std::uint64_t n = 0;
    for (const auto& of_node : routers_)
        for (const auto& [colour, r] : of_node) n += r.queue.size();
    for (const Pe& pe : pes_)
        for (const auto* ports : {&pe.in, &pe.out})
            for (const auto& [colour, port] : *ports) n += port.size();
    return n;
}

Outcome Oracle::outcome(End end) const {
    Outcome o = result_;
    o.end = end;
    o.cycles = now_;
    o.left = left_over();
    for (const Pe& pe : pes_) o.memory.push_back(pe.memory);
    return o;
}

}  // namespace wb::fabric::test
