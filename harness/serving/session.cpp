#include "harness/serving/session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/resize.hpp"
#include "core/units.hpp"
#include "harness/declined.hpp"
#include "harness/serving/fleet.hpp"
#include "harness/serving/replica.hpp"

namespace wb::serving {
namespace {

class ServingSession final : public Session {
public:
    ServingSession(const Backend& backend, const Case& c, Comm& comm)
        : graph_(c.graph),
          system_(c.system),
          serving_(*serving_of(*c.graph)),
          first_(comm.rank() == 0 || !backend.collective()),
          modelled_(backend.kind() != Kind::measured && backend.kind() != Kind::bound) {
        const Divisions found = divisions(backend, c, serving_, comm.size());
        if (found.all.empty()) throw Error({"serve", found.refusal, "", ""});
        const StepGraphs graphs = step_graphs(*c.graph);
        const bool exact = backend.kind() != Kind::measured;  // one run says all
        std::string missed;
        for (const Division& d : found.all) {
            const auto times = std::make_shared<BackendSteps>(backend, d.replica, graphs.prefill, graphs.decode,
                                                              engine_time(backend, *c.system), comm);
            for (const std::int64_t together :
                 exact ? prompts_together(serving_, *times) : std::vector<std::int64_t>{1})
                try {
                    Fleet fleet = fleet_of(c, d);
                    fleet.engine.together = together;
                    if (exact) fleet.engine.max_batch = best_batch(d, serving_, *times);
                    consider(d, fleet, times, exact);
                } catch (const Declined& e) {  // others may attain it
                    missed = without_stop(e.what());
                }
        }
        if (!times_) throw Declined(Error::Parts{"", missed, "", ""});
    }

    Sample run() override {
        if (serving_.knee) {
            Knee k = knee_ ? std::move(*knee_) : find_knee(serving_, fleet_, *times_);
            knee_.reset();
            rate_ = k.rate_per_s;
            run_ = std::move(k.run);
            report_ = std::move(k.report);
        } else {
            run_ = serve(serving_.requests, fleet_, *times_);
            report_ = report(serving_, run_.served, run_.makespan_s);
        }
        Sample out{Seconds(run_.makespan_s), {}};
        const double parts[] = {run_.sum.prefill_s / fleet_.replicas,
                                (run_.sum.busy_s - run_.sum.prefill_s) / fleet_.replicas};
        for (int i = 0; i < 2; ++i) {
            Span s;
            s.resource = "phase";
            s.phase = i == 0 ? "prefill" : "decode";
            s.start = Seconds(i == 0 ? 0 : parts[0]);
            s.duration = Seconds(parts[i]);
            out.spans.push_back(s);
        }
        return out;
    }

    ResourceUse usage() const override {
        ResourceUse use;
        use.mapping = mapping();
        use.detail = detail();
        use.series = series_of(report_, run_.sum.moments);
        const double per_token = cache_bytes_per_token(*division_.replica.graph) / division_.replica.units;
        use.memory.push_back(
            {"weights", Bytes(0), weight_bytes(*division_.replica.graph) / division_.replica.units, Bytes(0)});
        const double batches = division_.in_flight;
        use.memory.push_back({"cache", Bytes(batches * division_.cache_tokens * per_token),
                              Bytes(batches * run_.sum.peak_cache_tokens * per_token), Bytes(0)});
        use.phases = phases();
        for (const PhaseUse& p : use.phases)
            if (first_) use.useful += p.useful;
        add_energy(use);
        return use;
    }

private:
    /// Keeps the one that serves most: requests per second at the knee, else with all there is to do.
    void consider(const Division& d, const Fleet& fleet, const std::shared_ptr<BackendSteps>& times, bool exact) {
        constexpr double hopeless = 0.5;  // of the best so far, with all there is to do: no knee makes up for that
        std::optional<Knee> knee;
        double rate = 0;
        const auto n = static_cast<double>(serving_.requests.size());
        if (exact && serving_.knee) {
            std::vector<Request> at_once = serving_.requests;
            for (Request& r : at_once) r.arrival_s = 0;
            if (n / serve(at_once, fleet, *times).makespan_s < hopeless * best_) return;
            knee = find_knee(serving_, fleet, *times);
            rate = knee->rate_per_s;
        } else if (exact) {
            rate = n / serve(serving_.requests, fleet, *times).makespan_s;
        }
        if (rate <= best_) return;
        best_ = rate;
        division_ = d;
        fleet_ = fleet;
        times_ = times;
        knee_ = std::move(knee);
    }

    Fleet fleet_of(const Case& c, const Division& d) const {
        Fleet out;
        out.engine = {serving_.policy, serving_.max_batch, serving_.token_budget, d.cache_tokens, 1, false};
        out.replicas = d.engines();
        if (serving_.policy == BatchPolicy::disaggregated) {
            const double share = std::round(serving_.prefill_share * d.engines());
            out.prefill_replicas = std::clamp(static_cast<int>(share), 1, d.engines() - 1);
            out.transfer_s_per_token = transfer_s_per_token(c, d);
        }
        return out;
    }

