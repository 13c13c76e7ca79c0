#include "core/generating.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <map>

#include "core/error.hpp"
#include "core/part.hpp"

namespace wb {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::int64_t kept_tokens = 8;     // whose logits a judge gets
constexpr std::int64_t told_sequences = 8;  // whose tokens are told, where they were asked something

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// "2,151643".
std::vector<std::int32_t> ids_of(const std::string& list) {
    std::vector<std::int32_t> out;
    for (const char *at = list.c_str(), *end = at + list.size(); at < end; ++at) {
        std::int32_t id = 0;
        at = std::from_chars(at, end, id).ptr;
        out.push_back(id);
    }
    return out;
}

Case case_of(const Case& whole, const std::shared_ptr<const Graph>& graph) {
    Case c = whole;
    c.graph = c.small = graph;
    return c;
}

}  // namespace

GenerationPrograms::GenerationPrograms(const Generation& g)
    : prefill(std::make_shared<const Graph>(resized(*g.prefill, g.prompt, g.tokens - 1))),
      decode(std::make_shared<const Graph>(g.step(g.tokens - 1))) {}

GeneratingSession::GeneratingSession(const Case& c, const Generation& generation, Comm& comm,
                                     std::unique_ptr<Players> players)
    : case_(c),
      generation_(generation),
      programs_(generation),
      choice_{c.params.has("temperature") ? c.params.number("temperature") : 0, c.seed},
      ends_(c.params.has("eos") ? ids_of(c.params.word("eos")) : std::vector<std::int32_t>{}),
      comm_(comm),
      players_(std::move(players)),
      prefill_(players_->open(case_of(c, programs_.prefill))),
      decode_(players_->open(case_of(c, programs_.decode))) {
    players_->fill();
    for (const Phase& p : c.graph->phases()) {
        const Graph local = part_of(*p.graph, c.mapping, comm.rank()).local;
        taken_.push_back({{}, local.flops(), repeated_work(local)});
    }
    read_prompt();
}

void GeneratingSession::read_prompt() {
    if (!case_.storage || !case_.storage->dataset()) return;
    std::vector<std::int32_t> ids(static_cast<std::size_t>(generation_.prompt.batch * generation_.prompt.step));
    case_.storage->read_tokens(Split::training, 0, ids);
    prefill_->put("tokens", ids);
}

Sample GeneratingSession::run() {
    tokens_.clear();
    kept_.clear();
    lengths_.assign(static_cast<std::size_t>(generation_.prompt.batch), 0);
    for (Taken& t : taken_) t.times = 0;
    players_->begin_counting();
    Sample out;
    bool more = true;
    for (std::size_t i = 0; i < taken_.size() && more; ++i) {
        const Phase& p = case_.graph->phases()[i];
        Taken& taken = taken_[i];
        static_cast<PhaseTaken&>(taken) = {};
        const PhaseMeter meter(*players_);
        while (more && taken.times < p.times) {
            one_token(i == 0 ? *prefill_ : *decode_, taken);
            ++taken.times;
            const bool last = i + 1 == taken_.size() && taken.times == p.times;
            if (!last && asked(comm_))
                out.problem =
                    fmt::format("stopped from outside after {} of {} tokens", tokens_.size(), generation_.tokens);
            more = out.problem.empty() && !all_ended();
        }
        meter.add_to(taken);
        taken.append_to(out, done_of(i));
    }
    judged_ = false;
    return out;
}

void GeneratingSession::one_token(Player& session, Taken& taken) {
    if (!tokens_.empty()) {
        session.lack(generation_.tokens - 1 - static_cast<std::int64_t>(tokens_.size()));
        session.put("tokens", tokens_.back());
    }
    session.run();
    add_calls(taken.communication, session.communication());
    tokens_.push_back(choose(session, taken));
    if (judged_) keep(session);
}

