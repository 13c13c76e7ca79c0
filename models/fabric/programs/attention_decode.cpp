#include <cmath>
#include <limits>
#include <memory>

#include "models/fabric/programs/attention_programs.hpp"
#include "models/fabric/programs/line_sum.hpp"
#include "models/fabric/programs/stripes.hpp"

namespace wb::fabric {
namespace {

struct Shared {
    AttentionCall call;
    LineSum scores, peaks, results;  // along the group; down the column, of maxima and of weighted values
};

/// The program of one PE. Heads are those of all its jobs: job by job, the heads that share one.
class Decode {
public:
    Decode(Pe& pe, const Shared& shared);
    Process run();

private:
    struct Job {
        std::int64_t sequence, kv_head;
    };

    void load();
    void multiply_keys();
    void scale_and_mask();
    void exponentiate();
    void multiply_values();
    void store();
    double credit(Range features) const;
    std::size_t heads() const { return jobs_.size() * static_cast<std::size_t>(plan_.shared); }
    std::size_t keys() const { return static_cast<std::size_t>(plan_.keys); }
    std::size_t values() const { return static_cast<std::size_t>(values_.count); }
    bool seen(std::int64_t slot) const { return stripes_.seeing(query_row_, pe_.row, slot).count > 0; }

    Pe& pe_;
    const Shared& shared_;
    const AttentionCall& call_;
    const AttentionPlan& plan_;
    Stripes stripes_;
    int group_, query_row_;  // the mesh row in whose stripe the query's position lies
    Line line_, column_;
    Range features_, values_;
    std::vector<Job> jobs_;
    // [head][feature], [job][feature][key slot], [job][key slot][feature]; [head][key slot], [head]; [head] sums of
    // weights, then [head][feature] weighted values.
    Vec q_, k_, v_, scores_, peak_, result_;
};

Decode::Decode(Pe& pe, const Shared& shared)
    : pe_(pe),
      shared_(shared),
      call_(shared.call),
      plan_(shared.call.plan),
      stripes_(call_.a, plan_),
      group_(pe.column / plan_.width),
      query_row_(static_cast<int>((call_.a.seq_kv - 1) % plan_.rows)),
      line_(row_line(pe).part(group_ * plan_.width, plan_.width)),
      column_(column_line(pe)),
      features_(part(call_.a.head_dim, plan_.width, line_.index)),
      values_(part(call_.a.v_head_dim, plan_.width, line_.index)) {
    shared_.scores.route(pe_, line_);
    shared_.peaks.route(pe_, column_);
    shared_.results.route(pe_, column_);
    for (std::int64_t j = group_; j < call_.a.batch * call_.a.kv_heads; j += plan_.groups)
        jobs_.push_back({j / call_.a.kv_heads, j % call_.a.kv_heads});
    const auto features = static_cast<std::size_t>(features_.count);
    q_ = pe_.alloc(call_.type, heads() * features);
    k_ = pe_.alloc(call_.type, jobs_.size() * features * keys());
    v_ = pe_.alloc(call_.type, jobs_.size() * keys() * values());
    scores_ = pe_.alloc(Type::f32, heads() * keys());
    peak_ = pe_.alloc(Type::f32, heads());
    result_ = pe_.alloc(Type::f32, heads() * (values() + 1));
    if (pe_.data()) load();
}

void Decode::load() {
    const Attributes& a = call_.a;
    const std::int64_t v_stride = a.shared_kv ? a.head_dim : a.v_head_dim;
    std::size_t q = 0, k = 0;
    for (std::size_t j = 0; j < jobs_.size(); ++j) {
        const auto [sequence, kv_head] = jobs_[j];
        for (std::int64_t h = kv_head * plan_.shared; h < (kv_head + 1) * plan_.shared; ++h)
            for (std::int64_t f = 0; f < features_.count; ++f)
                pe_.set(q_, q++, call_.q(sequence, h * a.head_dim + features_.first + f));
        for (std::int64_t f = 0; f < features_.count; ++f)
            for (std::int64_t slot = 0; slot < plan_.keys; ++slot, ++k)
                if (stripes_.is_key(pe_.row, slot))
                    pe_.set(k_, k,
                            call_.k(sequence * a.seq_kv + stripes_.key(pe_.row, slot),
                                    kv_head * a.head_dim + features_.first + f));
        for (std::int64_t slot = 0; slot < plan_.keys && stripes_.is_key(pe_.row, slot); ++slot)
            for (std::size_t f = 0; f < values(); ++f)
                pe_.set(v_, (j * keys() + static_cast<std::size_t>(slot)) * values() + f,
                        call_.v(sequence * a.seq_kv + stripes_.key(pe_.row, slot),
                                kv_head * v_stride + values_.first + static_cast<std::int64_t>(f)));
    }
}

/// Useful multiply-adds of a product over these features.
double Decode::credit(Range features) const {
    double keys_seen = 0;
    for (std::int64_t slot = 0; slot < plan_.keys; ++slot) keys_seen += seen(slot);
    return keys_seen * static_cast<double>(heads()) * static_cast<double>(features.count);
}

void Decode::multiply_keys() {
    const auto features = static_cast<std::size_t>(features_.count), shared = static_cast<std::size_t>(plan_.shared);
    for (std::size_t h = 0; h < heads(); ++h)
        for (std::size_t slot = 0; slot < keys(); ++slot) {
            float sum = 0;
            for (std::size_t f = 0; f < features; ++f)
                sum += pe_.get(q_, h * features + f) * pe_.get(k_, (h / shared * features + f) * keys() + slot);
            pe_.set(scores_, h * keys() + slot, sum);
        }
}

void Decode::scale_and_mask() {
    for (std::size_t h = 0; h < heads(); ++h) {
        float peak = -std::numeric_limits<float>::infinity();
        for (std::size_t slot = 0; slot < keys(); ++slot) {
            float score = -std::numeric_limits<float>::infinity();
            if (seen(static_cast<std::int64_t>(slot)))
                score = pe_.get(scores_, h * keys() + slot) * static_cast<float>(call_.a.scale);
            pe_.set(scores_, h * keys() + slot, score);
            peak = std::max(peak, score);
        }
        pe_.set(peak_, h, peak);
    }
}

void Decode::exponentiate() {
    for (std::size_t h = 0; h < heads(); ++h) {
        float sum = 0;
        for (std::size_t slot = 0; slot < keys(); ++slot) {
            const float score = pe_.get(scores_, h * keys() + slot);
            const float weight = std::isinf(score) ? 0 : std::exp(score - pe_.get(peak_, h));
            pe_.set(scores_, h * keys() + slot, weight);
            sum += weight;
        }
        pe_.set(result_, h, sum);
    }
}

void Decode::multiply_values() {
    for (std::size_t h = 0; h < heads(); ++h) {
        const std::size_t job = h / static_cast<std::size_t>(plan_.shared);
        for (std::size_t f = 0; f < values(); ++f) {
            float sum = 0;
            for (std::size_t slot = 0; slot < keys(); ++slot)
                sum += pe_.get(scores_, h * keys() + slot) * pe_.get(v_, (job * keys() + slot) * values() + f);
            pe_.set(result_, heads() + h * values() + f, sum);
        }
    }
}

void Decode::store() {
    const Attributes& a = call_.a;
    for (std::size_t h = 0; h < heads(); ++h) {
        const Job& job = jobs_[h / static_cast<std::size_t>(plan_.shared)];
        const std::int64_t head = job.kv_head * plan_.shared + static_cast<std::int64_t>(h) % plan_.shared;
        if (line_.first() && call_.lse)
            call_.lse(job.sequence * a.heads + head, 0, pe_.get(peak_, h) + std::log(pe_.get(result_, h)));
        for (std::size_t f = 0; f < values(); ++f)
            call_.out(job.sequence, head * a.v_head_dim + values_.first + static_cast<std::int64_t>(f),
                      pe_.get(result_, heads() + h * values() + f));
    }
}

Process Decode::run() {
    const auto n = static_cast<double>(heads()), length = static_cast<double>(keys());
    const auto scores = static_cast<std::int64_t>(heads() * keys());
    const auto product = [&](double instructions, double elements, double fma) {
        return Work{instructions, elements, mixed_element_cycles(pe_.mesh(), dtype(call_.type)), fma};
    };
    co_await pe_.compute(product(n * static_cast<double>(features_.count), length, credit(features_)),
                         [this] { multiply_keys(); });
    co_await shared_.scores.run(pe_, line_, scores_, Combine::add);
    co_await pe_.task();
    const double useful = line_.first() ? 2 * credit({0, 1}) : 0;  // every column of the group repeats the softmax
    co_await pe_.compute(sweep(pe_, Type::f32, 2, scores, useful), [this] { scale_and_mask(); });
    co_await shared_.peaks.run(pe_, column_, peak_, Combine::maximum);
    co_await pe_.task();
    co_await pe_.compute(sweep(pe_, Type::f32, 2 + exp_passes, scores), [this] { exponentiate(); });
    // Vectors over the features, or over the heads that share the values: fewer instructions.
    const double shared = static_cast<double>(plan_.shared), width = static_cast<double>(values_.count);
    const bool over_heads = shared > width;
    co_await pe_.compute(
        product(n / shared * length * (over_heads ? width : shared), over_heads ? shared : width, credit(values_)),
        [this] { multiply_values(); });
    co_await shared_.results.run(pe_, column_, result_, Combine::add);
    co_await pe_.task();
    co_await pe_.compute(sweep(pe_, Type::f32, reciprocal_passes, static_cast<std::int64_t>(heads())), [] {});
    co_await pe_.compute(sweep(pe_, Type::f32, 1, static_cast<std::int64_t>(heads() * values())), [this] {
        for (std::size_t i = 0; i < heads() * values(); ++i)
            pe_.set(result_, heads() + i, pe_.get(result_, heads() + i) / pe_.get(result_, i / values()));
    });
    if (pe_.data() && pe_.row == 0) store();
}

Process run(Pe& pe, const Shared& shared) {
    if (pe.column / shared.call.plan.width >= shared.call.plan.groups) co_return;
    Decode decode(pe, shared);
    co_await decode.run();
}

}  // namespace

Program attention_decode_program(AttentionCall call, const Mesh& mesh) {
    const AttentionPlan p = call.plan;
    WB_EXPECT(call.a.seq == 1);
    const std::int64_t heads = p.jobs * p.shared;
    // The maxima and the results go down the same columns, one after the other.
    const LineSum scores(mesh, p.width, heads * p.keys, 0), peaks(mesh, p.rows, heads, 4),
        results(mesh, p.rows, heads * (p.values + 1), 8);
    const auto shared = std::make_shared<const Shared>(Shared{std::move(call), scores, peaks, results});
    return [shared](Pe& pe) { return run(pe, *shared); };
}

}  // namespace wb::fabric
