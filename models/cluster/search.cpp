#include "models/cluster/search.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "core/error.hpp"
#include "core/units.hpp"

namespace wb::cluster {

/// All that depends on the count of tensor ranks.
struct Planner::Tensor {
    int ranks = 1;
    std::shared_ptr<const Part> part;
    std::map<std::tuple<std::int64_t, int, bool>, ModelWork> work;  ///< by shares of the tokens, expert ranks, sp
};

Planner::Planner(std::shared_ptr<const Graph> graph, const Device& device, Parts& parts)
    : graph_(std::move(graph)), device_(device), parts_(parts), shape_(shape_of(*graph_)), constants_(device) {}
Planner::Planner(const Graph& graph, const Device& device)
    : Planner(std::shared_ptr<const Graph>(std::shared_ptr<const Graph>(), &graph), device, own_) {}
Planner::~Planner() = default;

Planner::Tensor& Planner::tensor(int ranks) {
    for (const auto& t : tensors_)
        if (t->ranks == ranks) return *t;
    auto t = std::make_unique<Tensor>();
    t->ranks = ranks;
    t->part = parts_.of(graph_, device_, ranks);
    tensors_.push_back(std::move(t));
    return *tensors_.back();
}

const Partition& Planner::part(int ranks) { return tensor(ranks).part->cut; }

const ModelMemory& Planner::memory(int ranks) { return tensor(ranks).part->memory; }

const ModelWork& Planner::work(const Mapping& m) {
    Tensor& t = tensor(m.tensor);
    const std::int64_t shares = static_cast<std::int64_t>(m.data) * m.context * m.expert * m.microbatches;
    const auto key = std::tuple(shares, m.expert, m.sequence_parallel);
    const auto found = t.work.find(key);
    return found != t.work.end() ? found->second
                                 : t.work.emplace(key, model_work(t.part->cut.local, device_, m)).first->second;
}

Candidate Planner::evaluate(const Mapping& m) {
    const ModelWork& w = work(m);
    return {m, compose(w, exchange(w, device_, m), constants_, device_, m), footprint(memory(m.tensor), m)};
}

namespace {

std::vector<int> divisors(std::int64_t n) {
    std::vector<int> out;
    for (std::int64_t d = 1; d * d <= n; ++d)
        if (n % d == 0) {
            out.push_back(static_cast<int>(d));
            if (d * d != n) out.push_back(static_cast<int>(n / d));
        }
    std::sort(out.begin(), out.end());
    return out;
}

using Ranks = std::tuple<int, int, int, int, int>;
Ranks ranks_of(const Mapping& m) { return {m.tensor, m.pipeline, m.data, m.context, m.expert}; }

}  // namespace

/// One search: loops from the slow choices to the quick ones.
class Planner::Walk {
public:
    Walk(Planner& p, int units, int most_shared, bool offload)
        : p_(p), shape_(p.shape_), units_(units), most_shared_(most_shared), offload_(offload) {
        found_.capacity = unit_capacity(p.device_.system());
        hosted_ = p.constants_.host.share(units);
    }

    Found run() {
        for (const int tp : divisors(units_)) {
            if (!lawful_tensor(shape_, tp)) continue;
            try {
                p_.part(tp);
            } catch (const Error&) {
                continue;  // some weight has fewer parts than ranks
            }
            for (const int pp : divisors(units_ / tp))
                if (lawful_pipeline(shape_, pp)) spread(tp, pp);
        }
        for (const auto& [ranks, c] : families_)
            if (found_.best && ranks != ranks_of(found_.best->mapping)) found_.others.push_back(c);
        std::sort(found_.others.begin(), found_.others.end(),
                  [](const Candidate& a, const Candidate& b) { return a.step.time < b.step.time; });
        constexpr std::size_t told = 3;
        if (found_.others.size() > told) found_.others.resize(told);
        if (found_.best && found_.too_large && found_.too_large->step.time >= found_.best->step.time)
            found_.too_large.reset();
        return std::move(found_);
    }

private:
    void spread(int tp, int pp) {
        Mapping m;
        m.offload = offload_;
        m.tensor = tp;
        m.pipeline = pp;
        const int rest = units_ / tp / pp;
        for (const int cp : divisors(rest)) {
            if (!lawful_context(shape_, cp)) continue;
            for (const int ep : divisors(rest / cp)) {
                m.context = cp;
                m.expert = ep;
                m.data = rest / cp / ep;
                const std::int64_t replicas = static_cast<std::int64_t>(m.data) * ep;
                if (!lawful_expert(shape_, ep) || shape_.batch % replicas != 0) continue;
                microbatches(m, shape_.batch / replicas);
            }
        }
    }

    void microbatches(Mapping m, std::int64_t sequences) {
        for (const int mb : divisors(sequences)) {
            m.microbatches = mb;
            for (const bool sp : {false, true}) {
                m.sequence_parallel = sp;
                if (sp && m.tensor == 1) continue;
                const ModelWork& work = p_.work(m);
                m.shard = 3;  // with all that any way of sharing exchanges
                const Exchange x = exchange(work, p_.device_, m);
                runs(m, work, x);
            }
        }
    }

