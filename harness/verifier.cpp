#include "harness/verifier.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "core/error.hpp"
#include "core/generation.hpp"
#include "harness/agree.hpp"
#include "harness/composed_session.hpp"

namespace wb {
namespace {

constexpr double infinite = std::numeric_limits<double>::infinity();
constexpr double whole_limit = 3e8;  // FLOPs the judge does in a second or two

/// The case as the judge sees it: one rank and the whole graph, but for collectives, whose results depend on the ranks.
/// On a mesh the ranks of a bare collective are its PEs.
Case for_judge(Case c) {
    const bool bare = c.graph->ops().size() == 1 && c.graph->ops().front().kind == OpKind::collective;
    int ranks = c.mapping.rows > 0 ? c.mapping.rows * c.mapping.columns : c.mapping.tensor;
    if (ranks == 1) ranks = c.units;  // emulated: the mapping is left to the backend
    c.mapping = {};
    if (bare) c.mapping.tensor = ranks;
    return c;
}

double magnitude(const Output& o) {
    double largest = 0;
    for (double v : o.values)
        if (std::isfinite(v)) largest = std::max(largest, std::abs(v));
    return largest;
}

/// What a tensor is one of: "m" of every first moment, "v" of every second, "" of all others.
std::string family(const Output& o) {
    const std::size_t dot = o.name.rfind('.');
    const std::string suffix = dot == std::string::npos ? "" : o.name.substr(dot + 1);
    return suffix == "m" || suffix == "v" ? suffix : "";
}

/// Some gradients are zero by cancellation (a key's bias shifts all scores alike) and have no magnitude to measure by:
/// a moment is measured by at least a thousandth of the largest of its family, and by more where types are coarse: what
/// is left of the cancelled terms is their rounding.
std::map<std::string, double> family_floors(const Outputs& wanted, double tolerance) {
    const double share = std::max(1e-3, tolerance / 4);
    std::map<std::string, double> floor;
    for (const Output& o : wanted)
        if (const std::string f = family(o); !f.empty()) floor[f] = std::max(floor[f], share * magnitude(o));
    return floor;
}

/// The first moment of a weight, and below what it is rounding: the optimizer divides a gradient by its own magnitude,
/// so one that is zero but for rounding moves the weight by a full step in an arbitrary direction.
struct Moment {
    const Output* values = nullptr;
    double noise = 0;
    bool rounding(std::size_t i) const { return values && std::abs(values->values[i]) < noise; }
};

double tensor_error(const Output& got, const Output& wanted, double floor, const Moment& moment, std::size_t& where) {
    if (got.values.size() != wanted.values.size()) return infinite;
    double largest = std::max(magnitude(wanted), floor), squares = 0, worst = 0;
    if (largest == 0) largest = 1;
    for (std::size_t i = 0; i < got.values.size(); ++i) {
        const double a = got.values[i], b = wanted.values[i];
        double d = a == b ? 0 : std::abs(a - b) / largest;  // equal infinities are equal
        if (moment.rounding(i) && d < 0.1) d = 0;
        if (!(d <= worst)) worst = d, where = i;
        if (!(d < infinite)) return infinite;
        squares += d * d;
    }
    // A single element may be off by more than the mean: optimizers divide by small numbers.
    return std::max(std::sqrt(squares / static_cast<double>(got.values.size())), worst / 4);
}

}  // namespace

double tolerance_of(const Graph& graph) {
    double roundoff = 0;
    for (const Graph* leaf : graph.leaves())
        for (const Tensor& t : leaf->tensors()) roundoff = std::max(roundoff, unit_roundoff(t.dtype));
    if (roundoff <= unit_roundoff(DType::f64)) return 1e-11;
    if (roundoff <= unit_roundoff(DType::f32)) return 1e-4;
    return (roundoff > unit_roundoff(DType::bf16) ? 2 : 8) * roundoff;
}

double compare_outputs(const Outputs& got, const Outputs& wanted, double tolerance, std::string& worst) {
    std::map<std::pair<std::size_t, std::int64_t>, const Output*> by_id;
    for (const Output& o : got) by_id[{index(o.tensor), o.instance}] = &o;
    double error = 0;
    std::map<std::string, double> floors = family_floors(wanted, tolerance);
    std::map<std::pair<std::string, std::int64_t>, const Output*> moments;
    for (const Output& w : wanted)
        if (family(w) == "m") moments[{w.name, w.instance}] = &w;
    for (const Output& w : wanted) {
        const auto it = by_id.find({index(w.tensor), w.instance});
        std::size_t where = 0;
        const auto m = moments.find({w.name + ".m", w.instance});
        const Moment moment = m == moments.end() || m->second->values.size() != w.values.size()
                                  ? Moment{}
                                  : Moment{m->second, 10 * tolerance * floors["m"]};
        // A second moment is a square: its relative error is twice that of what was squared.
        const double square = family(w) == "v" ? 0.5 : 1;
        const double e =
            it == by_id.end() ? infinite : square * tensor_error(*it->second, w, floors[family(w)], moment, where);
        if (!(e <= error)) {
            error = e;
            worst = it == by_id.end()
                        ? fmt::format("{}[{}] is missing", w.name, w.instance)
                        : fmt::format("{}[{}] element {} is {:.9g}, should be {:.9g}", w.name, w.instance, where,
                                      where < it->second->values.size() ? it->second->values[where] : NAN,
                                      where < w.values.size() ? w.values[where] : NAN);
        }
    }
    if (wanted.empty()) {
        worst = "the judge has no outputs";
        return infinite;
    }
    return error;
}

namespace {

/// Tokens as the judge chooses them, from the logits it finds; a sequence is followed for as long as both choose alike.
/// Where they differ, the judge must hold the two for as good but for rounding.
double compare_generated(const Outputs& got, const Outputs& wanted, std::string& worst) {
    const auto find = [](const Outputs& all, const char* name, std::int64_t number) -> const std::vector<double>* {
        for (const Output& o : all)
            if (o.name == name && o.instance == number) return &o.values;
        return nullptr;
    };
    double error = 0;
    const std::vector<double>* first = find(wanted, "tokens", 0);
    std::vector<bool> apart(first ? first->size() : 0, false);
    std::int64_t number = 0;
    for (; const std::vector<double>* tokens = find(wanted, "tokens", number); ++number) {
        const auto *mine = find(got, "tokens", number), *theirs = find(wanted, "logits", number);
        const auto* logits = find(got, "logits", number);
        if (!mine || !theirs || mine->size() != tokens->size() || (logits && logits->size() != theirs->size())) break;
        const std::size_t ids = theirs->size() / tokens->size();
        double largest = 1e-300;
        for (const double x : *theirs) largest = std::max(largest, std::abs(x));
        for (std::size_t s = 0; s < tokens->size(); ++s) {
            if (apart[s]) continue;
            double e = 0;
            for (std::size_t i = s * ids; logits && i < (s + 1) * ids; ++i) {
                const double d = std::abs((*logits)[i] - (*theirs)[i]) / (4 * largest);
                e = std::isfinite(d) ? std::max(e, d) : infinite;
            }
            const double id = (*mine)[s], should = (*tokens)[s];
            if (id != should) {
                apart[s] = true;
                const bool known = id >= 0 && id < static_cast<double>(ids);
                const auto logit = [&](double of) { return (*theirs)[s * ids + static_cast<std::size_t>(of)]; };
                e = std::max(e, known ? std::abs(logit(should) - logit(id)) / (8 * largest) : infinite);
            }
            if (!(e <= error)) {
                error = std::isfinite(e) ? e : infinite;
                worst = id == should
                            ? fmt::format("logits of token {} of sequence {} are wrong", number, s)
                            : fmt::format("token {} of sequence {} is {}, should be {}", number, s, id, should);
            }
        }
    }
    if (number > 0 && !find(wanted, "tokens", number)) return error;
    worst = fmt::format("token {} is missing", number);
    return infinite;
}

/// A generation at its small size, from the prompt to the last token, where the backend takes it whole.
Verification verify_generated(const Case& c, const Backend& backend, const Backend& judge, Comm& comm) {
    Case at = c;
    at.graph = c.small;
    at.storage.reset();
    if (at.params.has("temperature")) at.params.set("temperature", 0.0);  // a draw has no second best
    Verification v{true, "tokens generated, and their logits, against the reference", 0, tolerance_of(*at.graph)};
    std::string problem;
    std::optional<Outputs> got;
    bool mine = true;
    try {
        std::unique_ptr<Session> session;
        agreed(comm, [&] { session = backend.prepare(at, comm); });
        agreed(comm, [&] {
            session->poison();
            session->run();
        });
        got = session->outputs();
    } catch (const std::exception& e) {
        mine = false;
        problem = e.what();
    }
    const bool ran = comm.all(mine);
    if (ran && comm.rank() == 0) {
        try {
            const auto session = judge.prepare(for_judge(at), *single_process());
            session->run();
            v.error = compare_generated(got.value_or(Outputs{}), session->outputs().value(), problem);
        } catch (const std::exception& e) {
            v.error = infinite;
            problem = e.what();
        }
    }
    const bool ok = comm.all(ran && v.error <= v.tolerance);
    if (!ok) {
        v.error = v.error > v.tolerance ? v.error : infinite;
        std::string text;
        for (const std::string& s : comm.gather(problem))
            if (text.empty()) text = s;
        v.method = comm.share(fmt::format("FAILED {}: {}", v.method, text));
    }
    return v;
}

/// Every distinct phase on its own: the first that fails, else the largest error.
Verification verify_phases(const Case& c, const Backend& backend, const Backend& judge, Comm& comm) {
    Verification worst;
    std::vector<const Graph*> done;
    for (const Phase& p : c.small->phases()) {
        if (std::find(done.begin(), done.end(), p.graph.get()) != done.end()) continue;
        done.push_back(p.graph.get());
        if (p.graph->tensors().empty()) continue;  // compiles only
        Case at = case_of(c, p.graph);
        at.mapping.rows = at.mapping.columns = 0;
        Verification v = verify_case(at, backend, judge, comm);
        v.method = p.name + ": " + v.method;
        if (!(v.error <= v.tolerance)) return v;
        if (worst.method.empty() || v.error > worst.error) {
            v.done = v.done || worst.done;
            worst = v;
        }
    }
    const bool generates = backend.composes() && generation_of(*c.small).has_value();
    if (generates) {
        Verification v = verify_generated(c, backend, judge, comm);
        if (!(v.error <= v.tolerance)) return v;
        if (v.error > worst.error) worst = v;
    }
    if (!worst.method.empty())
        worst.method = fmt::format("each phase{} at {}; worst {}", generates ? ", and the tokens generated," : "",
                                   c.small_text, worst.method);
    return worst;
}

}  // namespace

Verification verify_case(const Case& c, const Backend& backend, const Backend& judge, Comm& comm) {
    if (!c.graph->phases().empty()) return verify_phases(c, backend, judge, comm);
    Verification v;
    v.done = true;
    Case at = c;
    at.storage.reset();  // the judge has the hashed tokens only
    const bool whole = c.graph->flops().si() <= whole_limit || c.small == c.graph;
    if (!whole) {
        at.graph = c.small;
        v.method = "against the reference at " + c.small_text;
    } else {
        v.method = "whole result against the reference";
    }
    v.tolerance = tolerance_of(*at.graph);
    std::string problem;
    std::optional<Outputs> got;
    bool mine = true;
    try {
        std::unique_ptr<Session> session;
        agreed(comm, [&] {
            const Support s = supports(backend, at, comm.size());
            if (!s.yes) throw std::runtime_error(s.reason);
        });
        agreed(comm, [&] { session = prepare(backend, at, comm); });
        agreed(comm, [&] {
            session->poison();
            session->run();
        });
        got = session->outputs();
    } catch (const std::exception& e) {
        mine = false;
        problem = e.what();
    }
    const bool ran = comm.all(mine);
    bool passed = false;
    std::string worst;
    if (ran && comm.rank() == 0) {
        try {
            if (!got) {
                v.done = false;
                v.method = "exact: computes no outputs";
                passed = true;
            } else {
                const auto session = judge.prepare(for_judge(at), *single_process());
                session->run();
                v.error = compare_outputs(*got, session->outputs().value(), v.tolerance, worst);
                passed = v.error <= v.tolerance;  // false for NaN
                if (!passed) problem = worst;
            }
        } catch (const std::exception& e) {
            problem = e.what();
        }
    }
    if (!ran && comm.rank() == 0) v.error = infinite;
    const bool ok = comm.all(comm.rank() != 0 || passed);
    if (!ok) {
        v.error = std::isfinite(v.error) && v.error > v.tolerance ? v.error : infinite;
        std::string text;
        for (const std::string& s : comm.gather(problem))
            if (text.empty()) text = s;
        v.method = comm.share(fmt::format("FAILED {}: {}", v.method, text));
    } else {
        v.done = comm.share(v.done ? "1" : "0") == "1";
        v.method = comm.share(v.method);
    }
    return v;
}

void check_full_size(const Case& c, Session& session, const Backend& judge, Comm& comm, Verification& v) {
    agreed(comm, [&] {
        session.poison();
        session.run();
    });
    const std::optional<Outputs> got = session.declared_outputs();
    std::string problem;
    if (comm.rank() == 0 && got) {
        double largest = 0;
        for (const Output& o : *got) {
            largest = std::max(largest, magnitude(o));
            const auto bad = std::find_if(o.values.begin(), o.values.end(), [](double x) { return !std::isfinite(x); });
            if (bad != o.values.end() && problem.empty())
                problem = fmt::format("{}[{}] element {} is {} at full size", o.name, o.instance,
                                      bad - o.values.begin(), *bad);
        }
        const std::vector<SpotValue> spots = problem.empty() ? judge.spot_values(c, 64) : std::vector<SpotValue>{};
        const double tolerance = tolerance_of(*c.graph);
        for (const SpotValue& s : spots) {
            const auto o =
                std::find_if(got->begin(), got->end(), [&](const Output& x) { return x.tensor == s.tensor; });
            const double found = o == got->end() ? NAN : o->values[static_cast<std::size_t>(s.element)];
            const double error = std::abs(found - s.value) / (largest > 0 ? largest : 1);
            if (!(error <= 4 * tolerance) && problem.empty())
                problem = fmt::format("element {} is {:.9g} at full size, should be {:.9g}", s.element, found, s.value);
            v.error = std::max(v.error, error / 4);
        }
        v.method += spots.empty() ? "; finite at full size" : fmt::format("; {} elements at full size", spots.size());
    }
    problem = comm.share(problem);
    v.method = comm.share(v.method);
    if (problem.empty()) return;
    v.error = infinite;
    v.method = fmt::format("FAILED {}: {}", v.method, problem);
}

}  // namespace wb
