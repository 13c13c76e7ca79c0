#include "models/attention_laws.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "core/error.hpp"
#include "models/vector_laws.hpp"

namespace wb {
namespace {

std::int64_t parts(std::int64_t n, std::int64_t of) { return (n + of - 1) / of; }
std::int64_t floor_div(std::int64_t n, std::int64_t d) { return n >= 0 ? n / d : -parts(-n, d); }
double real(std::int64_t n) { return static_cast<double>(n); }

/// The scores of one chunk of queries with one block of keys: runs of queries that see the same key slot.
struct Block {
    double runs = 0, size = 0;
};

/// Times of one PE's vector instructions and messages.
struct Clock {
    const Mesh& mesh;
    DType type;

    double start() const { return mesh.vector_start_cycles; }
    double hop() const { return 2 * mesh.ramp_cycles + 2; }  ///< store and forward to the neighbour
    double begin() const { return mesh.microthread_start_cycles + start(); }
    double wavelets(std::int64_t elements) const { return real(parts(elements, elements_per_wavelet(type))); }
    /// `count` vector instructions of `elements` each: whole cycles.
    double sweeps(double count, double elements, double element_cycles) const {
        return std::ceil(count * (start() + elements * element_cycles));
    }
    /// `count` instructions over each run of a block.
    double runs(double count, const Block& b, double element_cycles) const {
        return std::ceil(count * (b.runs * start() + b.size * element_cycles));
    }
    double product(std::int64_t features, const Block& b) const {
        return runs(real(features), b, mixed_element_cycles(mesh, type));
    }
};

Block block_of(const Attributes& a, const AttentionPlan& p, std::int64_t first, std::int64_t end) {
    Block b;
    for (std::int64_t key = 0; key < p.keys; ++key) {
        const SlotRange seen = visible_slots(a, p, key);
        const std::int64_t slots = std::min(seen.first + seen.count, end) - std::max(seen.first, first);
        if (slots <= 0) continue;
        b.runs += 1;
        b.size += real(slots * p.shared);
    }
    return b;
}

/// One round: in each step a block of `features` for each key goes to the next row, while it is multiplied.
struct Round {
    double step = 0;  ///< cycles