    std::vector<PhaseUse> phases() const {
        std::vector<PhaseUse> out;
        for (const char* name : {"prefill", "decode"})
            if (PhaseUse p = phase(name); p.times > 0) out.push_back(std::move(p));
        return out;
    }

    /// The useful work of a phase, as far as its tokens were really gone through.
    PhaseUse phase(const std::string& name) const {
        const bool reads = name == "prefill";
        std::int64_t wanted = 0;
        for (const Request& r : serving_.requests) wanted += reads ? r.input : r.output - 1;
        const auto requests = static_cast<std::int64_t>(serving_.requests.size());
        const std::int64_t done = reads ? run_.sum.prompt_tokens : run_.sum.new_tokens - requests;
        PhaseUse p;
        p.name = name;
        p.times = 0;
        for (const Phase& of : graph_->phases()) {
            if (of.name != name) continue;
            p.times += of.times;
            p.useful += of.graph->flops() * static_cast<double>(of.times);
        }
        if (wanted > 0) p.useful = p.useful * (static_cast<double>(done) / static_cast<double>(wanted));
        if (!first_) p.useful = Flops(0);
        p.time = p.fastest =
            Seconds((reads ? run_.sum.prefill_s : run_.sum.busy_s - run_.sum.prefill_s) / fleet_.replicas);
        return p;
    }

    /// Power as the system file states it, of all units: in steps that of work, between them that of waiting, which is
    /// the same where the file tells none. A measured server has no file to go by.
    void add_energy(ResourceUse& use) const {
        const auto work = system_->power.find("unit"), waiting = system_->power.find("idle");
        if (!modelled_ || work == system_->power.end()) return;
        const double units = division_.replica.units * division_.replicas, watts = units * work->second.value;
        double busy_s = 0;
        for (PhaseUse& p : use.phases) {
            p.energy = Joules(watts * p.time.si());
            busy_s += p.time.si();
        }
        const double idle_s = std::max(0.0, run_.makespan_s - busy_s),
                     idle_watts = waiting == system_->power.end() ? watts : units * waiting->second.value;
        use.energy = Joules(watts * busy_s + idle_watts * idle_s);
        const double tokens = report_.tokens_per_s * run_.makespan_s;
        if (tokens > 0)
            use.series.push_back(
                {"energy_per_token", "J", "of all units, over the new tokens", "1", {0}, {use.energy->si() / tokens}});
        use.series.push_back({"idle_energy", "J", "of it between steps", "1", {0}, {idle_watts * idle_s}});
    }

    std::string mapping() const {
        Mapping m = division_.replica.mapping;
        m.data = division_.replicas;
        return m.text();
    }

    std::string detail() const {
        std::string out = serving_line(use_series());
        ResourceUse use;
        use.phases = phases();
        add_energy(use);
        if (use.energy && !use.series.empty())
            out += fmt::format(", {} a token", format(Joules(use.series.front().values[0])));
        if (serving_.knee) out += fmt::format("; knee at {:.4g} requests/s", rate_);
        out += fmt::format("; {:.4g} sequences at once", run_.sum.mean_batch);
        if (division_.cache_tokens > 0)
            out += fmt::format(", {:.0f} % of {:.4g} tokens ({})",
                               100 * run_.sum.peak_cache_tokens / division_.cache_tokens, division_.cache_tokens,
                               division_.limit);
        if (fleet_.engine.max_batch != serving_.max_batch)
            out += fmt::format("; {} at most, more take longer for each", fleet_.engine.max_batch);
        if (fleet_.engine.together > 1) out += fmt::format("; prompts enter {} at a time", fleet_.engine.together);
        if (division_.in_flight > 1)
            out += fmt::format("; {} batches in flight in the stages of a replica", division_.in_flight);
        if (fleet_.prefill_replicas > 0)
            out += fmt::format("; {} of {} replicas read prompts", fleet_.prefill_replicas, fleet_.replicas);
        if (report_.excess > 1)
            out += fmt::format("; the service level is missed by a factor of {:.2f} at {:.3g} %", report_.excess,
                               100 * serving_.attained);
        return out + fmt::format("; {} steps of {} sizes", run_.sum.steps, times_->asked());
    }

    std::vector<Series> use_series() const { return series_of(report_, {}); }

    std::shared_ptr<const Graph> graph_;
    std::shared_ptr<const System> system_;
    Serving serving_;
    bool first_, modelled_;
    Division division_;
    std::shared_ptr<BackendSteps> times_;
    Fleet fleet_;
    std::optional<Knee> knee_;  ///< where it is known already
    FleetRun run_;
    Report report_;
    double rate_ = 0, best_ = -1;
};

}  // namespace

Support supports_serving(const Backend& backend, const Case& c, int ranks) {
    const Divisions found = divisions(backend, c, *serving_of(*c.graph), ranks);
    return found.all.empty() ? Support::no(found.refusal) : Support{};
}

std::unique_ptr<Session> prepare_serving(const Backend& backend, const Case& c, Comm& comm) {
    return std::make_unique<ServingSession>(backend, c, comm);
}

}  // namespace wb::serving
