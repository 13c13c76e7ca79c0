#include "kernels/cpu/generating.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <map>

#include "core/error.hpp"
#include "kernels/cpu/energy.hpp"

namespace wb::cpu {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kept_tokens = 8;     // whose logits a judge gets
constexpr std::int64_t told_sequences = 8;  // whose tokens are told, where they were asked something

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

Case case_of(const Case& whole, const std::shared_ptr<const Graph>& graph) {
    Case c = whole;
    c.graph = c.small = graph;
    return c;
}

/// The best of some candidates for a token, as ranks send it to each other.
struct Best {
    double score = -std::numeric_limits<double>::infinity(), id = -1;

    void consider(double other, double of) {
        if (id < 0 ? other > score : other > score || (other == score && of < id)) score = other, id = of;
    }
};

template <class T>
Best best_of(const T* logits, std::int64_t columns, std::int64_t first_id, const TokenChoice& choice,
             std::int64_t token, std::int64_t sequence) {
    Best out;
    for (std::int64_t j = 0; j < columns; ++j) {
        const std::int64_t id = first_id + j;
        out.consider(choice.score(to_float(logits[j]), token, sequence, id), static_cast<double>(id));
    }
    return out;
}

}  // namespace

GenerationPrograms::GenerationPrograms(const Generation& g)
    : prefill(std::make_shared<const Graph>(resized(*g.prefill, g.prompt, g.tokens - 1))),
      decode(std::make_shared<const Graph>(g.step(g.tokens - 1))) {}

GeneratingSession::GeneratingSession(const Case& c, const Generation& generation, Comm& comm, int threads)
    : case_(c),
      generation_(generation),
      programs_(generation),
      choice_{c.params.has("temperature") ? c.params.number("temperature") : 0, c.seed},
      comm_(comm),
      prefill_(case_of(c, programs_.prefill), comm, threads, &pool_),
      decode_(case_of(c, programs_.decode), comm, threads, &pool_) {
    pool_.fill(c.seed, comm.rank(), threads);
    for (const Phase& p : c.graph->phases()) {
        const Graph local = part_of(*p.graph, c.mapping, comm.rank()).local;
        const auto times = static_cast<double>(p.times);
        taken_.push_back({{}, {}, {}, {}, local.flops() * times, repeated_work(local) * times});
    }
    read_prompt();
}

void GeneratingSession::read_prompt() {
    if (!case_.storage || !case_.storage->dataset()) return;
    std::vector<std::int32_t> ids(static_cast<std::size_t>(generation_.prompt.batch * generation_.prompt.step));
    case_.storage->read_tokens(Split::training, 0, ids);
    prefill_.put("tokens", ids);
}

Sample GeneratingSession::run() {
    tokens_.clear();
    kept_.clear();
    const MissCounter misses;
    Sample out;
    for (std::size_t i = 0; i < taken_.size(); ++i) {
        const Phase& p = case_.graph->phases()[i];
        Taken& taken = taken_[i];
        taken.energy.reset();
        taken.communication.clear();
        const auto start = Clock::now();
        const std::optional<Joules> before = package_energy();
        const std::optional<Bytes> missed = misses.read();
        for (std::int64_t k = 0; k < p.times; ++k) one_token(i == 0 ? prefill_ : decode_, taken);
        taken.time = Seconds(seconds_since(start));
        if (const std::optional<Joules> after = package_energy(); before && after && *after >= *before)
            taken.energy = *after - *before;
        taken.missed.reset();
        if (const std::optional<Bytes> after = misses.read(); missed && after) taken.missed = *after - *missed;
        Span span;
        span.resource = "phase";
        span.phase = p.name;
        span.start = out.elapsed;
        span.duration = taken.time;
        span.flops = p.graph->flops() * static_cast<double>(p.times);
        out.spans.push_back(span);
        out.elapsed += taken.time;
    }
    judged_ = false;
    return out;
}

void GeneratingSession::one_token(CpuSession& session, Taken& taken) {
    if (!tokens_.empty()) {
        session.lack(generation_.tokens - 1 - static_cast<std::int64_t>(tokens_.size()));
        session.put("tokens", tokens_.back());
    }
    session.run();
    add_calls(taken.communication, session.communication());
    tokens_.push_back(choose(session, taken));
    if (judged_) keep(session);
}

