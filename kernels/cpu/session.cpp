#include "kernels/cpu/session.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>

#include "core/element.hpp"
#include "core/huge_pages.hpp"

namespace wb::cpu {
namespace {

/// Sums of fewer bytes are a message or two: nothing to hide.
constexpr double smallest_overlapped = 64 * 1024;
constexpr std::string_view blocking_word = "blocking", overlapped_word = "overlapped";

Bytes smallest_sum(const Mapping& mapping) {
    return Bytes(mapping.tensor == 1 || mapping.algorithm == blocking_word ? HUGE_VAL
                 : mapping.algorithm == overlapped_word                    ? 0
                                                                           : smallest_overlapped);
}

double seconds(std::chrono::steady_clock::duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

std::vector<std::string> sum_words() { return {std::string(blocking_word), std::string(overlapped_word)}; }

std::vector<MemoryUse> process_memory() {
    rusage use{};
    getrusage(RUSAGE_SELF, &use);
    return {{"process", Bytes(0), Bytes(1024.0 * static_cast<double>(use.ru_maxrss)), Bytes(0)},
            {"process, huge pages", Bytes(0), Bytes(huge_page_bytes()), Bytes(0)}};
}

CpuSession::CpuSession(const Case& c, Comm& comm, int threads, Pool* pool)
    : whole_(c.graph),
      comm_(comm),
      counted_(counted(comm, ledger_)),
      threads_(threads),
      mapping_(c.mapping),
      part_(part_of(*c.graph, c.mapping, comm.rank())),
      plan_(plan_overlap(part_, smallest_sum(c.mapping))) {
    const Graph& g = part_.local;
    if (mapping_.data > 1 && mapping_.tensor > 1) {
        model_ = counted_->split(comm.rank() / mapping_.tensor, comm.rank());
        replicas_ = counted_->split(comm.rank() % mapping_.tensor, comm.rank());
    }
    const Setup setup{g, model_ ? *model_ : *counted_, threads_, scratch_, step_, missing_};
    const Setup replicated{g, replicas_ ? *replicas_ : *counted_, threads_, scratch_, step_, missing_};
    for (std::size_t i = 0; i < g.ops().size(); ++i)
        runners_.push_back(make_runner({part_.among_replicas[i] ? replicated : setup, g.ops()[i]}));
    storage_ = std::make_unique<Storage>(g, part_.pieces, *whole_, plan_memory(g, 64, {}, plan_.holds), c.seed, comm.rank(),
                                         threads, pool);
    for (const Overlap& o : plan_.sums) {
        const Site sum{setup, g.ops()[o.sum]};
        std::optional<Site> product;
        if (o.product >= 0) product.emplace(setup, g.ops()[o.product]);
        sums_.push_back(std::make_unique<SlicedSum>(sum, product ? &*product : nullptr));
    }
    bind();
}

void CpuSession::bind() {
    const Graph& g = part_.local;
    op_operands_.resize(g.ops().size());
    std::size_t calls = 0;
    for (const Block& block : g.blocks()) {
        block_operands_.push_back(operands_.size());
        std::size_t at = 0;
        for (int i = block.first; i < block.last; ++i) {
            const Op& op = g.ops()[i];
            op_operands_[i] = at;
            at += op.in.size() + op.out.size();
            if (op.kind == OpKind::collective) calls += static_cast<std::size_t>(block.repeat);
        }
        iteration_operands_.push_back(at);
        for (std::int64_t k = 0; k < block.repeat; ++k) {
            const std::int64_t iteration = block.reversed ? block.repeat - 1 - k : k;
            for (int i = block.first; i < block.last; ++i) {
                for (TensorId id : g.ops()[i].in) operands_.push_back(storage_->at(id, iteration));
                for (TensorId id : g.ops()[i].out) operands_.push_back(storage_->at(id, iteration));
            }
        }
    }
    block_end_.resize(g.blocks().size());
    calls_.reserve(calls);
    // A model's own ranks sum some gradients only when they are used: those cannot be sent together before.
    if (mapping_.data > 1 && mapping_.tensor == 1) bind_buckets();
    bind_sums();
}

void CpuSession::bind_sums() {
    under_way_.reserve(sums_.size());
    sum_of_.resize(runners_.size());
    for (std::size_t i = 0; i < sums_.size(); ++i) {
        const Overlap& o = plan_.sums[i];
        SlicedSum* const s = sums_[i].get();
        const auto begin = [this, s](Operands sum) {
            s->begin(sum);
            if (s->under_way() && std::find(under_way_.begin(), under_way_.end(), s) == under_way_.end())
                under_way_.push_back(s);
        };
        runners_[o.sum].run = begin;
        sum_of_[o.sum] = true;
        if (o.product < 0) continue;
        const auto offset =
            static_cast<std::ptrdiff_t>(op_operands_[o.sum]) - static_cast<std::ptrdiff_t>(op_operands_[o.product]);
        runners_[o.product] = {[s, offset](Operands p) { s->multiply(p, p + offset); }, s->library()};
    }
    choose_ways();
}

void* const* CpuSession::operands(const Block& block, std::int64_t k, int op) const {
    const auto b = static_cast<std::size_t>(&block - part_.local.blocks().data());
    return operands_.data() + block_operands_[b] + static_cast<std::size_t>(k) * iteration_operands_[b] +
           op_operands_[op];
}

/// Seconds from the first op of a sum to its end, of the slowest rank. Ops that follow indices are left out: nothing
/// has been computed yet.
double CpuSession::trial(const Overlap& o, SlicedSum& sum) {
    const Block& block = part_.local.blocks()[o.block];
    comm_.max(0);
    const auto start = Clock::now();
    for (std::size_t i = o.from; i < o.to; ++i) {
        const int op = plan_.steps[o.block][i].op;
        if (op != o.sum && !moves_freely(part_.local.ops()[op].kind)) continue;
        runners_[op].run(operands(block, 0, op));
        sum.poll();
    }
    sum.wait();
    under_way_.clear();
    return comm_.max(seconds(Clock::now() - start));
}

void CpuSession::choose_ways() {
    constexpr double budget_s = 0.4, worth = 0.98;
    constexpr int rounds = 5, forced_slices = 2;
    for (std::size_t i = 0; i < sums_.size(); ++i) {
        SlicedSum& sum = *sums_[i];
        const std::vector<int> ways = sum.ways();
        if (mapping_.algorithm == overlapped_word) {
            const Overlap& o = plan_.sums[i];
            const bool beside_others = plan_.steps[o.block][o.to - 1].op != o.sum;  // then they hide it
            sum.use(beside_others ? 1 : *std::find_if(ways.rbegin(), ways.rend(), [](int n) {
                return n <= forced_slices;
            }));
            continue;
        }
        std::vector<double> best(ways.size(), HUGE_VAL);
        double spent = 0;
        for (int round = 0; round <= rounds && spent < budget_s; ++round)
            for (std::size_t w = 0; w < ways.size(); ++w) {
                sum.use(ways[w]);
                const double s = trial(plan_.sums[i], sum);
                spent += s;
                if (round > 0 || s > budget_s) best[w] = std::min(best[w], s);
            }
        const auto fastest = static_cast<std::size_t>(std::min_element(best.begin(), best.end()) - best.begin());
        const bool taken = best[fastest] < worth * best[0] && comm_.all(sum.keeps_bits(ways[fastest]));
        sum.use(taken ? ways[fastest] : SlicedSum::blocking);
    }
    ledger_.clear();
}

void CpuSession::bind_buckets() {
    const Graph& g = part_.local;
    for (std::size_t b = 0; b < g.blocks().size(); ++b) {
        const Block& block = g.blocks()[b];
        if (block.phase != update_phase) continue;
        for (std::int64_t k = 0; k < block.repeat; ++k)
            for (int i = block.first; i < block.last; ++i)
                if (g.ops()[i].kind == OpKind::collective) {
                    const std::size_t at =
                        block_operands_[b] + static_cast<std::size_t>(k) * iteration_operands_[b] + op_operands_[i];
                    const TensorId gradient = g.ops()[i].in[0];
                    buckets_.add(static_cast<const std::byte*>(operands_[at]), g.elements(gradient),
                                 g.tensor(gradient).dtype);
                    runners_[i].run = [this](Operands p) { buckets_.fetch(*counted_, static_cast<std::byte*>(p[1])); };
                }
    }
}

template <bool timed>
void CpuSession::execute(const Block& block) {
    const auto b = static_cast<std::size_t>(&block - part_.local.blocks().data());
    for (std::int64_t k = 0; k < block.repeat; ++k) {
        void** const operands =
            operands_.data() + block_operands_[b] + static_cast<std::size_t>(k) * iteration_operands_[b];
        for (const Step& step : plan_.steps[b]) {
            const int i = step.op;
            void** const p = operands + op_operands_[i];
            if (step.wait_for >= 0) {
                finish(step);
            } else if (timed || part_.local.ops()[i].kind == OpKind::collective) {
                const auto start = Clock::now();
                runners_[i].run(p);
                if (!sum_of_[i]) calls_.push_back({i, start, Clock::now()});
            } else {
                runners_[i].run(p);
            }
            for (SlicedSum* const s : under_way_) s->poll();
        }
    }
}

void CpuSession::finish(const Step& step) {
    SlicedSum& sum = *sums_[step.wait_for];
    sum.wait();
    std::erase(under_way_, &sum);
    calls_.push_back({step.op, sum.begun(), sum.ended()});
}

Sample CpuSession::run(const std::function<void()>& before_update) {
    calls_.clear();
    ledger_.clear();
    ++step_;
    const auto start = Clock::now();
    bool updating = !before_update;
    for (std::size_t b = 0; b < block_end_.size(); ++b) {
        const Block& block = part_.local.blocks()[b];
        if (!updating && block.phase == update_phase) {
            before_update();
            updating = true;
        }
        time_ops_ ? execute<true>(block) : execute<false>(block);
        block_end_[b] = Clock::now();
    }
    return sample(start);
}

void CpuSession::put(std::string_view name, std::span<const std::int32_t> whole) {
    for (std::size_t i = 0; i < part_.local.tensors().size(); ++i) {
        const Tensor& t = part_.local.tensors()[i];
        if (t.role != Role::input || t.dtype != DType::int32 || t.name != name) continue;
        const std::int64_t first = part_.pieces[i].first, count = elements(t.shape);
        WB_EXPECT(static_cast<std::int64_t>(whole.size()) >= first + count);
        std::memcpy(storage_->at(tensor_id(i), 0), whole.data() + first, static_cast<std::size_t>(count) * 4);
    }
}

std::vector<float> CpuSession::losses() const {
    const std::optional<TensorId> id = losses_of(part_.local);
    if (!id) return {};
    const auto* const from = reinterpret_cast<const float*>(storage_->at(*id, 0));
    return {from, from + part_.local.elements(*id)};
}

std::vector<BestToken> CpuSession::best_tokens(const TokenChoice& choice, std::int64_t number,
                                               std::int64_t sequences) const {
    const LogitsPart logits(part_);
    std::vector<BestToken> out(static_cast<std::size_t>(sequences));
    with_type(part_.local.tensor(logits.id).dtype, [&]<class T>(T) {
        const T* row = reinterpret_cast<const T*>(storage_->at(logits.id, 0));
        for (std::int64_t r = 0; r < logits.rows; ++r, row += logits.columns) {
            const std::int64_t sequence = logits.first_row + r;
            for (std::int64_t j = 0; j < logits.columns; ++j) {
                const std::int64_t id = logits.first_column + j;
                out[static_cast<std::size_t>(sequence)].consider(choice.score(to_float(row[j]), number, sequence, id),
                                                                 static_cast<double>(id));
            }
        }
    });
    return out;
}

std::string CpuSession::first_nonfinite() {
    std::vector<int> slices;
    for (const auto& s : sums_) {
        slices.push_back(s->slices());
        s->use(SlicedSum::blocking);
    }
    const auto run = [this](std::size_t b, std::int64_t k, int op) {
        runners_[op].run(operands(part_.local.blocks()[b], k, op));
    };
    std::string first = wb::first_nonfinite(part_.local, run, [this](TensorId id, std::int64_t iteration) {
        const DType type = part_.local.tensor(id).dtype;
        const std::byte* at = storage_->at(id, iteration);
        for (std::int64_t i = 0; i < part_.local.elements(id); ++i)
            if (!std::isfinite(decode(type, at + i * stored_bytes(type)))) return false;
        return true;
    });
    for (std::size_t i = 0; i < sums_.size(); ++i) sums_[i]->use(slices[i]);
    return first;
}

Span CpuSession::span(int op, const std::string& phase, Seconds from, Seconds duration) const {
    Span s;
    s.op = op;
    s.phase = phase;
    s.start = from;
    s.duration = duration;
    const bool collective = op >= 0 && part_.local.ops()[op].kind == OpKind::collective;
    s.resource = collective ? comm_.library() : "compute";
    if (collective) s.bytes = part_.local.bytes(part_.local.ops()[op].in[0]);
    return s;
}

Sample CpuSession::sample(Clock::time_point start) const {
    Sample out;
    if (!block_end_.empty()) out.elapsed = Seconds(seconds(block_end_.back() - start));
    auto before = start;
    for (std::size_t b = 0; b < block_end_.size(); ++b) {
        out.spans.push_back(span(-1, part_.local.blocks()[b].phase, Seconds(seconds(before - start)),
                                 Seconds(seconds(block_end_[b] - before))));
        before = block_end_[b];
    }
    for (const Call& c : calls_)
        out.spans.push_back(span(c.op, part_.local.block_of(c.op).phase, Seconds(seconds(c.start - start)),
                                 Seconds(seconds(c.end - c.start))));
    return out;
}

std::vector<CommUse> CpuSession::communication() const {
    std::vector<CommUse> out = ledger_.uses();
    for (CommUse& use : out) use.fabric = comm_.library();
    return out;
}

ResourceUse CpuSession::usage() const {
    ResourceUse use;
    const MemoryPlan& plan = storage_->plan();
    for (const auto& [level, bytes] : {std::pair{"inputs", plan.inputs},
                                       {"weights", plan.weights},
                                       {"state", plan.state},
                                       {"activations", plan.activations}})
        use.memory.push_back({level, Bytes(0), bytes, Bytes(0)});
    for (MemoryUse& own : process_memory()) use.memory.push_back(std::move(own));
    use.communication = communication();
    use.useful = part_.local.flops();
    use.overhead = repeated_work(part_.local);
    use.mapping = mapping_.text();
    std::set<std::string> libraries;
    for (const Runner& r : runners_)
        if (!r.library.empty()) libraries.insert(r.library);
    for (const Op& op : part_.local.ops())
        if (op.kind == OpKind::attention) libraries.insert("own attention");
    const auto overlapped = std::count_if(sums_.begin(), sums_.end(), [](const auto& s) { return s->slices() > 0; });
    use.detail =
        fmt::format("{}{}{} threads{}", fmt::join(libraries, ", "), libraries.empty() ? "" : ", ", threads_,
                    sums_.empty() ? "" : fmt::format(", {} of {} sums beside computation", overlapped, sums_.size()));
    return use;
}

std::optional<Outputs> CpuSession::gathered(bool with_changed) const {
    return gather_outputs(*whole_, part_, with_changed, comm_, [this](TensorId local, std::int64_t instance) {
        const DType type = part_.local.tensor(local).dtype;
        std::vector<double> values(static_cast<std::size_t>(part_.local.elements(local)));
        const std::byte* from = storage_->at(local, instance);
        for (std::size_t i = 0; i < values.size(); ++i) values[i] = decode(type, from + i * stored_bytes(type));
        return values;
    });
}

}  // namespace wb::cpu