    Round(const Clock& c, const AttentionPlan& p, const Block& b, std::int64_t features, double beside) {
        const double move = c.begin() + c.wavelets(p.keys * features) + 2 * c.mesh.ramp_cycles + 3;
        last = c.mesh.task_start_cycles + c.product(features, b) + beside;
        step = p.rows == 1 ? last : std::max(last, move);
    }
    double last = 0;  ///< nothing moves on in it
};

/// How much longer than its wavelets a message of a step takes where it limits the steps: a root inside the group takes
/// sums from both sides through one ramp, and has the weights of one step before it sends those of the next. Read off
/// the simulator, at groups of 16 and 32 columns.
constexpr double sum_meeting = 1.7, weight_meeting = 1.4;

/// Scores: `beside` is the arithmetic of what passes along the group.
double score_cycles(const Clock& c, const AttentionPlan& p, const Block& b) {
    if (p.width == 1) {
        const Round alone(c, p, b, p.features, 0);
        return (p.rows - 1) * alone.step + alone.last;
    }
    // A PE passes sums on once a step; as their root it adds those from both sides. While a task starts, that is free.
    const double width = p.width, added = b.size * (width == 2 ? 0.5 : (width + 1) / width);
    const double free = std::max(0.0, c.mesh.task_start_cycles - c.begin() - c.hop());
    const Round round(c, p, b, p.features, std::max(0.0, added - free));
    // A sum has passed the group when the next one begins; where the roots turn, its way is in the way.
    const double pass = c.begin() + (p.width == 2 ? 1 : sum_meeting) * b.size;
    const double way = c.begin() + b.size + c.hop() * (width - 1);
    const double step = std::max(round.step, pass), turns = std::floor((p.rows - 1.0) / p.width);
    return (p.rows - 1) * step + round.last + turns * std::max(0.0, way - step) + way;
}

double value_cycles(const Clock& c, const AttentionPlan& p, const Block& b) {
    const Round round(c, p, b, p.values, 0);
    if (p.width == 1) return (p.rows - 1) * round.step + round.last;
    const double weights = c.wavelets(static_cast<std::int64_t>(b.size));
    const double way = c.begin() + weights + c.hop() * (p.width - 1);
    const double step = std::max(round.step, c.begin() + (p.width == 2 ? 1 : weight_meeting) * weights);
    const double turns = std::floor((p.rows - 1.0) / p.width);
    return way + (p.rows - 1) * step + turns * std::max(0.0, way - step) + round.last;
}

double softmax_cycles(const Clock& c, const AttentionPlan& p, const Block& b, std::int64_t queries) {
    const double blocks = real(parts(p.rows, p.width)), slow = c.mesh.f32_sram_fma_cycles;
    const double passes =
        c.sweeps(1, b.size, slow) + c.sweeps(exp_passes, b.size, slow) + c.runs(1, b, slow) + c.runs(2, b, slow);
    return blocks * passes + 2 * (line_allreduce(c.mesh, p.width, queries).cycles + c.mesh.task_start_cycles);
}

double chunk_cycles(const Clock& c, const Attributes& a, const AttentionPlan& p, std::int64_t chunk) {
    const std::int64_t first = p.queries * chunk / p.chunks, end = p.queries * (chunk + 1) / p.chunks;
    const std::int64_t queries = (end - first) * p.shared;
    const Block b = block_of(a, p, first, end);
    const double slow = c.mesh.f32_sram_fma_cycles;
    return score_cycles(c, p, b) + softmax_cycles(c, p, b, queries) + value_cycles(c, p, b) +
           c.sweeps(reciprocal_passes, real(queries), slow) + c.sweeps(1, real(queries * p.values), slow);
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

double attention_prefill_cycles(const Mesh& mesh, const Attributes& a, DType type, const AttentionPlan& p) {
    double cycles = 0;
    for (std::int64_t chunk = 0; chunk < p.chunks; ++chunk) cycles += chunk_cycles(Clock{mesh, type}, a, p, chunk);
    return real(p.jobs) * cycles;
}

double attention_decode_cycles(const Mesh& mesh, const Attributes&, DType type, const AttentionPlan& p) {
    const Clock c{mesh, type};
    const std::int64_t heads = p.jobs * p.shared, scores = heads * p.keys;
    const double slow = mesh.f32_sram_fma_cycles, mixed = mixed_element_cycles(mesh, type),
                 task = mesh.task_start_cycles;
    const double weighted = std::min(c.sweeps(real(heads * p.keys), real(p.values), mixed),
                                     c.sweeps(real(p.jobs * p.keys * p.values), real(p.shared), mixed));
    return c.sweeps(real(heads * p.features), real(p.keys), mixed) + line_allreduce(mesh, p.width, scores).cycles +
           task + c.sweeps(2, real(scores), slow) + line_allreduce(mesh, p.rows, heads).cycles + task +
           c.sweeps(2 + exp_passes, real(scores), slow) + weighted +
           line_allreduce(mesh, p.rows, heads * (p.values + 1)).cycles + task +
           c.sweeps(reciprocal_passes, real(heads), slow) + c.sweeps(1, real(heads * p.values), slow);
}

std::int64_t attention_sram_bytes(const Attributes& a, DType type, const AttentionPlan& p) {
    const std::int64_t wide = 4, element = bits(type) / 8;
    const std::int64_t cache = p.jobs * p.keys * (p.features + p.values) * element;
    if (a.seq == 1) {
        const std::int64_t heads = p.jobs * p.shared;
        return cache + heads * p.features * element + wide * heads * (p.keys + p.values + 2);
    }
    // Later queries see no fewer keys.
    const auto most = static_cast<std::int64_t>(block_of(a, p, p.queries - p.chunk(), p.queries).size);
    const std::int64_t scores = most + most % 2;
    const std::int64_t own = p.jobs * p.queries * p.shared * (p.features + p.values) * element;
    const std::int64_t moving = 2 * p.keys * std::max(p.features, p.values) * element;
    const std::int64_t blocks = parts(p.rows, p.width) + (p.width > 1 ? 2 : 0);
    return cache + own + moving + wide * (blocks * scores + p.chunk() * p.shared * (p.values + 2));
}

namespace {

/// The plan with the fewest chunks whose scores fit; with one chunk a query slot if none does.
AttentionPlan fitting(const Mesh& mesh, const Attributes& a, DType type, AttentionPlan p) {
    if (a.seq == 1) return p;
    while (p.chunks < p.queries && attention_sram_bytes(a, type, p) > mesh.sram_bytes)
        p.chunks = std::min(p.queries, p.chunks + 1 + p.chunks / 4);
    return p;
}

}  // namespace

PlannedAttention plan_attention(const Mesh& mesh, const Attributes& a, DType type, int rows, int columns) {
    PlannedAttention best;
    best.cycles = std::numeric_limits<double>::infinity();
    std::int64_t least = std::numeric_limits<std::int64_t>::max();
    const int widest = static_cast<int>(std::min<std::int64_t>(columns, std::max(a.head_dim, a.v_head_dim)));
    for (int width = 1; width <= widest; ++width) {
        const AttentionPlan plan = fitting(mesh, a, type, attention_plan(a, type, rows, columns, width));
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
