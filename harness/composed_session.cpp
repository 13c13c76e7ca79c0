#include "harness/composed_session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/serving.hpp"
#include "harness/serving/session.hpp"

namespace wb {
namespace {

bool whole(const Backend& backend, const Case& c) { return c.graph->phases().empty() || backend.composes(); }

/// The resource that is busy longest, of what a run of one phase shows; only the whole of a phase is no resource.
std::string limit_of(const std::vector<Span>& spans) {
    std::map<std::string, double> busy;
    for (const Span& s : spans)
        if (!s.resource.starts_with("stage ")) busy[s.resource] += s.duration.si();
    const auto longest =
        std::max_element(busy.begin(), busy.end(), [](const auto& a, const auto& b) { return a.second < b.second; });
    return longest == busy.end() ? "" : longest->first;
}

class ComposedSession final : public Session {
public:
    ComposedSession(const Backend& backend, const Case& c, Comm& comm)
        : graph_(c.graph), real_(backend.kind() == Kind::measured) {
        const bool open = c.mapping.text() == "1";
        const auto heaviest =
            std::max_element(graph_->phases().begin(), graph_->phases().end(),
                             [](const Phase& a, const Phase& b) { return a.graph->flops() < b.graph->flops(); });
        if (open && !real_) {
            parts_[heaviest->graph.get()] = backend.prepare(case_of(c, heaviest->graph), comm);
            mapping_ = parts_[heaviest->graph.get()]->usage().mapping;
        }
        for (const Phase& p : graph_->phases())
            if (std::unique_ptr<Session>& part = parts_[p.graph.get()]; !part)
                part = prepared(backend, c, p, open, comm);
        times_.resize(graph_->phases().size());
    }

    Sample run() override {
        Sample out;
        std::map<const Graph*, Sample> known;
        for (std::size_t i = 0; i < times_.size(); ++i) {
            const Phase& p = graph_->phases()[i];
            Session& session = *parts_.at(p.graph.get());
            Sample once;
            double sum = 0;
            if (real_) {
                for (std::int64_t k = 0; k < p.times; ++k) sum += (once = session.run()).elapsed.si();
            } else {
                if (!known.contains(p.graph.get())) known[p.graph.get()] = session.run();
                once = known[p.graph.get()];
                sum = once.elapsed.si() * static_cast<double>(p.times);
            }
            times_[i] = {Seconds(sum), limit_of(once.spans)};
            Span span;
            span.resource = "phase";
            span.phase = p.name;
            span.start = out.elapsed;
            span.duration = Seconds(sum);
            span.flops = p.graph->flops() * static_cast<double>(p.times);
            out.spans.push_back(span);
            for (Span s : once.spans) {
                s.phase = p.name + ": " + s.phase;
                s.start += out.elapsed;
                out.spans.push_back(std::move(s));
            }
            out.elapsed += Seconds(sum);
            if (once.problem.empty()) continue;
            out.problem = p.name + ": " + once.problem;
            break;
        }
        return out;
    }

    ResourceUse usage() const override {
        ResourceUse use;
        double low = 0, high = 0, all = 0;
        std::map<const Graph*, ResourceUse> of;
        for (const auto& [graph, session] : parts_) of[graph] = session->usage();
        for (std::size_t i = 0; i < times_.size(); ++i) {
            const Phase& p = graph_->phases()[i];
            const ResourceUse& u = of.at(p.graph.get());
            const double times = static_cast<double>(p.times), seconds = times_[i].time.si();
            add_memory(use, u);
            add_calls(use.communication, u.communication, p.times);
            use.useful += u.useful * times;
            use.overhead += u.overhead * times;
            if (u.energy) use.energy = use.energy.value_or(Joules(0)) + *u.energy * times;
            low += seconds * u.band.low, high += seconds * u.band.high, all += seconds;
            describe(use, p, u, times_[i].time, times_[i].limit);
        }
        if (all > 0) use.band = {low / all, high / all, ""};
        use.mapping = mapping_.empty() ? of.at(graph_->phases().front().graph.get()).mapping : mapping_;
        const auto longest = std::max_element(times_.begin(), times_.end(),
                                              [](const Taken& a, const Taken& b) { return a.time < b.time; });
        const Phase& decides = graph_->phases()[static_cast<std::size_t>(longest - times_.begin())];
        use.detail = fmt::format("{}: {}", decides.name, of.at(decides.graph.get()).detail);
        return use;
    }

private:
    struct Taken {
        Seconds time;
        std::string limit;
    };

    std::unique_ptr<Session> prepared(const Backend& backend, const Case& c, const Phase& p, bool open,
                                      Comm& comm) const {
        if (open && !mapping_.empty()) try {
                Case kept = case_of(c, p.graph);
                kept.mapping = Mapping::parse(mapping_);
                if (backend.supports(kept, comm.size()).yes) return backend.prepare(kept, comm);
            } catch (const std::exception&) {  // a phase that cannot be spread like that is spread its own way
            }
        return backend.prepare(case_of(c, p.graph), comm);
    }

    static void add_memory(ResourceUse& use, const ResourceUse& u) {
        for (const MemoryUse& m : u.memory) {
            const auto same = std::find_if(use.memory.begin(), use.memory.end(),
                                           [&](const MemoryUse& x) { return x.level == m.level; });
            if (same == use.memory.end()) {
                use.memory.push_back(m);
            } else {
                same->peak = std::max(same->peak, m.peak);
                same->traffic += m.traffic;
            }
        }
    }

    static void describe(ResourceUse& use, const Phase& p, const ResourceUse& u, Seconds time,
                         const std::string& limit) {
        std::vector<CommUse> calls;
        add_calls(calls, u.communication, p.times);
        PhaseUse& at = add_phase(use.phases, p.name, p.times, calls);
        at.band = u.band;
        at.time += time;
        at.fastest = at.time;
        Bytes held;
        for (const MemoryUse& m : u.memory)
            if (!m.level.starts_with("process")) held += m.peak;
        at.memory = std::max(at.memory, held);
        const double times = static_cast<double>(p.times);
        if (u.energy) at.energy = at.energy.value_or(Joules(0)) + *u.energy * times;
        at.useful += u.useful * times;
        at.limit = limit;
    }

    std::shared_ptr<const Graph> graph_;
    bool real_;
    std::string mapping_;
    std::map<const Graph*, std::unique_ptr<Session>> parts_;
    std::vector<Taken> times_;  // by phase, of the last run
};

}  // namespace

Case case_of(const Case& whole, const std::shared_ptr<const Graph>& phase) {
    Case c = whole;
    c.graph = c.small = phase;
    c.small_text.clear();
    c.storage.reset();
    return c;
}

Support supports(const Backend& backend, const Case& c, int ranks) {
    if (serving_of(*c.graph)) return serving::supports_serving(backend, c, ranks);
    if (whole(backend, c)) return backend.supports(c, ranks);
    std::map<const Graph*, bool> asked;
    for (const Phase& p : c.graph->phases()) {
        if (asked[p.graph.get()]) continue;
        asked[p.graph.get()] = true;
        const Support s = backend.supports(case_of(c, p.graph), ranks);
        if (!s.yes) return Support::no(fmt::format("{}: {}", p.name, s.reason));
    }
    return {};
}

std::unique_ptr<Session> prepare(const Backend& backend, const Case& c, Comm& comm) {
    if (serving_of(*c.graph)) return serving::prepare_serving(backend, c, comm);
    if (whole(backend, c)) return backend.prepare(c, comm);
    return std::make_unique<ComposedSession>(backend, c, comm);
}

}  // namespace wb