std::vector<std::int32_t> GeneratingSession::choose(const CpuSession& from, Taken& taken) {
    const auto token = static_cast<std::int64_t>(tokens_.size());
    const auto sequences = static_cast<std::size_t>(generation_.prompt.batch);
    const CpuSession::Logits logits = from.logits();
    std::vector<Best> mine(sequences);
    with_type(logits.dtype, [&]<class T>(T) {
        const T* row = reinterpret_cast<const T*>(logits.values);
        for (std::int64_t r = 0; r < logits.rows; ++r, row += logits.columns) {
            const std::int64_t sequence = logits.first_row + r;
            mine[static_cast<std::size_t>(sequence)] =
                best_of(row, logits.columns, logits.first_column, choice_, token, sequence);
        }
    });
    std::vector<Best> all(sequences * static_cast<std::size_t>(comm_.size()));
    const auto start = Clock::now();
    comm_.allgather(mine.data(), all.data(), 2 * static_cast<std::int64_t>(sequences), DType::f64);
    if (comm_.size() > 1) {
        const Seconds time(seconds_since(start));
        const Bytes bytes(static_cast<double>(sizeof(Best) * sequences));
        add_calls(taken.communication, {{comm_.library(), "allgather", 1, bytes, time, time}});
    }
    std::vector<std::int32_t> out;
    for (std::size_t s = 0; s < sequences; ++s) {
        Best best;
        for (std::size_t i = s; i < all.size(); i += sequences)
            if (all[i].id >= 0) best.consider(all[i].score, all[i].id);
        if (best.id < 0)
            throw Error({fmt::format("token {} of sequence {}", token + 1, s + 1), "no logit is a number",
                         "there is nothing to choose from", "Use a wider dtype."},
                        Exit::failed);
        out.push_back(static_cast<std::int32_t>(best.id));
    }
    return out;
}

void GeneratingSession::keep(CpuSession& session) {
    const auto number = static_cast<std::int64_t>(tokens_.size()) - 1;
    kept_.push_back({"tokens", TensorId{}, number, DType::int32, {tokens_.back().begin(), tokens_.back().end()}});
    if (number >= kept_tokens) return;
    if (std::optional<Outputs> logits = session.declared_outputs())
        for (Output& o : *logits) {
            o.name = "logits";
            o.instance = number;
            kept_.push_back(std::move(o));
        }
}

std::optional<Outputs> GeneratingSession::outputs() {
    if (comm_.rank() != 0) return std::nullopt;
    return kept_;
}

void GeneratingSession::poison() {
    prefill_.poison();
    decode_.poison();
    judged_ = true;
}

Series GeneratingSession::chosen(std::int64_t sequence) const {
    Series out{"token", "id", "chosen for the first sequence", "token", {}, {}};
    if (sequence > 0) {
        out.name = fmt::format("token of sequence {}", sequence + 1);
        out.about = "chosen for it";
    }
    for (const std::vector<std::int32_t>& step : tokens_) {
        out.at.push_back(static_cast<double>(out.at.size() + 1));
        out.values.push_back(step[static_cast<std::size_t>(sequence)]);
    }
    return out;
}

ResourceUse GeneratingSession::usage() const {
    ResourceUse use;
    std::map<std::string, Bytes> arenas;
    const Bytes weights = pool_.bytes(Role::weight), state = pool_.bytes(Role::state);
    for (const CpuSession* session : {&prefill_, &decode_}) {
        Bytes held = weights + state;
        for (const MemoryUse& m : session->usage().memory)
            if (m.level == "inputs" || m.level == "activations") arenas[m.level] += m.peak, held += m.peak;
        for (std::size_t i = 0; i < taken_.size(); ++i) {
            const Phase& p = case_.graph->phases()[i];
            const Taken& t = taken_[i];
            if ((i == 0) != (session == &prefill_)) continue;
            PhaseUse& at = add_phase(use.phases, p.name, p.times, t.communication);
            at.time += t.time;
            at.fastest = at.time;
            at.memory = held;
            at.useful += t.useful;
            if (t.missed) at.counted = at.counted.value_or(Bytes(0)) + *t.missed;
            use.useful += t.useful;
            use.overhead += t.overhead;
            if (t.energy) {
                at.energy = at.energy.value_or(Joules(0)) + *t.energy;
                use.energy = use.energy.value_or(Joules(0)) + *t.energy;
            }
            add_calls(use.communication, t.communication);
        }
    }
    for (const auto& [level, bytes] : {std::pair{"inputs", arenas["inputs"]},
                                       {"activations", arenas["activations"]},
                                       {"weights", weights},
                                       {"state", state},
                                       {"process", peak_resident()}})
        use.memory.push_back({level, Bytes(0), bytes, Bytes(0)});
    const bool asked = case_.storage && case_.storage->dataset();
    const std::int64_t told = asked ? std::min(generation_.prompt.batch, told_sequences) : 1;
    for (std::int64_t s = 0; s < told && !tokens_.empty(); ++s) use.series.push_back(chosen(s));
    use.mapping = case_.mapping.text();
    use.detail = decode_.usage().detail;
    if (asked) use.detail += fmt::format("; asked with {} tokens", generation_.prompt.step);
    return use;
}

}  // namespace wb::cpu
