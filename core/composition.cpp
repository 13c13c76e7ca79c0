#include "core/composition.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.hpp"

namespace wb {
namespace {

/// Each rank times for itself: what it took must be taken again, or the bits of a resumed run are others.
std::string choices_of(int rank) {
    return rank == 0 ? std::string("gemm choices") : fmt::format("gemm choices of rank {}", rank);
}

bool has(const Graph& g, OpKind kind) {
    return std::any_of(g.ops().begin(), g.ops().end(), [&](const Op& op) { return op.kind == kind; });
}

}  // namespace

Composition::Does Composition::does(const Graph& g) {
    const bool reads = has(g, OpKind::read), loads = has(g, OpKind::load);
    if (has(g, OpKind::compile)) return Does::compile;
    if (has(g, OpKind::write)) return Does::write;
    if (reads) return loads ? Does::stage : Does::restore;
    if (loads) return Does::load;
    if (has(g, OpKind::adamw)) return Does::train;
    return has(g, OpKind::cross_entropy) ? Does::judge : Does::compute;
}

Composition::Composition(const Case& c, Comm& comm, std::unique_ptr<Players> players)
    : case_(c),
      comm_(comm),
      booked_(counted(comm, ledger_)),
      players_(std::move(players)),
      taken_(c.graph->phases().size()) {
    if (times_of(Does::compile) == 0) open_sessions();
    if (times_of(Does::load) == 0) players_->fill();
}

Case Composition::case_of(const std::shared_ptr<const Graph>& graph) const {
    Case c = case_;
    c.graph = c.small = graph;
    return c;
}

std::int64_t Composition::times_of(Does what) const {
    std::int64_t sum = 0;
    for (const Phase& p : case_.graph->phases())
        if (does(*p.graph) == what) sum += p.times;
    return sum;
}

/// One session for each graph that computes; of a composition that only moves memory, for each that moves it.
void Composition::open_sessions() {
    const bool computes = times_of(Does::train) + times_of(Does::judge) + times_of(Does::compute) > 0;
    for (const Phase& p : case_.graph->phases()) {
        const Does what = does(*p.graph);
        const bool moves = what == Does::write || what == Does::load || what == Does::restore;
        if (what == Does::train || what == Does::judge || what == Does::compute || (moves && !computes))
            if (auto& s = sessions_[p.graph.get()]; !s) s = players_->open(case_of(p.graph));
    }
}

/// Takes up what an earlier run has left, in the first run only. True if there was a checkpoint.
bool Composition::begin() {
    ++runs_;
    losses_.clear();
    held_out_losses_.clear();
    done_ = resumed_ = saved_ = 0;
    stopped_ = false;
    std::fill(taken_.begin(), taken_.end(), Taken{});
    players_->begin_counting();
    if (runs_ > 1 || !case_.storage || times_of(Does::train) == 0) return false;
    const std::optional<Snapshot> found = case_.storage->newest();
    if (!found) return false;
    resumed_ = saved_ = found->step;
    remark_ = found->remark;
    const auto note = [&](const char* name) {
        const auto at = found->notes.find(name);
        return at == found->notes.end() ? std::vector<double>{} : at->second;
    };
    players_->adopt(note(choices_of(found->notes.contains(choices_of(comm_.rank())) ? comm_.rank() : 0).c_str()));
    losses_ = note("loss");
    losses_.resize(static_cast<std::size_t>(resumed_));
    const std::vector<double> seconds = note("seconds"), energy = note("joules");
    for (std::size_t i = 0; i < std::min(seconds.size(), taken_.size()); ++i) taken_[i].time = Seconds(seconds[i]);
    for (std::size_t i = 0; i < std::min(energy.size(), taken_.size()); ++i) taken_[i].energy = Joules(energy[i]);
    return true;
}

Sample Composition::run() {
    bool restore_due = begin();
    Sample out;
    const std::vector<Phase> phases(case_.graph->phases().begin(), case_.graph->phases().end());
    for (std::size_t i = 0; i < phases.size() && !stopped_; ++i) {
        const Phase& p = phases[i];
        const Does what = does(*p.graph);
        const bool earlier = (what == Does::train && done_ + p.times <= resumed_) ||
                             (what == Does::write && done_ > 0 && done_ <= resumed_);
        if (what == Does::train && earlier) done_ += p.times;
        Taken& taken = taken_[i];
        if (earlier)
            taken.times = p.times;
        else
            run_phase(p, restore_due, taken);
        taken.append_to(out, done_of(i));
        stopped_ = stopped_ || (i + 1 < phases.size() && asked(comm_));
        if (stopped_)
            out.problem =
                fmt::format("stopped from outside in the phase {}, after {} of {}", p.name, taken.times, p.times);
    }
    if (stopped_ && saved_ > 0) out.problem += fmt::format("; a checkpoint of step {} is there", saved_);
    return out;
}

/// One phase with clocks and counters around it; before the first that computes, what a checkpoint holds is restored.
void Composition::run_phase(const Phase& phase, bool& restore_due, Taken& taken) {
    const Does what = does(*phase.graph);
    ledger_.clear();
    const PhaseMeter meter(*players_);
    if (restore_due && what != Does::stage && what != Does::compile && what != Does::load) {
        restore(taken);
        restore_due = false;
    }
    carry_out(phase, taken);
    meter.add_to(taken);
    if (comm_.size() == 1) return;  // nobody was spoken to
    std::vector<CommUse> said = ledger_.uses();
    for (CommUse& u : said) u.fabric = comm_.library();
    add_calls(taken.communication, said);
}

/// Whether a phase has another run. Collective.
bool Composition::goes_on(std::int64_t done, std::int64_t times) {
    if (done < times) stopped_ = asked(comm_);
    return done < times && !stopped_;
}

void Composition::carry_out(const Phase& phase, Taken& taken) {
    const Does what = does(*phase.graph);
    if (what != Does::train && what != Does::judge && what != Does::compute) taken.times = phase.times;
    if (what == Does::compile) {
        sessions_.clear();
        return open_sessions();
    }
    if (what == Does::stage) {  // before anything is compiled: what that takes is not its time
        stage();
        if (training_) taken.stored += training_->bytes() * (1.0 / comm_.size());
        if (held_out_) taken.stored += held_out_->bytes() * (1.0 / comm_.size());
        return;
    }
    open_sessions();
    const auto found = sessions_.find(phase.graph.get());
    switch (what) {
        case Does::load: return players_->fill();
        case Does::write: return write(taken);
        case Does::restore: return restore(taken);
        case Does::train: return train(*found->second, phase.times, taken);
        case Does::judge: return judge(*found->second, phase.times, taken);
        default:
            do {
                found->second->run();
                add_calls(taken.communication, found->second->communication());
            } while (goes_on(++taken.times, phase.times));
    }
}

/// Each split once, however many phases read it.
void Composition::stage() {
    training_.reset();
    held_out_.reset();
    if (!case_.storage || !case_.storage->dataset()) return;
    for (const Phase& p : case_.graph->phases()) {
        const Does what = does(*p.graph);
        if (what != Does::train && what != Does::judge) continue;
        auto& batches = what == Does::train ? training_ : held_out_;
        if (batches) continue;
        batches = Batches::read(*case_.storage, what == Does::train ? Split::training : Split::held_out, *booked_,
                                times_of(what), *p.graph);
    }
}

void Composition::train(Player& session, std::int64_t times, Taken& taken) {
    session.at_step(done_);
    do {
        if (training_) training_->feed(session, done_);
        double loss = 0;
        session.run([&] {
            loss = mean_loss(session, case_.mapping, *booked_);
            if (!std::isfinite(loss)) stop_at_nan(session, comm_, fmt::format("step {}", done_ + 1));
        });
        add_calls(taken.communication, session.communication());
        losses_.push_back(loss);
        ++done_;
    } while (goes_on(++taken.times, times));
}

void Composition::judge(Player& session, std::int64_t times, Taken& taken) {
    do {
        if (held_out_) held_out_->feed(session, static_cast<std::int64_t>(held_out_losses_.size()));
        session.run();
        add_calls(taken.communication, session.communication());
        held_out_losses_.push_back(mean_loss(session, case_.mapping, *booked_));
    } while (goes_on(++taken.times, times));
}

/// Whole on rank 0. Collective.
std::map<std::string, std::vector<double>> Composition::notes() const {
    std::map<std::string, std::vector<double>> out;
    const std::vector<std::vector<double>> choices = comm_.gather(players_->choices());
    for (std::size_t r = 0; r < choices.size(); ++r) out[choices_of(static_cast<int>(r))] = choices[r];
    std::vector<double> seconds, joules;
    for (const Taken& t : taken_) {
        seconds.push_back(t.time.si());
        if (t.energy) joules.push_back(t.energy->si());
    }
    out["loss"] = losses_;
    out["seconds"] = seconds;
    out["joules"] = joules.size() == seconds.size() ? joules : std::vector<double>{};
    return out;
}

void Composition::write(Taken& taken) {
    const std::vector<StoredPiece> pieces = players_->pieces();
    saved_ = done_;
    if (case_.storage) {
        taken.stored += Bytes(static_cast<double>(case_.storage->save({done_, notes(), ""}, pieces)) / comm_.size());
        return;
    }
    for (const StoredPiece& p : pieces) aside_[p.name].assign(p.data, p.data + p.instances * p.stride);
}

void Composition::restore(Taken& taken) {
    const std::vector<StoredPiece> pieces = players_->pieces();
    if (case_.storage) {
        taken.stored += Bytes(static_cast<double>(case_.storage->restore(saved_, pieces)) / comm_.size());
        return players_->put_back();
    }
    for (const StoredPiece& p : pieces)
        if (const auto found = aside_.find(p.name); found != aside_.end())
            std::copy(found->second.begin(), found->second.end(), p.data);
    players_->put_back();
}

std::string Composition::detail() const {
    std::string out;
    if (case_.storage && case_.storage->dataset()) {
        const Dataset& d = *case_.storage->dataset();
        out +=
            fmt::format("; {}: {} tokens to train on, {} held out, read by {}", d.name, d.training, d.held_out, d.how);
    }
    if (resumed_ > 0)
        out += fmt::format(
            "; resumed at step {} from a checkpoint, times include the run that wrote it, messages do not", resumed_);
    if (!remark_.empty()) out += "; " + remark_;
    return out;
}

Phase Composition::done_of(std::size_t phase) const {
    Phase out = case_.graph->phases()[phase];
    if (runs_ > 0) out.times = taken_[phase].times;
    return out;
}

Graph Composition::performed() const {
    Graph out(case_.graph->name());
    for (std::size_t i = 0; i < taken_.size(); ++i)
        if (const Phase p = done_of(i); p.times > 0) out.then(p.name, p.times, p.graph);
    return out;
}

ResourceUse Composition::usage() const {
    ResourceUse use;
    std::map<std::string, Bytes> arenas;
    for (const auto& [graph, session] : sessions_) {
        const ResourceUse u = session->usage();
        for (const MemoryUse& m : u.memory)
            if (m.level == "inputs" || m.level == "activations") arenas[m.level] += m.peak;
        if (use.detail.empty()) use.detail = u.detail;
    }
    Bytes held = players_->bytes(Role::weight) + players_->bytes(Role::state), stored;
    for (std::size_t i = 0; i < taken_.size(); ++i) {
        const Phase p = done_of(i);
        if (p.times == 0) continue;
        PhaseUse& at = taken_[i].report_to(use, p, held);
        stored += taken_[i].stored;
        const auto s = sessions_.find(p.graph.get());
        if (s == sessions_.end()) continue;
        const ResourceUse u = s->second->usage();
        for (const MemoryUse& m : u.memory)
            if (m.level == "inputs" || m.level == "activations") at.memory += m.peak;
        at.useful += u.useful * static_cast<double>(p.times);
        use.useful += u.useful * static_cast<double>(p.times);
        use.overhead += u.overhead * static_cast<double>(p.times);
    }
    for (const char* level : {"inputs", "activations"})
        use.memory.push_back({level, Bytes(0), arenas[level], Bytes(0)});
    use.memory.push_back({"weights", Bytes(0), players_->bytes(Role::weight), Bytes(0)});
    use.memory.push_back({"state", Bytes(0), players_->bytes(Role::state), Bytes(0)});
    for (MemoryUse& beside : players_->memory()) use.memory.push_back(std::move(beside));
    Bytes staged = (training_ ? training_->bytes() : Bytes(0)) + (held_out_ ? held_out_->bytes() : Bytes(0));
    use.memory.push_back({"storage", Bytes(0), staged, stored});
    const auto series = [&](const char* name, const char* about, const std::vector<double>& values, bool at_end) {
        if (values.empty()) return;
        Series s{name, "nats", about, "step", {}, {}};
        for (std::size_t i = 0; i < values.size(); ++i)
            s.at.push_back(at_end ? static_cast<double>(done_) : static_cast<double>(i + 1));
        s.values = values;
        use.series.push_back(std::move(s));
    };
    series("loss", "mean over the batch of a step, before its update", losses_, false);
    if (!held_out_losses_.empty())
        series("held-out loss", "mean over all held-out batches, after the last step",
               {std::accumulate(held_out_losses_.begin(), held_out_losses_.end(), 0.0) /
                static_cast<double>(held_out_losses_.size())},
               true);
    use.mapping = case_.mapping.text();
    use.detail += detail();
    return use;
}

}  // namespace wb