    void runs(Mapping m, const ModelWork& work, const Exchange& x) {
        const bool one = m.pipeline == 1 || m.microbatches % m.pipeline != 0 || !shape_.training;
        const int most = one ? 1 : static_cast<int>(shape_.layers) / m.pipeline;
        for (int vp = 1; vp <= most; ++vp) {
            if (!lawful_pipeline(shape_, m.pipeline * vp)) continue;
            m.virtual_stages = vp;
            using Recompute = Mapping::Recompute;
            for (const Recompute r : {Recompute::none, Recompute::selective, Recompute::full}) {
                if (r != Recompute::none && !shape_.training) continue;
                m.recompute = r;
                const int share = shape_.training && m.data * m.context * m.expert > 1 ? most_shared_ : 0;
                for (m.shard = 0; m.shard <= share; ++m.shard) judge(m, work, x);
            }
        }
    }

    void judge(const Mapping& m, const ModelWork& work, const Exchange& x) {
        ++found_.lawful;
        const Footprint f = footprint(p_.memory(m.tensor), m);
        const double bytes = f.total();
        const bool held = found_.capacity == 0 || bytes <= found_.capacity, fits = held && f.hosted() <= hosted_;
        if (!fits && !found_.best && nearer(f, held)) found_.smallest = Candidate{m, {}, f};
        ++found_.evaluated;
        const ModelStep step = compose(work, x, p_.constants_, p_.device_, m);
        if (!fits) {
            if (!held && (!found_.too_large || step.time < found_.too_large->step.time))
                found_.too_large = Candidate{m, step, f};
            return;
        }
        if (!found_.best || better(step, f, *found_.best)) found_.best = Candidate{m, step, f};
        const auto family = families_.find(ranks_of(m));
        if (family == families_.end())
            families_.emplace(ranks_of(m), Candidate{m, step, f});
        else if (better(step, f, family->second))
            family->second = {m, step, f};
    }

    /// Than the nearest so far: it fits the unit (`held`) and needs less of the host, or needs less of the unit.
    bool nearer(const Footprint& f, bool held) const {
        if (!found_.smallest) return true;
        const Footprint& than = found_.smallest->memory;
        const bool was_held = found_.capacity == 0 || than.total() <= found_.capacity;
        if (held != was_held) return held;
        return held ? f.hosted() < than.hosted() : f.total() < than.total();
    }

    /// Faster, or as fast with less memory.
    static bool better(const ModelStep& step, const Footprint& f, const Candidate& than) {
        if (step.time != than.step.time) return step.time < than.step.time;
        return f.total() < than.memory.total();
    }

    Planner& p_;
    const ModelShape& shape_;
    int units_, most_shared_;
    bool offload_;
    double hosted_ = 0;  ///< bytes of host memory for a unit
    Found found_;
    std::map<Ranks, Candidate> families_;
};

Found Planner::search(int units, int most_shared) {
    Found on_units = Walk(*this, units, most_shared, false).run();
    const Host& host = constants_.host;
    if (on_units.best || !on_units.smallest || !shape_.training || host.memory == 0 || host.link == 0) return on_units;
    Found with_hosts = Walk(*this, units, most_shared, true).run();
    with_hosts.kept = on_units.lawful;
    return with_hosts;
}

namespace {

struct Part {
    const char* name;
    double ModelStep::*seconds;
};
constexpr Part parts[] = {{"compute", &ModelStep::compute},
                          {"tensor-parallel calls", &ModelStep::tensor_network},
                          {"context-parallel calls", &ModelStep::context_network},
                          {"pipeline sends", &ModelStep::pipeline_network},
                          {"pipeline bubble", &ModelStep::bubble},
                          {"gradients", &ModelStep::data_network},
                          {"gradients to the host", &ModelStep::host},
                          {"update", &ModelStep::update}};

/// The part in which `other` loses most.
std::string reason(const Candidate& other, const Candidate& best) {
    const Part* worst = &parts[0];
    for (const Part& p : parts)
        if (other.step.*p.seconds - best.step.*p.seconds > other.step.*worst->seconds - best.step.*worst->seconds)
            worst = &p;
    return fmt::format("{} more in {}", format(Seconds(other.step.*worst->seconds - best.step.*worst->seconds)),
                       worst->name);
}

}  // namespace

std::string Found::text() const {
    if (!best) return "";
    std::string out = fmt::format("best of {} lawful mappings", lawful);
    if (kept > 0) out += fmt::format(" that offload, as none of {} fits without", kept);
    for (const Candidate& c : others)
        out += fmt::format("; {}: {}, {}", c.mapping.text(), format(Seconds(c.step.time)), reason(c, *best));
    if (too_large)
        out += fmt::format("; {}: {}, but needs {} of {}", too_large->mapping.text(),
                           format(Seconds(too_large->step.time)), format(Bytes(too_large->memory.total())),
                           format(Bytes(capacity)));
    return out;
}

}  // namespace wb::cluster
