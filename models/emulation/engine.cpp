#include "models/emulation/engine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/error.hpp"
#include "models/emulation/player.hpp"

namespace wb::emulation {
namespace {

/// First unit of each rank, and the end; units that share an uplink stay together.
std::vector<int> deal(const Program& p, int ranks) {
    WB_EXPECT(p.units % static_cast<int>(p.stages.size()) == 0);
    const int each = p.uplink_byte_time > 0 ? p.uplink_units : 1;
    const std::int64_t runs = (p.units + each - 1) / each;
    std::vector<int> starts;
    for (int r = 0; r <= ranks; ++r) starts.push_back(std::min(p.units, static_cast<int>(runs * r / ranks) * each));
    return starts;
}

/// Nothing that happens on one rank is felt on another sooner than this.
Time shortest_latency(const Program& program) {
    Time least = never;
    for (const auto& stage : program.stages)
        for (const Play& p : stage)
            if (p.wire.shared && p.kind != Step::Kind::compute) least = std::min(least, p.wire.latency);
    return least;
}

}  // namespace

struct Engine::State {
    Comm& comm;
    Player player;
    Time lookahead;
    Finish finish;

    State(Program p, Comm& c, std::vector<int> watched)
        : comm(c),
          player(std::move(p), deal(p, c.size()), c.rank(), std::move(watched)),
          lookahead(shortest_latency(player.program)) {
        WB_EXPECT(lookahead > 0);
    }

    /// Alone, a rank knows all that will ever happen.
    bool windows() const { return player.shares() && comm.size() > 1; }
    void play();
    void check_all_done();
    void gather_marks();
};

/// Each turn, ranks hand on what is for others, until nothing moves anywhere.
void Engine::State::play() {
    Time horizon = windows() ? 0 : never;
    for (;;) {
        player.work(horizon);
        const std::vector<std::string> got = comm.deliver(player.outgoing());
        player.sent();
        ++finish.turns;
        Notice all{never, 0};
        for (const std::string& text : got) {
            Notice theirs;
            std::memcpy(&theirs, text.data(), sizeof theirs);
            all.earliest = std::min(all.earliest, theirs.earliest);
            all.messages += theirs.messages;
        }
        if (all.messages == 0 && (all.earliest == never || !windows())) return;
        for (const std::string& text : got) player.take_in(text);
        if (windows() && all.earliest < never - lookahead) horizon = all.earliest + lookahead;
    }
}

/// Units that wait at the end wait for ever.
void Engine::State::check_all_done() {
    int dead = -1, waiting = 0, first_waiting = -1;
    for (int id = player.first; id < player.last; ++id) {
        const Unit& u = player.unit(id);
        if (u.dead && dead < 0) dead = id;
        if (u.done || u.dead) continue;
        if (first_waiting < 0 || u.clock < player.unit(first_waiting).clock) first_waiting = id;
        ++waiting;
    }
    const auto clock = [&](int id) { return id < 0 ? 0.0 : static_cast<double>(player.unit(id).clock) * 1e-12; };
    const std::vector<double> mine{
        static_cast<double>(dead),    clock(dead),
        static_cast<double>(waiting), static_cast<double>(first_waiting),
        clock(first_waiting),         first_waiting < 0 ? 0.0 : player.unit(first_waiting).source};
    if (comm.all(dead < 0 && waiting == 0)) return;
    std::vector<double> total(6, 0.0);
    total[0] = total[3] = -1;
    for (const std::vector<double>& r : comm.gather(mine)) {
        if (total[0] < 0 && r[0] >= 0) total[0] = r[0], total[1] = r[1];
        total[2] += r[2];
        if (r[3] >= 0 && (total[3] < 0 || r[4] < total[4])) total[3] = r[3], total[4] = r[4], total[5] = r[5];
    }
    std::string text = total[0] >= 0 ? fmt::format("unit {} failed after {:.6g} s", total[0], total[1])
                                     : std::string("the units wait for each other");
    if (total[2] > 0)
        text += fmt::format("; {} others wait for ever, first unit {} for unit {} since {:.6g} s", total[2], total[3],
                            total[5], total[4]);
    throw Error({"emulation", comm.share(text), "the program cannot go on", ""}, Exit::failed);
}

void Engine::State::gather_marks() {
    std::vector<double> mine;
    for (const Mark& m : player.marks)
        mine.insert(mine.end(), {static_cast<double>(m.unit), static_cast<double>(m.step), static_cast<double>(m.start),
                                 static_cast<double>(m.end)});
    for (const std::vector<double>& r : comm.gather(mine))
        for (std::size_t i = 0; i + 3 < r.size(); i += 4)
            finish.marks.push_back({static_cast<int>(r[i]), static_cast<int>(r[i + 1]), static_cast<Time>(r[i + 2]),
                                    static_cast<Time>(r[i + 3])});
    std::stable_sort(finish.marks.begin(), finish.marks.end(),
                     [](const Mark& a, const Mark& b) { return a.unit < b.unit; });
}

Engine::Engine(Program program, Comm& comm, std::vector<int> watched)
    : state_(std::make_unique<State>(std::move(program), comm, std::move(watched))) {}
Engine::~Engine() = default;

Finish Engine::run() {
    State& s = *state_;
    s.finish = {};
    s.player.begin();
    s.play();
    s.check_all_done();
    Time end = 0;
    for (const Unit& u : s.player.units) end = std::max(end, u.clock);
    s.finish.time = static_cast<Time>(s.comm.max(static_cast<double>(end)));
    s.finish.messages = s.player.messages;
    s.finish.bytes = s.player.bytes;
    s.gather_marks();
    return s.finish;
}

int Engine::first_unit() const { return state_->player.first; }
int Engine::last_unit() const { return state_->player.last; }

std::vector<std::byte>& Engine::input(int unit) {
    WB_EXPECT(state_->player.program.payload == Payload::full);
    return state_->player.inputs.at(static_cast<std::size_t>(unit - first_unit()));
}
std::vector<std::byte>& Engine::buffer(int unit) {
    WB_EXPECT(state_->player.program.payload == Payload::full);
    return state_->player.buffers.at(static_cast<std::size_t>(unit - first_unit()));
}
void Engine::add_with(Add add) { state_->player.add = add; }

double Engine::bytes_per_unit() const {
    const Player& p = state_->player;
    return static_cast<double>(p.bookkeeping_bytes()) / static_cast<double>(std::max<std::size_t>(1, p.units.size()));
}

}  // namespace wb::emulation