std::vector<std::int32_t> GeneratingSession::choose(const Player& from, Taken& taken) {
    const auto token = static_cast<std::int64_t>(tokens_.size());
    const auto sequences = static_cast<std::size_t>(generation_.prompt.batch);
    const std::vector<BestToken> mine = from.best_tokens(choice_, token, generation_.prompt.batch);
    std::vector<BestToken> all(sequences * static_cast<std::size_t>(comm_.size()));
    const auto start = Clock::now();
    comm_.allgather(mine.data(), all.data(), 2 * static_cast<std::int64_t>(sequences), DType::f64);
    if (comm_.size() > 1) {
        const Seconds time(seconds_since(start));
        const Bytes bytes(static_cast<double>(sizeof(BestToken) * sequences));
        add_calls(taken.communication, {{comm_.library(), "allgather", 1, bytes, time, time}});
    }
    std::vector<std::int32_t> out;
    for (std::size_t s = 0; s < sequences; ++s) {
        BestToken best;
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

void GeneratingSession::keep(Player& session) {
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
    prefill_->poison();
    decode_->poison();
    judged_ = true;
}

/// Notes which sequences end with the newest tokens; a judged run has all its tokens all the same.
bool GeneratingSession::all_ended() {
    if (ends_.empty()) return false;
    bool all = true;
    for (std::size_t s = 0; s < lengths_.size(); ++s) {
        const std::int32_t newest = tokens_.back()[s];
        if (lengths_[s] == 0 && std::find(ends_.begin(), ends_.end(), newest) != ends_.end())
            lengths_[s] = tokens_.size();
        all = all && lengths_[s] > 0;
    }
    return all && !judged_;
}

Phase GeneratingSession::done_of(std::size_t phase) const {
    Phase out = case_.graph->phases()[phase];
    if (!tokens_.empty()) out.times = taken_[phase].times;
    return out;
}

Graph GeneratingSession::performed() const {
    Graph out(case_.graph->name());
    for (std::size_t i = 0; i < taken_.size(); ++i)
        if (const Phase p = done_of(i); p.times > 0) out.then(p.name, p.times, p.graph);
    return out;
}

Series GeneratingSession::chosen(std::int64_t sequence) const {
    Series out{"token", "id", "chosen for the first sequence", "token", {}, {}};
    if (sequence > 0) {
        out.name = fmt::format("token of sequence {}", sequence + 1);
        out.about = "chosen for it";
    }
    for (const std::vector<std::int32_t>& step : tokens_) {
        const std::size_t length = lengths_[static_cast<std::size_t>(sequence)];
        if (length > 0 && out.at.size() == length) break;
        out.at.push_back(static_cast<double>(out.at.size() + 1));
        out.values.push_back(step[static_cast<std::size_t>(sequence)]);
    }
    return out;
}

ResourceUse GeneratingSession::usage() const {
    ResourceUse use;
    std::map<std::string, Bytes> arenas;
    const Bytes weights = players_->bytes(Role::weight), state = players_->bytes(Role::state);
    for (const Player* session : {prefill_.get(), decode_.get()}) {
        Bytes held = weights + state;
        for (const MemoryUse& m : session->usage().memory)
            if (m.level == "inputs" || m.level == "activations") arenas[m.level] += m.peak, held += m.peak;
        for (std::size_t i = 0; i < taken_.size(); ++i) {
            const Phase p = done_of(i);
            const Taken& t = taken_[i];
            if ((i == 0) != (session == prefill_.get()) || p.times == 0) continue;
            const auto times = static_cast<double>(p.times);
            t.report_to(use, p, held).useful += t.useful * times;
            use.useful += t.useful * times;
            use.overhead += t.overhead * times;
        }
    }
    for (const auto& [level, bytes] : {std::pair{"inputs", arenas["inputs"]},
                                       {"activations", arenas["activations"]},
                                       {"weights", weights},
                                       {"state", state}})
        use.memory.push_back({level, Bytes(0), bytes, Bytes(0)});
    for (MemoryUse& held : players_->memory()) use.memory.push_back(std::move(held));
    const bool asked = case_.storage && case_.storage->dataset();
    const std::int64_t told = asked ? std::min(generation_.prompt.batch, told_sequences) : 1;
    for (std::int64_t s = 0; s < told && !tokens_.empty(); ++s) use.series.push_back(chosen(s));
    use.mapping = case_.mapping.text();
    use.detail = decode_->usage().detail;
    if (asked) use.detail += fmt::format("; asked with {} tokens", generation_.prompt.step);
    if (const auto ended = std::count_if(lengths_.begin(), lengths_.end(), [](std::size_t n) { return n > 0; });
        ended > 0)
        use.detail += fmt::format("; {} of {} sequences ended, the last after {} tokens", ended, lengths_.size(),
                                  *std::max_element(lengths_.begin(), lengths_.end()));
    return use;
}

}  // namespace wb
