#include "harness/runner.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/interruptible.hpp"
#include "harness/ceilings.hpp"
#include "harness/composed_session.hpp"
#include "harness/core_clock.hpp"
#include "harness/declined.hpp"
#include "harness/rank_use.hpp"
#include "harness/stopping.hpp"
#include "harness/validate/bands.hpp"
#include "harness/verifier.hpp"

namespace wb {
namespace {

void fail(Measurement& m, Status status, std::string reason) {
    m.status = status;
    m.reason = std::move(reason);
}

/// The first text any rank has to say, on all ranks.
std::string first_text(Comm& comm, const std::string& mine) {
    std::string found;
    const std::vector<std::string> all = comm.gather(mine);
    for (std::size_t i = 0; i < all.size(); ++i)
        if (found.empty() && !all[i].empty()) found = comm.size() > 1 ? fmt::format("rank {}: {}", i, all[i]) : all[i];
    return comm.share(found);
}

/// The same case without what makes it fail on purpose: data that never arrive cannot be judged.
Case sound(Case c) {
    std::erase_if(c.emulation.faults, [](const Fault& f) { return f.kind == Fault::Kind::failed; });
    return c;
}

/// The bands of phases, and of the whole as if all erred to the same side, where it was not judged itself.
void apply_bands(const PlannedCase& planned, Measurement& m) {
    std::vector<std::pair<double, Band>> parts;
    double all = 0;
    for (PhaseUse& p : m.phases) {
        if (const auto band = planned.phase_bands.find(p.name); band != planned.phase_bands.end())
            p.band = band->second;
        parts.emplace_back(p.time.si(), p.band);
        all += p.time.si();
    }
    if (all > 0 && !planned.judged_whole) m.band = joined(parts);
}

}  // namespace

Runner::Runner(const BackendSet& backends, Comm& comm, Hooks hooks)
    : backends_(backends), comm_(comm), hooks_(std::move(hooks)) {}

Result Runner::run(const PlannedCase& planned) {
    const Case& c = planned.c;
    Result r;
    r.key = r.m.key = c.key;
    r.label = planned.label;
    r.workload = c.workload;
    r.params = c.params.key();
    r.system = c.system->id;
    r.backend = c.backend;
    r.units = c.units;
    r.threads = c.threads;
    r.fingerprint = c.graph->fingerprint();
    r.flops = c.graph->flops().si();
    r.matmul_flops = c.graph->matmul_flops().si();
    r.compulsory_bytes = c.graph->compulsory_bytes().si();
    r.m.kind = planned.kind;
    r.m.resolved_dtype = c.resolved_dtype;
    r.mesh = c.mapping.mesh_text();
    const bool together = planned.backend->collective();
    r.ranks = !together ? 1 : planned.kind == Kind::measured ? std::min(c.mapping.units(), comm_.size()) : comm_.size();
    const double begin = now_s();
    if (!planned.refused.empty()) {
        fail(r.m, Status::skipped, planned.refused);
    } else if (together || comm_.rank() == 0) {
        measure(planned, r);
    }
    double inside = 0;
    for (double s : r.m.samples_s)
        if (std::isfinite(s)) inside += s;
    r.m.harness_s = now_s() - begin - r.m.prepare_s - r.m.verify_s - (planned.kind == Kind::measured ? inside : 0);
    return r;
}

void Runner::measure(const PlannedCase& planned, Result& r) {
    const Case& c = planned.c;
    Measurement& m = r.m;
    const Backend& backend = *planned.backend;
    const bool together = backend.collective();
    const auto alone = single_process();
    Comm& comm = together ? comm_ : *alone;
    std::string problem;
    bool declined = false;
    const auto guarded = [&](auto&& action) {  // runs on every rank; false on all if it threw on any
        problem.clear();
        declined = false;
        bool threw = false;
        try {
            action();
        } catch (const std::exception& e) {
            declined = dynamic_cast<const Declined*>(&e) != nullptr;
            threw = true;
            problem = e.what();
        }
        if (agree(together, !threw)) return true;
        if (together) problem = first_text(comm_, problem);
        if (problem.empty()) problem = "failed without a word";
        return false;
    };
    Support support;
    if (!guarded([&] { support = supports(backend, c, comm.size()); })) return fail(m, Status::failed, problem);
    if (!agree(together, support.yes)) {
        const std::string why = together ? first_text(comm_, support.yes ? "" : support.reason) : support.reason;
        return fail(m, Status::skipped, why);
    }
    double t = now_s();
    if (c.protocol.verify && backend.has_outputs(c)) {
        if (hooks_.progress) hooks_.progress("verifying");
        m.verification = verify_case(sound(c), backend, *backends_.find("reference"), comm);
        m.verify_s = now_s() - t;
        if (!(m.verification.error <= m.verification.tolerance)) return fail(m, Status::failed, m.verification.method);
    }
    t = now_s();
    std::unique_ptr<Session> session;
    if (!guarded([&] { session = prepare(backend, c, comm); }))
        return fail(m, agree(together, declined) ? Status::skipped : Status::failed, problem);
    m.prepare_s = now_s() - t;
    if (m.verification.done && c.small != c.graph && c.graph->phases().empty()) {
        t = now_s();
        if (!guarded([&] { check_full_size(c, *session, *backends_.find("reference"), comm, m.verification); }))
            return fail(m, Status::failed, problem);
        m.verify_s += now_s() - t;
        if (!(m.verification.error <= m.verification.tolerance)) return fail(m, Status::failed, m.verification.method);
    }
    auto* const cut = dynamic_cast<Interruptible*>(session.get());
    if (cut && hooks_.stop) cut->stop_when([this] { return hooks_.stop() != Stop::none; });
    if (!guarded([&] { sample(*session, c, together, m); }))
        return fail(m, agree(together, declined) ? Status::skipped : Status::failed, problem);
    if (m.status == Status::ok || ended_early_) {
        ResourceUse use;
        if (!guarded([&] { use = session->usage(); })) return fail(m, Status::failed, problem);
        Case done = c;
        if (cut) {  // rates are those of the work that was done
            done.graph = std::make_shared<const Graph>(cut->performed());
            r.flops = done.graph->flops().si();
            r.matmul_flops = done.graph->matmul_flops().si();
            r.compulsory_bytes = done.graph->compulsory_bytes().si();
        }
        collect(use, together, done, m);
        if (!m.verification.done && c.protocol.verify) m.verification = use.verification;
        if (planned.band) m.band = *planned.band;
        if (!planned.phase_bands.empty()) apply_bands(planned, m);
        if (m.kind == Kind::measured && comm.rank() == 0)
            add_ceilings(done, *backends_.find("roofline"), comm.size(), m);
    }
}

void Runner::sample(Session& session, const Case& c, bool together, Measurement& m) {
    const bool real = m.kind == Kind::measured;
    ended_early_ = false;
    const Protocol& p = c.protocol;
    std::vector<double> mine;
    std::string broken;  // off early, as told by the sample itself
    const auto once = [&](bool keep) {
        if (together) comm_.barrier();
        Sample s;
        double elapsed = HUGE_VAL;  // also what a rank that throws hands to the maximum, which then stops all ranks
        std::string problem;
        bool threw = false;
        try {
            s = session.run();
            if (std::isfinite(s.elapsed.si())) elapsed = s.elapsed.si();
        } catch (const std::exception& e) {
            threw = true;
            problem = e.what();
        }
        const double slowest = together ? comm_.max(elapsed) : elapsed;
        if (slowest == HUGE_VAL && !agree(together, !threw)) throw std::runtime_error(problem);
        broken = s.problem;
        if (!keep) return 0.0;
        mine.push_back(s.elapsed.si());
        m.samples_s.push_back(slowest);
        m.spans = std::move(s.spans);
        return slowest;
    };
    for (int i = 0; real && i < p.warmup && broken.empty(); ++i) once(false);
    const bool judge = !together || comm_.rank() == 0;
    Stopping stopping({p.min_samples, p.max_samples, p.min_time.si(), p.timeout.si(), p.max_noise});
    for (;;) {
        const double elapsed = broken.empty() ? once(true) : 0;
        ended_early_ = !broken.empty();
        if (ended_early_) {  // its timeline is worth keeping, the time is not that of the workload
            m.samples_s.clear();
            return fail(m, verdict(together, false) > 1 ? Status::timeout : Status::failed, broken);
        }
        if (!real) {
            if (!(elapsed >= 0) || !std::isfinite(elapsed))
                fail(m, Status::invalid, fmt::format("predicted a time of {} s", elapsed));
            return;
        }
        if (judge) stopping.add(std::isfinite(elapsed) ? elapsed : -1);  // clocks differ: one rank decides for all
        if (hooks_.progress && mine.size() % 16 == 1) hooks_.progress(fmt::format("{} samples", mine.size()));
        if (verdict(together, stopping.finished()) > 0) break;
    }
    m.reason =
        stopping.finished() ? stopping.reason() : fmt::format("stopped from outside after {} samples", mine.size());
    if (together) m.reason = comm_.share(m.reason);
    if (!agree(together, !judge || stopping.finished()))
        fail(m, Status::timeout, m.reason);  // so that --resume repeats it
    if (!agree(together, !judge || stopping.verdict() != Stopping::Verdict::bad_sample))
        fail(m, Status::invalid, m.reason);
    if (stopping.verdict() == Stopping::Verdict::timeout && static_cast<int>(mine.size()) < p.min_samples)
        m.warnings.push_back(
            fmt::format("only {} of {} samples fitted into the timeout; the interval is wide. Raise protocol.timeout.",
                        mine.size(), p.min_samples));
    if (together) m.rank_samples_s = comm_.gather(mine);
}

/// Of all ranks: 0 to go on, 1 for enough, more for a stop from outside, which is remembered.
double Runner::verdict(bool together, bool finished) {
    const Stop asked = hooks_.stop ? hooks_.stop() : Stop::none;
    double found = asked != Stop::none ? 1 + static_cast<double>(asked) : finished ? 1 : 0;
    if (together && comm_.size() > 1) found = comm_.max(found);
    if (found >= 2) stopped_ = static_cast<Stop>(static_cast<int>(found) - 1);
    return found;
}

void Runner::collect(const ResourceUse& use, bool together, const Case& c, Measurement& m) {
    Comm& comm = comm_;
    m.memory = use.memory;
    m.communication = use.communication;
    for (const Grid& g : use.grids) m.grids.push_back(thinned(g));
    m.phases = use.phases;
    m.series = use.series;
    m.energy = use.energy;
    m.mapping = use.mapping.empty() ? c.mapping.text() : use.mapping;
    m.detail = use.detail;
    m.band = use.band;
    m.useful = use.useful;
    m.overhead = use.overhead;
    if (together && comm.size() > 1) {
        const auto all = comm.gather(numbers_of(use));
        if (comm.rank() != 0) return;
        if (!merge_ranks(all, m)) return fail(m, Status::failed, "ranks disagree on what they used");
    }
    const double wanted = c.graph->flops().si();
    if (m.status == Status::ok && std::abs(m.useful.si() - wanted) > 1e-9 * std::max(1.0, wanted))
        fail(m, Status::failed,
             fmt::format("useful work is not conserved: the graph has {:.17g} FLOP, the ranks were credited {:.17g}",
                         wanted, m.useful.si()));
}

std::string reproducer(const PlannedCase& planned, const std::string& arguments, int ranks) {
    std::string filter = planned.c.key.substr(0, planned.c.key.find(" | "));
    filter += fmt::format(" {} {} units={}", planned.c.backend, planned.c.system->id, planned.c.units);
    const std::string run = fmt::format("waferbench {} --filter '{}'", arguments, filter);
    return ranks > 1 ? fmt::format("mpirun -n {} {}", ranks, run) : run;
}

}  // namespace wb
