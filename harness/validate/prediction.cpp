#include "harness/validate/prediction.hpp"

#include <fmt/format.h>

#include <array>
#include <cmath>
#include <cstdio>

#include "core/error.hpp"
#include "core/program_times.hpp"

namespace wb {
namespace {

constexpr std::array unit_counts{1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 128, 256, 512, 576, 1024};

Case with_units(Case c, int units) {
    c.key += fmt::format(" x{}", units);
    c.units = units;
    return c;
}

Prediction unknown(std::string reason) { return {false, 0, std::move(reason)}; }

/// Unit by unit, "activations" or several parts joined: weights_grads_optimizer.
double held(const std::vector<MemoryUse>& memory, const std::string& component) {
    double bytes = 0;
    for (const MemoryUse& u : memory)
        if (component == u.level || (component == "weights_grads_optimizer" &&
                                     (u.level == "weights" || u.level == "gradients" || u.level == "optimizer")))
            bytes += u.peak.si();
    return bytes;
}

/// Whether a published row measured this very case.
bool same_work(const Point& p, const Case& c) {
    if (p.system != c.system->id || p.integer_or("gpus", 1) != c.units) return false;
    const auto number = [&](const char* key) { return c.params.has(key) ? c.params.integer(key) : 0; };
    if (c.workload == "gemm")
        return p.workload == "gemm" && p.metric == "time" && p.integer("m") == number("m") &&
               p.integer("n") == number("n") && p.integer("k") == number("k");
    return p.workload == c.workload && p.metric == "tokens_per_s" && p.word_or("model", "") == c.params.word("model") &&
           p.integer_or("input", 0) == number("seq") && p.integer_or("batch", 1) == number("batch");
}

double published_time_s(const Point& p, const Case& c) {
    if (p.metric == "time") return p.value;
    const double tokens = static_cast<double>(c.params.integer("batch")) *
                          (c.workload == "prefill" ? static_cast<double>(c.params.integer("seq")) : 1.0);
    return tokens / p.value;
}

}  // namespace

Predictor::Predictor(const BackendSet& backends, Comm& comm, Runner::Hooks hooks, Limits limits)
    : backends_(backends), comm_(comm), limits_(limits), runner_(backends, comm, std::move(hooks)) {}

Predictor::Answer Predictor::run(const Case& c, const std::string& backend) {
    PlannedCase planned;
    planned.c = c;
    planned.c.backend = backend;
    planned.backend = backends_.find(backend);
    planned.kind = planned.backend->kind();
    Answer a;
    if (planned.kind == Kind::simulated) {
        if (c.mapping.rows == 0 && planned.backend->takes_mesh()) {
            a.reason = "the row names no rectangle of PEs, and a part of the backend's choice would be another machine";
            return a;
        }
        const double cost = planned.backend->estimate_s(planned.c);
        if (cost > limits_.case_budget_s) {
            a.reason = fmt::format("would take about {:.3g} s to simulate; the budget of a case is {:.3g} s", cost,
                                   limits_.case_budget_s);
            return a;
        }
    }
    const Result r = runner_.run(planned);
    a.reason = r.m.reason;
    a.ok = r.m.status == Status::ok && !r.m.samples_s.empty();
    if (!a.ok) return a;
    a.time_s = r.median_s();
    a.memory = r.m.memory;
    if (r.m.energy) a.energy_J = r.m.energy->si();
    return a;
}

/// Rank 0 knows what a backend answered that ran there alone; all ranks must go on alike.
void Predictor::share(Answer& a) {
    if (comm_.size() == 1) return;
    const std::string all =
        comm_.share(fmt::format("{} {:.17g} {:.17g}\n{}", a.ok ? 1 : 0, a.time_s, a.energy_J.value_or(-1), a.reason));
    int ok = 0;
    double energy_J = 0;
    if (std::sscanf(all.c_str(), "%d %lf %lf", &ok, &a.time_s, &energy_J) != 3) return;
    a.ok = ok != 0;
    a.energy_J = energy_J < 0 ? std::nullopt : std::optional(energy_J);
    a.reason = all.substr(all.find('\n') + 1);
}

const Predictor::Answer& Predictor::ask(const Case& c, const std::string& backend) {
    const std::string key = backend + " " + c.key;
    auto at = times_.find(key);
    if (at == times_.end()) {
        at = times_.emplace(key, run(c, backend)).first;
        share(at->second);
    }
    return at->second;
}

Prediction Predictor::predict(const Question& question, const std::string& backend,
                              const std::vector<Point>& published) {
    if (!question.reason.empty()) return unknown(question.reason);
    try {
        if (question.asks == Question::Asks::memory) return memory(question, backend);
        if (question.asks == Question::Asks::energy_ratio) return energy_ratio(question, backend, published);
        if (question.asks == Question::Asks::program) return program(question, backend);
        if (question.asks == Question::Asks::cache_tokens) {
            Case c = question.terms.front().c;
            c.backend = backend;
            const auto tokens = backends_.find(backend)->cache_tokens(c);
            return tokens ? Prediction{true, *tokens, ""} : unknown("the backend does not say how long a cache fits");
        }
        if (!question.search_units) return time(question, backend);
        return search_units(question, backend);
    } catch (const std::exception& e) {
        return unknown(without_stop(e.what()));
    }
}

Prediction Predictor::program(const Question& q, const std::string& backend) {
    const auto* times = dynamic_cast<const ProgramTimes*>(backends_.find(backend));
    if (!times) return unknown(fmt::format("{} knows graphs of operators only", backend));
    const ProgramRound r = times->program(*q.system, q.facts);
    const std::map<std::string, double> values{{"time", r.seconds},
                                               {"steps_per_s", 1 / r.seconds},
                                               {"flop_per_s", r.flops / r.seconds},
                                               {"bandwidth", r.bytes / r.seconds},
                                               {"cycles", q.system->clock ? r.seconds * q.system->clock->value : 0}};
    const auto at = values.find(q.metric);
    if (at == values.end() || !(at->second > 0))
        return unknown(fmt::format("{} does not follow from one round", q.metric));
    return {true, at->second, r.assumed};
}

/// The fewest units whose time is within twice the best: those that need not fetch weights from afar.
Prediction Predictor::search_units(const Question& question, const std::string& backend) {
    std::vector<std::pair<int, Prediction>> found;
    Prediction first;  // refusal
    double best = 0;   // rate or 1 / time
    const auto goodness = [&](const Prediction& p) { return question.inverse ? p.value : 1 / p.value; };
    for (int units : unit_counts) {
        Question q = question;
        for (Term& t : q.terms) t.c = with_units(t.c, units);
        const Prediction p = time(q, backend);
        if (!p.known) {
            if (first.reason.empty()) first = p;
            continue;
        }
        best = std::max(best, goodness(p));
        found.emplace_back(units, p);
    }
    for (auto& [units, p] : found)
        if (goodness(p) >= best / 2) {
            p.reason = fmt::format("{}{}units not stated: {} assumed", question.note, question.note.empty() ? "" : "; ",
                                   units);
            return p;
        }
    return first;
}

Prediction Predictor::time(const Question& q, const std::string& backend) {
    double total = q.start_s;
    for (const Term& t : q.terms) {
        const Answer& a = ask(t.c, backend);
        if (!a.ok) return unknown(a.reason);
        total += t.weight * a.time_s;
    }
    if (q.moves) {
        const auto move = backends_.find(backend)->transition(q.terms[0].c, q.terms[1].c);
        if (!move) return unknown("the backend does not say what it takes to change the placement");
        total += move->si();
    }
    if (!(total > 0) || !std::isfinite(total)) return unknown(fmt::format("predicted a time of {} s", total));
    return {true, q.inverse ? q.factor / total : q.factor * total, q.note};
}

Prediction Predictor::memory(const Question& q, const std::string& backend) {
    Case c = q.terms.front().c;
    c.backend = backend;
    double bytes = held(backends_.find(backend)->memory_of(c), q.component);
    if (!(bytes > 0)) {
        const Answer& a = ask(q.terms.front().c, backend);
        if (!a.ok) return unknown(a.reason);
        bytes = held(a.memory, q.component);
    }
    if (bytes > 0) return {true, bytes, q.note};
    return unknown(fmt::format("the backend does not say what {} take", q.component));
}

/// Energy of the other side of a ratio: the power of its system file over a published time of the same work, else over
/// the time of the first model that knows the machine.
Predictor::Energy Predictor::reference_energy(const Question& q, const std::vector<Point>& published) {
    const Case& c = q.reference.front().c;
    const auto power = c.system->power.find("unit");
    const double watts = power == c.system->power.end() ? 0 : power->second.value * c.units;
    for (const Point& p : published)
        if (watts > 0 && same_work(p, c)) return {watts * published_time_s(p, c), "reference: time of " + p.id};
    for (const std::string& name : backends_.default_names(false)) {
        const Kind kind = backends_.find(name)->kind();
        if (kind == Kind::measured || kind == Kind::bound || !backends_.find(name)->suits(c.system->kind)) continue;
        double joules = watts * q.reference_start_s;
        bool known = true;
        for (const Term& t : q.reference) {
            const Answer& a = ask(t.c, name);
            known = known && a.ok && (a.energy_J || watts > 0);
            if (known) joules += t.weight * (a.energy_J ? *a.energy_J : watts * a.time_s);
        }
        if (known) return {joules, "reference: time by " + name};
    }
    return {};
}

Prediction Predictor::energy_ratio(const Question& q, const std::string& backend, const std::vector<Point>& published) {
    const Case& mine = q.terms.front().c;
    const Answer& a = ask(mine, backend);
    if (!a.ok) return unknown(a.reason);
    const auto power = mine.system->power.find("unit");
    if (!a.energy_J && power == mine.system->power.end()) return unknown("the backend gives no energy");
    const double energy_J = a.energy_J ? *a.energy_J : power->second.value * mine.units * a.time_s;
    const Energy theirs = reference_energy(q, published);
    if (!(theirs.joules > 0))
        return unknown(fmt::format("no point and no model gives the time on {}", q.reference[0].c.system->id));
    return {true, theirs.joules / energy_J, theirs.origin};
}

}  // namespace wb
