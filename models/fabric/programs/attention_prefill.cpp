#include <cmath>
#include <limits>
#include <memory>
#include <optional>

#include "models/fabric/programs/attention_programs.hpp"
#include "models/fabric/programs/chains.hpp"
#include "models/fabric/programs/line_sum.hpp"
#include "models/fabric/programs/stripes.hpp"
#include "models/fabric/programs/two_hop_ring.hpp"

namespace wb::fabric {
namespace {

constexpr Colour ring_colour = 0, chain_colour = ring_colour + TwoHopRing::colours,
                 sum_colour = chain_colour + Chains::colours;

struct Shared {
    AttentionCall call;
    LineSum sum;
};

std::vector<float> read(const Pe& pe, Vec v) {
    std::vector<float> values(v.count);
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = pe.get(v, i);
    return values;
}

void write(Pe& pe, Vec v, const std::vector<float>& values) {
    for (std::size_t i = 0; i < values.size(); ++i) pe.set(v, i, values[i]);
}

/// The program of one PE.
class Prefill {
public:
    Prefill(Pe& pe, const Shared& shared);
    Process run();

private:
    /// One key-value head of one sequence, with the query heads that share it.
    struct Job {
        std::int64_t sequence, kv_head;
        Vec q, k, v, out;  // [feature][query slot, shared head], [key slot][feature] twice, as q
    };

    void load(Job& job);
    void allocate_buffers();
    void store(const Job& job);
    Process attend(const Job& job);
    Process score_round(const Job& job);
    Process softmax();
    Process normalise(const Job& job);
    Process value_round(const Job& job);
    void pass_on(int step, Vec own);
    Instruction multiply_keys(const Job& job, int step, Vec scores);
    Instruction multiply_values(const Job& job, int step, Vec weights);
    void scale_and_mask(int step);
    void exponentiate(int step);
    double pairs(int step) const;

    int steps() const { return pe_.rows; }
    /// The scores of a step end at this column of the group: to and fro, so that neighbours follow each other.
    int root(int step) const {
        const int turn = step % (2 * plan_.width);
        return std::min(turn, 2 * plan_.width - 1 - turn);
    }
    bool mine(int step) const { return root(step) == line_.index; }
    Vec here(int step, Vec own) const { return step == 0 ? own : moving_[step % 2].sub(0, own.count); }
    std::size_t queries() const { return static_cast<std::size_t>(slots_.count * plan_.shared); }
    /// Scores of a step of which this PE is the root; as probabilities they take the same place.
    Vec block(int step, Type type) const;
    /// `each` vector instructions for every run of scores.
    Work per_run(double each, double fma) const;
    Work per_score(double each) const { return sweep(pe_, Type::f32, each, static_cast<std::int64_t>(block_->size)); }

