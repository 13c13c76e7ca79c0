#include "models/attention_laws.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "core/error.hpp"
#include "models/vector_laws.hpp"

namespace wb {
namespace {

std::int64_t parts(std::int64_t n, std::int64_t of) { return (n + of - 1) / of; }
std::int64_t floor_div(std::int64_t n, std::int64_t d) { return n >= 0 ? n / d : -parts(-n, d); }
double real(std::int64_t n) { return static_cast<double>(n); }

/// Times of one PE's vector instructions and messages.
struct Clock {
    const Mesh& mesh;
    DType type;

    double start() const { return mesh.vector_start_cycles; }
    double hop() const { return 2 * mesh.ramp_cycles + 2; }  // store and forward to the neighbour
    /// `count` vector instructions of `elements` each.
    double f32(double count, double elements) const { return count * (start() + elements * mesh.f32_sram_fma_cycles); }
    double mixed(double count, double elements) const {
        return count * (start() + elements * mixed_element_cycles(mesh, type));
    }
    double wavelets(std::int64_t elements) const { return real(parts(elements, elements_per_wavelet(type))); }
};

/// Passes of the online softmax: scale and mask, maximum, difference, exp, sum; of each query: maximum, difference,
/// exp, sum.
constexpr int score_passes = 4 + exp_passes, query_passes = 3 + exp_passes;

/// One of the two products of a step: for each feature and key slot an instruction over the queries that see it.
double product_cycles(const Clock& c, const Attributes& a, const AttentionPlan& p, std::int64_t features) {
    double count = 0, elements = 0;
    for (std::int64_t key = 0; key < p.keys; ++key) {
        const std::int64_t seen = visible_slots(a, p, key).count * p.shared;
        if (seen == 0) continue;
        count += 1;
        elements += real(seen);
    }
    return count == 0 ? 0 : real(features) * c.mixed(count, elements / count);
}

/// Slices of `wavelets` each, one for each column of a group, pass along it both ways at once; each PE handles all of
/// them but its own once, and two of them or its own twice.
double exchange_cycles(const Clock& c, const AttentionPlan& p, double wavelets) {
    if (p.width == 1) return 0;
    return 2 * c.start() + (p.width + 1) * wavelets + c.hop() * (p.width - 1);
}

double job_cycles(const Clock& c, const Attributes& a, const AttentionPlan& p) {
    const std::int64_t queries = p.queries * p.shared, slice = parts(queries, p.width);
    const double step = product_cycles(c, a, p, p.features) + exchange_cycles(c, p, real(slice * p.keys)) +
                        c.f32(score_passes, real(slice * p.keys)) + c.f32(query_passes, real(slice)) +
                        exchange_cycles(c, p, c.wavelets(slice * (p.keys + elements_per_wavelet(c.type)))) +
                        c.f32(1, real(queries * p.values)) + product_cycles(c, a, p, p.values);
    const double shift = c.mesh.microthread_start_cycles + c.start() + c.wavelets(p.keys * (p.features + p.values)) +
                         2 * c.mesh.ramp_cycles + 2;
    const double end =
        c.f32(reciprocal_passes, real(slice)) + exchange_cycles(c, p, real(slice)) + c.f32(1, real(queries * p.values));
    return (p.rows - 1) * std::max(step, shift) + step + end;
}

}  // namespace

AttentionPlan attention_plan(const Attributes& a, DType type, int rows, int columns, int width) {
    if (width < 1 || width > columns)
        throw Error({"attention", fmt::format("a group of {} columns does not fit {} columns", width, columns),
                     "the features of a head lie on the columns of a group", "Use fewer columns a group."});
    AttentionPlan p;
    p.rows = rows;
    p.columns = columns;
    p.width = width;
    const std::int64_t jobs = a.batch * a.kv_heads;
    p.groups = static_cast<int>(std::min<std::int64_t>(columns / width, jobs));
    p.jobs = parts(jobs, p.groups);
    p.shared = a.heads / a.kv_heads;
    const std::int64_t slots = parts(a.seq_kv, rows);
    p.shift = floor_div(a.seq_kv - a.seq, rows);
    p.queries = slots - p.shift;
    p.keys = type == DType::f16 ? 2 * parts(slots, 2) : slots;
    p.features = parts(a.head_dim, width);
    p.values = parts(a.v_head_dim, width);
    return p;
}

SlotRange visible_slots(const Attributes& a, const AttentionPlan& p, std::int64_t key) {
    const bool ordered = a.causal || a.window > 0;
    const std::int64_t first = ordered ? std::max<std::int64_t>(0, key - p.shift) : 0;
    // A query of row r and slot q sees the key of row j if 0 <= (q + shift - key) rows + r - j < window.
    const std::int64_t end =
        a.window > 0 ? std::min(p.queries, key - p.shift + (a.window + p.rows - 2) / p.rows + 1) : p.queries;
    return {first, std::max<std::int64_t>(0, end - first)};
}

double attention_prefill_cycles(const Mesh& mesh, const Attributes& a, DType type, const AttentionPlan& plan) {
    return real(plan.jobs) * job_cycles(Clock{mesh, type}, a, plan);
}

double attention_decode_cycles(const Mesh& mesh, const Attributes&, DType type, const AttentionPlan& p) {
    const Clock c{mesh, type};
    const std::int64_t heads = p.jobs * p.shared, scores = heads * p.keys;
    const double weighted = std::min(c.mixed(real(heads * p.keys), real(p.values)),
                                     c.mixed(real(p.jobs * p.keys * p.values), real(p.shared)));
    return c.mixed(real(heads * p.features), real(p.keys)) + line_allreduce(mesh, p.width, scores).cycles +
           c.f32(2, real(scores)) + line_allreduce(mesh, p.rows, heads).cycles + c.f32(2 + exp_passes, real(scores)) +
           weighted + line_allreduce(mesh, p.rows, heads * (p.values + 1)).cycles +
           c.f32(reciprocal_passes, real(heads)) + c.f32(1, real(heads * p.values));
}

std::int64_t attention_sram_bytes(const Attributes& a, DType type, const AttentionPlan& p) {
    const std::int64_t wide = 4, element = bits(type) / 8, queries = p.queries * p.shared;
    const std::int64_t cache = p.jobs * p.keys * (p.features + p.values) * element;
    if (a.seq == 1) {
        const std::int64_t heads = p.jobs * p.shared;
        return cache + heads * p.features * element + wide * heads * (p.keys + p.values + 2);
    }
    const std::int64_t own = p.jobs * queries * (p.features + p.values) * element;
    const std::int64_t travelling = 2 * p.keys * (p.features + p.values) * element;
    const std::int64_t scores = queries * p.keys * wide, weights = queries * (p.keys + 4 / element) * element;
    return cache + own + travelling + scores + weights + wide * queries * (p.values + 3);
}

PlannedAttention plan_attention(const Mesh& mesh, const Attributes& a, DType type, int rows, int columns) {
    PlannedAttention best;
    best.cycles = std::numeric_limits<double>::infinity();
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    const int widest = static_cast<int>(std::min<std::int64_t>(columns, std::max(a.head_dim, a.v_head_dim)));
    for (int width = 1; width <= widest; ++width) {
        const AttentionPlan plan = attention_plan(a, type, rows, columns, width);
        const std::int64_t bytes = attention_sram_bytes(a, type, plan);
        least = std::min(least, bytes);
        if (bytes > mesh.sram_bytes) continue;
        const double cycles =
            a.seq == 1 ? attention_decode_cycles(mesh, a, type, plan) : attention_prefill_cycles(mesh, a, type, plan);
        if (cycles < best.cycles) best = {plan, cycles, bytes};
    }
    if (best.sram_bytes == 0)
        throw Error({"attention",
                     fmt::format("needs {} bytes more than the {} of a PE", least - mesh.sram_bytes, mesh.sram_bytes),
                     "queries, keys, values and scores lie in SRAM", "Use more PEs or shorter sequences."});
    return best;
}

}  // namespace wb
