#include "models/fabric/engine.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"

namespace wb::fabric {

Engine::Engine(const Mesh& mesh, const Options& options) : options_(options), routers_(options.rows, options.columns) {
    machine_.mesh = mesh;
    machine_.data = options.data;
    for (int r = 0; r < options.rows; ++r)
        for (int c = 0; c < options.columns; ++c)
            nodes_.push_back(std::make_unique<Node>(machine_, r, c, options.rows, options.columns));
}

/// All coroutines run to their first co_await: this sets the routes, and is the start of cycle 0.
void Engine::set_up(const Program& program) {
    for (const auto& n : nodes_) n->begin(program(n->pe()));
    machine_.setting_up = false;
    for (std::size_t i = 0; i < nodes_.size(); ++i)
        for (const Switch& s : nodes_[i]->switches()) routers_.add(static_cast<int>(i), s);
    routers_.check(nodes_);
}

bool Engine::finished() const {
    return std::all_of(nodes_.begin(), nodes_.end(), [](const auto& n) { return n->finished(); });
}

std::uint64_t Engine::next_timer() const {
    std::uint64_t next = never;
    for (const auto& n : nodes_) next = std::min(next, n->next_timer(machine_.now));
    return next;
}

/// From the decisions of this cycle to the next cycle in which anything can happen.
void Engine::advance() {
    routers_.decide(machine_.now, nodes_);
    bool happened = false;
    for (const auto& n : nodes_) happened = n->step(machine_.now) || happened;
    happened = routers_.apply(machine_.now, nodes_) || happened;
    if (finished()) return;
    const std::uint64_t next = happened ? machine_.now + 1 : next_timer();
    if (next == never) report_deadlock();
    machine_.now = next;
}

Result Engine::run(const Program& program) {
    set_up(program);
    do {
        advance();
    } while (!finished());
    check_nothing_left();
    return collect();
}

void Engine::check_nothing_left() {
    std::size_t left = 0;
    std::string first;
    const auto found = [&](std::size_t count, Colour c, const Node& n) {
        if (count > 0 && left == 0) first = fmt::format("colour {} at {}", c, n.place());
        left += count;
    };
    for (std::size_t i = 0; i < nodes_.size(); ++i) {
        Node& n = *nodes_[i];
        for (const RampPort& p : n.in_ports()) found(p.count, p.colour, n);
        for (const RampPort& p : n.out_ports()) found(p.count, p.colour, n);
        for (const Colour c : routers_.colours())
            if (const Lane* l = routers_.lane(static_cast<int>(i), c)) found(l->count, c, n);
    }
    if (left > 0)
        throw Error({first, fmt::format("{} wavelet{} never received", left, left == 1 ? "" : "s"),
                     "all PEs have finished", "Receive as many as are sent."});
}

Result Engine::collect() const {
    Result r;
    for (const auto& n : nodes_) {
        r.cycles = std::max(r.cycles, n->finish_cycle());
        r.busy.push_back(n->busy());
        r.sram_peak = std::max(r.sram_peak, n->sram());
        r.fma += n->fma();
    }
    r.hops = routers_.hops();
    r.injected = machine_.injected;
    r.consumed = machine_.consumed;
    if (options_.link_use) {
        r.link_use = routers_.link_use();
        r.link_use.resize(nodes_.size() * port_count);
    }
    for (const auto& [name, phase] : machine_.phases) r.timeline.push_back(phase);
    std::stable_sort(r.timeline.begin(), r.timeline.end(),
                     [](const Phase& a, const Phase& b) { return a.begin < b.begin; });
    return r;
}

}  // namespace wb::fabric