    Pe& pe_;
    const Shared& shared_;
    const AttentionCall& call_;
    const AttentionPlan& plan_;
    Stripes stripes_;
    int group_;
    Line line_;
    TwoHopRing ring_;
    Chains chains_;
    Range features_, values_;
    std::vector<Job> jobs_;
    Vec moving_[2], partial_[2], weights_[2], scores_, peak_, sum_, result_;
    // Of the chunk of queries in work.
    Range slots_;
    std::optional<ScoreBlock> block_;
    std::vector<Handle> moves_, sums_;
};

Prefill::Prefill(Pe& pe, const Shared& shared)
    : pe_(pe),
      shared_(shared),
      call_(shared.call),
      plan_(shared.call.plan),
      stripes_(call_.a, plan_),
      group_(pe.column / plan_.width),
      line_(row_line(pe).part(group_ * plan_.width, plan_.width)),
      ring_(column_line(pe), ring_colour),
      chains_(line_, chain_colour),
      features_(part(call_.a.head_dim, plan_.width, line_.index)),
      values_(part(call_.a.v_head_dim, plan_.width, line_.index)) {
    ring_.route(pe_);
    chains_.route(pe_);
    shared_.sum.route(pe_, line_);
    for (std::int64_t j = group_; j < call_.a.batch * call_.a.kv_heads; j += plan_.groups) {
        Job job{j / call_.a.kv_heads, j % call_.a.kv_heads, {}, {}, {}, {}};
        load(job);
        jobs_.push_back(job);
    }
    allocate_buffers();
}

void Prefill::load(Job& job) {
    const Attributes& a = call_.a;
    const auto all = static_cast<std::size_t>(plan_.queries * plan_.shared),
               keys = static_cast<std::size_t>(plan_.keys);
    const auto features = static_cast<std::size_t>(features_.count), values = static_cast<std::size_t>(values_.count);
    job.q = pe_.alloc(call_.type, all * features);
    job.k = pe_.alloc(call_.type, keys * features);
    job.v = pe_.alloc(call_.type, keys * values);
    job.out = pe_.alloc(call_.type, all * values);
    if (!pe_.data()) return;
    const Range asked = stripes_.queries(pe_.row);
    for (std::int64_t f = 0; f < features_.count; ++f)
        for (std::int64_t slot = asked.first; slot < asked.first + asked.count; ++slot)
            for (std::int64_t h = 0; h < plan_.shared; ++h) {
                const std::int64_t head = job.kv_head * plan_.shared + h;
                const std::int64_t at = (f * plan_.queries + slot) * plan_.shared + h;
                pe_.set(job.q, static_cast<std::size_t>(at),
                        call_.q(job.sequence * a.seq + stripes_.query(pe_.row, slot),
                                head * a.head_dim + features_.first + f));
            }
    const std::int64_t v_stride = a.shared_kv ? a.head_dim : a.v_head_dim;
    for (std::int64_t slot = 0; slot < plan_.keys && stripes_.is_key(pe_.row, slot); ++slot) {
        const std::int64_t row = job.sequence * a.seq_kv + stripes_.key(pe_.row, slot);
        for (std::int64_t f = 0; f < features_.count; ++f)
            pe_.set(job.k, static_cast<std::size_t>(slot * features_.count + f),
                    call_.k(row, job.kv_head * a.head_dim + features_.first + f));
        for (std::int64_t f = 0; f < values_.count; ++f)
            pe_.set(job.v, static_cast<std::size_t>(slot * values_.count + f),
                    call_.v(row, job.kv_head * v_stride + values_.first + f));
    }
}

void Prefill::allocate_buffers() {
    std::size_t most = 0;
    for (std::int64_t c = 0; c < plan_.chunks; ++c)
        most = std::max(most, ScoreBlock(call_.a, plan_, part(plan_.queries, plan_.chunks, c)).size);
    most += most % 2;
    const auto queries = static_cast<std::size_t>(plan_.chunk() * plan_.shared);
    const auto wide = static_cast<std::size_t>(std::max(features_.count, values_.count));
    const std::size_t stored = static_cast<std::size_t>((steps() + plan_.width - 1) / plan_.width);
    scores_ = pe_.alloc(Type::f32, stored * most);
    for (int i = 0; i < 2; ++i) {
        moving_[i] = pe_.alloc(call_.type, static_cast<std::size_t>(plan_.keys) * wide);
        if (plan_.width > 1) partial_[i] = pe_.alloc(Type::f32, most);
    }
    peak_ = pe_.alloc(Type::f32, queries);
    sum_ = pe_.alloc(Type::f32, queries);
    result_ = pe_.alloc(Type::f32, queries * static_cast<std::size_t>(values_.count));
}

Vec Prefill::block(int step, Type type) const {
    const std::size_t size = block_->size + block_->size % 2;
    Vec v = scores_.sub(static_cast<std::size_t>(step / plan_.width) * size, block_->size);
    v.type = type;
    return v;
}

Work Prefill::per_run(double each, double fma) const {
    const auto runs = static_cast<double>(block_->runs.size());
    const double mean = runs == 0 ? 0 : static_cast<double>(block_->size) / runs;
    return {runs * each, mean, 1, fma};
}

double Prefill::pairs(int step) const {
    std::int64_t seen = 0;
    const int from = ring_.origin(step);
    for (const ScoreBlock::Run& run : block_->runs)
        seen += common(stripes_.seeing(pe_.row, from, run.key), slots_).count;
    return static_cast<double>(seen * plan_.shared);
}

void Prefill::pass_on(int step, Vec own) {
    if (step + 1 == steps()) return;
    moves_.push_back(pe_.start(pe_.recv(ring_.in(), moving_[(step + 1) % 2].sub(0, own.count))));
    moves_.push_back(pe_.start(pe_.send(ring_.out(), here(step, own))));
}

Instruction Prefill::multiply_keys(const Job& job, int step, Vec scores) {
    Work work = per_run(static_cast<double>(features_.count), pairs(step) * static_cast<double>(features_.count));
    work.cycles_per_element = mixed_element_cycles(pe_.mesh(), dtype(call_.type));
    return pe_.compute(work, [this, &job, scores, keys = here(step, job.k)] {
        const std::vector<float> q = read(pe_, job.q), k = read(pe_, keys);
        std::vector<float> s(block_->size);
        const auto all = static_cast<std::size_t>(plan_.queries * plan_.shared);
        const auto chunk = static_cast<std::size_t>(slots_.first * plan_.shared);
        const auto features = static_cast<std::size_t>(features_.count);
        for (const ScoreBlock::Run& run : block_->runs)
            for (std::size_t f = 0; f < features; ++f) {
                const float factor = k[static_cast<std::size_t>(run.key) * features + f];
                const float* from = q.data() + f * all + chunk + run.first;
                for (std::size_t i = 0; i < run.count; ++i) s[run.at + i] += from[i] * factor;
            }
        write(pe_, scores, s);
    });
}

Process Prefill::score_round(const Job& job) {
    for (int step = 0; step < steps(); ++step) {
        pass_on(step, job.k);
        co_await pe_.task();
        const Vec scores = mine(step) ? block(step, Type::f32) : partial_[step % 2].sub(0, block_->size);
        co_await multiply_keys(job, step, scores);
        co_await finish(sums_);
        chains_.reduce(pe_, root(step), scores, sums_);
        co_await finish(moves_);
    }
    co_await finish(sums_);
}

void Prefill::scale_and_mask(int step) {
    std::vector<float> s = read(pe_, block(step, Type::f32)), peak = read(pe_, peak_);
    for (const ScoreBlock::Run& run : block_->runs) {
        const Range seen = stripes_.seeing(pe_.row, ring_.origin(step), run.key);
        for (std::size_t i = 0; i < run.count; ++i) {
            const std::int64_t slot = slots_.first + static_cast<std::int64_t>(run.first + i) / plan_.shared;
            float& score = s[run.at + i];
            score = slot >= seen.first && slot < seen.first + seen.count ? score * static_cast<float>(call_.a.scale)
                                                                         : -std::numeric_limits<float>::infinity();
            peak[run.first + i] = std::max(peak[run.first + i], score);
        }
    }
    write(pe_, block(step, Type::f32), s);
    write(pe_, peak_, peak);
}

void Prefill::exponentiate(int step) {
    std::vector<float> s = read(pe_, block(step, Type::f32)), sum = read(pe_, sum_);
    const std::vector<float> peak = read(pe_, peak_);
    for (const ScoreBlock::Run& run : block_->runs)
        for (std::size_t i = 0; i < run.count; ++i) {
            float& p = s[run.at + i];
            p = std::isinf(p) ? 0 : std::exp(p - peak[run.first + i]);
            sum[run.first + i] += p;
        }
    write(pe_, block(step, call_.type), s);
    write(pe_, sum_, sum);
}

Process Prefill::softmax() {
    for (std::size_t i = 0; i < queries(); ++i) {
        pe_.set(peak_, i, -std::numeric_limits<float>::infinity());
        pe_.set(sum_, i, 0);
    }
    const double slow = pe_.mesh().f32_sram_fma_cycles;
    Work runs = per_run(1, 0);
    runs.cycles_per_element = slow;
    for (int step = 0; step < steps(); ++step) {
        if (!mine(step)) continue;
        co_await pe_.compute(per_score(1), [] {});
        runs.fma = 2 * pairs(step);
        co_await pe_.compute(runs, [this, step] { scale_and_mask(step); });
    }
    co_await shared_.sum.run(pe_, line_, peak_.sub(0, queries()), Combine::maximum);
    co_await pe_.task();
    runs.fma = 0;
    runs.instructions *= 2;
    for (int step = 0; step < steps(); ++step) {
        if (!mine(step)) continue;
        co_await pe_.compute(per_score(exp_passes), [] {});
        co_await pe_.compute(runs, [this, step] { exponentiate(step); });
    }
    co_await shared_.sum.run(pe_, line_, sum_.sub(0, queries()), Combine::add);
    co_await pe_.task();
}

Instruction Prefill::multiply_values(const Job& job, int step, Vec weights) {
    Work work = per_run(static_cast<double>(values_.count), pairs(step) * static_cast<double>(values_.count));
    work.cycles_per_element = mixed_element_cycles(pe_.mesh(), dtype(call_.type));
    return pe_.compute(work, [this, weights, block_values = here(step, job.v)] {
        const std::vector<float> p = read(pe_, weights), v = read(pe_, block_values);
        const Vec sums = result_.sub(0, queries() * static_cast<std::size_t>(values_.count));
        std::vector<float> o = read(pe_, sums);
        const auto values = static_cast<std::size_t>(values_.count);
        for (const ScoreBlock::Run& run : block_->runs)
            for (std::size_t f = 0; f < values; ++f) {
                const float factor = v[static_cast<std::size_t>(run.key) * values + f];
                float* to = o.data() + f * queries() + run.first;
                for (std::size_t i = 0; i < run.count; ++i) to[i] += p[run.at + i] * factor;
            }
        write(pe_, sums, o);
    });
}

Process Prefill::value_round(const Job& job) {
    const auto weights = [this](int step) {
        if (mine(step)) return block(step, call_.type);
        Vec v = partial_[step % 2].sub(0, block_->size);
        v.type = call_.type;
        return v;
    };
    chains_.broadcast(pe_, 0, weights(0), sums_);
    for (int step = 0; step < steps(); ++step) {
        pass_on(step, job.v);
        co_await pe_.task();
        co_await finish(sums_);
        if (step + 1 < steps()) chains_.broadcast(pe_, root(step + 1), weights(step + 1), sums_);
        co_await multiply_values(job, step, weights(step));
        co_await finish(moves_);
    }
}

Process Prefill::normalise(const Job& job) {
    const auto n = static_cast<std::int64_t>(queries());
    co_await pe_.compute(sweep(pe_, Type::f32, reciprocal_passes, n), [] {});
    co_await pe_.compute(sweep(pe_, Type::f32, 1, n * values_.count), [this, &job] {
        const auto all = static_cast<std::size_t>(plan_.queries * plan_.shared);
        const auto chunk = static_cast<std::size_t>(slots_.first * plan_.shared);
        for (std::size_t f = 0; f < static_cast<std::size_t>(values_.count); ++f)
            for (std::size_t i = 0; i < queries(); ++i) {
                const float sum = pe_.get(sum_, i);
                pe_.set(job.out, f * all + chunk + i, sum > 0 ? pe_.get(result_, f * queries() + i) / sum : 0);
                pe_.set(result_, f * queries() + i, 0);
            }
    });
}

void Prefill::store(const Job& job) {
    const Attributes& a = call_.a;
    const Range asked = common(stripes_.queries(pe_.row), slots_);
    for (std::int64_t slot = asked.first; slot < asked.first + asked.count; ++slot)
        for (std::int64_t h = 0; h < plan_.shared; ++h) {
            const std::int64_t query = stripes_.query(pe_.row, slot), head = job.kv_head * plan_.shared + h;
            const auto i = static_cast<std::size_t>((slot - slots_.first) * plan_.shared + h);
            const float peak = pe_.get(peak_, i), sum = pe_.get(sum_, i);
            if (line_.first() && call_.lse)
                call_.lse(job.sequence * a.heads + head, query, peak + (sum > 0 ? std::log(sum) : 0));
            for (std::int64_t f = 0; f < values_.count; ++f)
                call_.out(job.sequence * a.seq + query, head * a.v_head_dim + values_.first + f,
                          pe_.get(job.out, static_cast<std::size_t>((f * plan_.queries + slot) * plan_.shared + h)));
        }
}

Process Prefill::attend(const Job& job) {
    pe_.phase("scores");
    co_await score_round(job);
    pe_.phase("softmax");
    co_await softmax();
    pe_.phase("values");
    co_await value_round(job);
    co_await normalise(job);
}

Process Prefill::run() {
    for (const Job& job : jobs_)
        for (std::int64_t c = 0; c < plan_.chunks; ++c) {
            slots_ = part(plan_.queries, plan_.chunks, c);
            block_.emplace(call_.a, plan_, slots_);
            co_await attend(job);
            if (pe_.data()) store(job);
        }
}

Process run(Pe& pe, const Shared& shared) {
    if (pe.column / shared.call.plan.width >= shared.call.plan.groups) co_return;
    Prefill prefill(pe, shared);
    co_await prefill.run();
}

}  // namespace

Program attention_prefill_program(AttentionCall call, const Mesh& mesh) {
    const AttentionPlan& plan = call.plan;
    const LineSum sum(mesh, plan.width, plan.chunk() * plan.shared, sum_colour);
    const auto shared = std::make_shared<const Shared>(Shared{std::move(call), sum});
    return [shared](Pe& pe) { return run(pe, *shared); };
}

double attention_flops(const Attributes& a) {
    const double pairs = visible_pairs(a) * static_cast<double>(a.batch * a.heads);
    return pairs * (2 * static_cast<double>(a.head_dim + a.v_head_dim) + 4);
}

}  // namespace wb::fabric
