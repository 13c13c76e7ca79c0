#include "models/fabric/engine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <map>
#include <thread>
#include <vector>

#include "core/error.hpp"
#include "models/fabric/barrier.hpp"

namespace wb::fabric {

namespace {

Placement whole(const Options& o) {
    Placement p;
    for (int r = 0; r < o.rows; ++r) p.rows.push_back(r);
    for (int c = 0; c < o.columns; ++c) p.columns.push_back(c);
    return p;
}

}  // namespace

Engine::Engine(const Mesh& mesh, const Options& options)
    : options_(options),
      machine_{mesh, options.data, options.link_use, true},
      placement_(options.defects ? place(*options.defects, options.rows, options.columns) : whole(options)),
      grid_(machine_, placement_.rows.back() + 1, placement_.columns.back() + 1) {
    const int threads = std::clamp(options.threads, 1, std::max(1, grid_.rows() / 3));
    const auto boundary = [&](int k) {
        return static_cast<std::size_t>(grid_.rows()) * static_cast<std::size_t>(k) / static_cast<std::size_t>(threads);
    };
    for (int k = 0; k < threads; ++k) {
        Shard& shard = shards_.emplace_back(machine_, grid_, boundary(k), boundary(k + 1));
        for (auto row = static_cast<int>(boundary(k)); row < static_cast<int>(boundary(k + 1)); ++row)
            for (int column = 0; column < grid_.columns(); ++column)
                grid_.node(row, column).place_at(machine_, shard, grid_.word(row, column), row, column);
    }
    constexpr int with_data = 16;
    window_ = options.window > 0 ? std::min(options.window, most_window) : options.data ? with_data : 1;
    if (threads > 1)
        for (const Shard& s : shards_) window_ = std::min(window_, s.most_cycles());
    for (int row = 0; row < options.rows; ++row)
        for (int column = 0; column < options.columns; ++column)
            node(row, column).give(row, column, options.rows, options.columns);
}

/// Calls f for every PE of the program's mesh.
template <class F>
void Engine::for_program(F&& f) const {
    for (int row = 0; row < options_.rows; ++row)
        for (int column = 0; column < options_.columns; ++column) f(node(row, column));
}

/// All coroutines run to their first co_await: this sets the routes, and is the start of cycle 0.
void Engine::set_up(const Program& program) {
    for_program([&](Node& n) { n.run(program(n.pe())); });
    machine_.setting_up = false;
    grid_.bridge(placement_);
    grid_.check_routes();
}

std::uint64_t Engine::next_cycle(std::uint64_t now) const {
    int unfinished = 0;
    bool awake = false, failed = false;
    for (const Shard& s : shards_) {
        unfinished += s.unfinished();
        awake = awake || s.any_awake();
        failed = failed || s.error();
    }
    if (failed || unfinished == 0) return never;
    if (awake) return now + 1;
    std::uint64_t next = never;
    for (const Shard& s : shards_) next = std::min(next, s.next_timer(now));
    return next;
}

void Engine::run_shard(std::size_t k, Barrier& barrier) {
    while (begin_ != never) {
        shards_[k].begin_window(begin_, window_);
        shards_[k].sweep();
        barrier.wait();
        // A shard has two boundaries: odd and even ones in turn.
        if (k % 2 == 1) Shard::close(shards_[k - 1], shards_[k]);
        barrier.wait();
        if (k % 2 == 0 && k > 0) Shard::close(shards_[k - 1], shards_[k]);
        barrier.wait();
        if (k == 0) begin_ = next_cycle(begin_ + static_cast<std::uint64_t>(window_) - 1);
        barrier.wait();
    }
}

void Engine::run_threads() {
    Barrier barrier(static_cast<int>(shards_.size()));
    std::vector<std::thread> others;
    for (std::size_t k = 1; k < shards_.size(); ++k)
        others.emplace_back([this, &barrier, k] { run_shard(k, barrier); });
    run_shard(0, barrier);
    for (std::thread& t : others) t.join();
}

/// The error of the PE that comes first, or a deadlock.
void Engine::check_end() {
    const Shard* first = nullptr;
    int unfinished = 0;
    for (const Shard& s : shards_) {
        unfinished += s.unfinished();
        if (s.error() && (first == nullptr || s.error_at() < first->error_at())) first = &s;
    }
    if (first != nullptr) std::rethrow_exception(first->error());
    if (unfinished > 0) report_deadlock();
}

Result Engine::run(const Program& program) {
    set_up(program);
    run_threads();
    check_end();
    check_nothing_left();
    return collect();
}

void Engine::check_nothing_left() {
    std::size_t left = 0;
    std::string first;
    for (std::size_t i = 0; i < grid_.nodes(); ++i) {
        const Node& n = grid_.node(i);
        const Word& w = grid_.word(n.row(), n.column());
        for (int c = 0; c < most_colours; ++c) {
            const Block* b = w.find(static_cast<Colour>(c));
            if (b == nullptr) continue;
            std::size_t here = static_cast<std::size_t>(b->count(n.lane()));
            if (b->up != nullptr) here += b->up->count(n.lane());
            if (b->down != nullptr) here += b->down->count(n.lane());
            if (here > 0 && left == 0) first = fmt::format("colour {} at {}", c, n.place());
            left += here;
        }
    }
    if (left > 0)
        throw Error({first, fmt::format("{} wavelet{} never received", left, left == 1 ? "" : "s"),
                     "all PEs have finished", "Receive as many as are sent."});
}

void Engine::collect_links(Result& r) const {
    r.link_use.reserve(grid_.nodes() * port_count);
    for_program([&](const Node& n) {
        const Word& w = grid_.word(n.row(), n.column());
        for (int p = 0; p < port_count; ++p) r.link_use.push_back(w.link_use(n.lane(), static_cast<Port>(p)));
    });
}

Result Engine::collect() const {
    Result r;
    for_program([&](const Node& n) {
        r.cycles = std::max(r.cycles, n.finish_cycle());
        r.busy.push_back(n.busy());
        r.sram_peak = std::max(r.sram_peak, n.sram());
        r.fma += n.fma();
    });
    std::map<std::string, Phase> phases;
    for (const Shard& s : shards_) {
        const Cycle counts = s.counts();
        r.hops += counts.hops;
        r.injected += counts.injected;
        r.consumed += counts.consumed;
        for (const auto& [name, phase] : s.phases()) {
            Phase& all = phases.try_emplace(name, phase.name, phase.begin, 0, 0).first->second;
            all.begin = std::min(all.begin, phase.begin);
            all.end = std::max(all.end, phase.end);
            all.pe_cycles += phase.pe_cycles;
        }
    }
    for (const auto& [name, phase] : phases) r.timeline.push_back(phase);
    std::stable_sort(r.timeline.begin(), r.timeline.end(),
                     [](const Phase& a, const Phase& b) { return a.begin < b.begin; });
    if (options_.link_use) collect_links(r);
    return r;
}

}  // namespace wb::fabric
