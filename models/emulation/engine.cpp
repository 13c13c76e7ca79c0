#include "models/emulation/engine.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>

#include "core/error.hpp"
#include "core/units.hpp"
#include "models/emulation/player.hpp"

namespace wb::emulation {
namespace {

constexpr std::size_t most_told = 32;  // of those that wait

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

    State(Program p, std::vector<int> starts, Comm& c, std::vector<int> watched)
        : comm(c),
          player(std::move(p), std::move(starts), c.rank(), std::move(watched)),
          lookahead(shortest_latency(player.program)) {
        WB_EXPECT(lookahead > 0);
    }

    /// Alone, a rank knows all that will ever happen.
    bool windows() const { return player.shares() && comm.size() > 1; }
    void play();
    void find_stuck();
    std::string told(double dead, double waiting) const;
    void check_stamps();
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
void Engine::State::find_stuck() {
    std::vector<Stuck> here;
    double dead = 0, waiting = 0;
    for (int id = player.first; id < player.last; ++id) {
        Unit& u = player.unit(id);
        if (u.done) continue;
        // What has not failed yet will, while it waits.
        if (u.fails_at < never && !u.dead) u.clock = u.fails_at, u.dead = true;
        ++(u.dead ? dead : waiting);
        here.push_back({id, u.step, u.dead ? -1 : u.source, u.clock});
    }
    if (comm.all(here.empty())) return;
    const auto sooner = [](const Stuck& a, const Stuck& b) {
        if ((a.source < 0) != (b.source < 0)) return a.source < 0;
        return a.since != b.since ? a.since < b.since : a.unit < b.unit;
    };
    std::sort(here.begin(), here.end(), sooner);
    std::vector<double> mine{dead, waiting};
    for (std::size_t i = 0; i < std::min(here.size(), most_told); ++i)
        mine.insert(mine.end(), {static_cast<double>(here[i].unit), static_cast<double>(here[i].step),
                                 static_cast<double>(here[i].source), static_cast<double>(here[i].since)});
    dead = waiting = 0;
    for (const std::vector<double>& r : comm.gather(mine)) {
        dead += r[0];
        waiting += r[1];
        for (std::size_t i = 2; i + 3 < r.size(); i += 4)
            finish.stuck.push_back({static_cast<int>(r[i]), static_cast<int>(r[i + 1]), static_cast<int>(r[i + 2]),
                                    static_cast<Time>(r[i + 3])});
    }
    std::sort(finish.stuck.begin(), finish.stuck.end(), sooner);
    if (finish.stuck.size() > most_told) finish.stuck.resize(most_told);
    finish.problem = comm.share(comm.rank() == 0 ? told(dead, waiting) : "");
    if (comm.max(dead) == 0) throw Error({"emulation", finish.problem, "the program cannot go on", ""}, Exit::failed);
}

/// On rank 0, where the stuck are known.
std::string Engine::State::told(double dead, double waiting) const {
    const auto seconds = [](Time t) { return format(Seconds(static_cast<double>(t) * 1e-12)); };
    const Stuck& first = finish.stuck.front();
    std::string text = dead > 0 ? fmt::format("unit {} failed after {}", first.unit, seconds(first.since))
                                : std::string("the units wait for each other");
    if (dead > 1) text += fmt::format(", {:.0f} more after it", dead - 1);
    const auto wait =
        std::find_if(finish.stuck.begin(), finish.stuck.end(), [](const Stuck& s) { return s.source >= 0; });
    if (wait != finish.stuck.end())
        text += fmt::format("; {:.0f} others wait for ever, first unit {} for unit {} since {}", waiting, wait->unit,
                            wait->source, seconds(wait->since));
    return text;
}

void Engine::State::check_stamps() {
    const Cargo& cargo = player.cargo;
    if (!cargo.stamped()) return;
    const std::vector<double> mine{static_cast<double>(cargo.checked), static_cast<double>(cargo.wrong)};
    double checked = 0, wrong = 0;
    for (const std::vector<double>& r : comm.gather(mine)) checked += r[0], wrong += r[1];
    std::string first;
    for (const std::string& text : comm.gather(cargo.first_wrong))
        if (first.empty()) first = text;
    finish.checked = static_cast<std::int64_t>(comm.max(checked));
    wrong = comm.max(wrong);
    if (wrong > 0)
        throw Error({"emulation",
                     fmt::format("{:.0f} of {} collectives and messages hold wrong data, first {}", wrong,
                                 finish.checked, comm.share(first)),
                     "their sums are known in advance", ""},
                    Exit::failed);
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

Engine::Engine(Program program, Comm& comm, std::vector<int> watched) {
    std::vector<int> starts = deal(program, comm.size());
    state_ = std::make_unique<State>(std::move(program), std::move(starts), comm, std::move(watched));
}
Engine::~Engine() = default;

Finish Engine::run() {
    State& s = *state_;
    s.finish = {};
    s.player.begin();
    s.play();
    s.find_stuck();
    s.check_stamps();
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
    return state_->player.cargo.inputs.at(static_cast<std::size_t>(unit - first_unit()));
}
std::vector<std::byte>& Engine::buffer(int unit) {
    WB_EXPECT(state_->player.program.payload == Payload::full);
    return state_->player.cargo.buffers.at(static_cast<std::size_t>(unit - first_unit()));
}
void Engine::add_with(Add add) { state_->player.cargo.add = add; }

double Engine::bytes_per_unit() const {
    const Player& p = state_->player;
    return static_cast<double>(p.bookkeeping_bytes()) / static_cast<double>(std::max<std::size_t>(1, p.units.size()));
}

}  // namespace wb::emulation
