#pragma once

#include <cstdint>

#include "core/dtype.hpp"
#include "core/op.hpp"
#include "models/mesh.hpp"

namespace wb {

/// How attention is dealt over a rectangle of PEs, the same in prefill and decode, so that the cache need not move:
///  - positions over mesh rows in stripes: position p of a sequence lies in row p mod rows, so that a causal mask
///  leaves
///    the same work to every row (Brandon et al. 2023, "Striped Attention");
///  - the key-value heads of all sequences, with the query heads that share them, one after another over groups of
///    `width` columns, the features of a head over the columns of its group.
struct AttentionPlan {
    int rows = 1, columns = 1;  ///< of the rectangle
    int width = 1;              ///< columns of a group
    int groups = 1;             ///< columns / width, or as many as there are jobs
    std::int64_t jobs = 1;      ///< key-value heads of all sequences that one group works through
    // Of one job on one PE.
    std::int64_t shared = 1;    ///< query heads that share a key-value head
    std::int64_t queries = 1;   ///< positions of queries, padding included
    std::int64_t keys = 1;      ///< positions of keys, padding included (even in f16)
    std::int64_t shift = 0;     ///< query slot a and key slot a + shift hold the same position in the row's stripe
    std::int64_t features = 1;  ///< of queries and keys
    std::int64_t values = 1;    ///< features of values
    std::int64_t chunks = 1;    ///< of the queries, one after another: each needs SRAM for its scores

    std::int64_t chunk() const { return (queries + chunks - 1) / chunks; }  ///< query slots of the largest
};

/// The plan with this group width and one chunk. Throws Error if the width is not in 1 .. columns.
AttentionPlan attention_plan(const Attributes& a, DType type, int rows, int columns, int width);

/// Query slots [first, first + count) that see some key of slot `key` in some pair of rows.
struct SlotRange {
    std::int64_t first = 0, count = 0;
};
SlotRange visible_slots(const Attributes& a, const AttentionPlan& plan, std::int64_t key);

/// Cycles of attention of many queries, in two rounds. Keys go round the rows of the mesh, two hops a step; each PE
/// multiplies those it has with its queries, over its features, and the sums over the group's columns end at one of
/// them in turn. Softmax, with two reductions along the group. Then values go round while the probabilities of that
/// column pass along the group (the products of He et al., OSDI 2025).
double attention_prefill_cycles(const Mesh& mesh, const Attributes& a, DType type, const AttentionPlan& plan);

/// Cycles of attention of one query a sequence: scores of each row's own keys, added up over the group's columns; then
/// the maxima, and the sums of weights and weighted values, are reduced over the rows.
double attention_decode_cycles(const Mesh& mesh, const Attributes& a, DType type, const AttentionPlan& plan);

/// SRAM of the fullest PE: queries, keys, values and outputs of all its jobs, and the buffers of the program.
std::int64_t attention_sram_bytes(const Attributes& a, DType type, const AttentionPlan& plan);

/// The quickest plan that fits the SRAM, over all useful widths; with one query a sequence it is decoding. Throws Error
/// if none fits: how many bytes the smallest is over.
struct PlannedAttention {
    AttentionPlan plan;
    double cycles = 0;
    std::int64_t sram_bytes = 0;
};
PlannedAttention plan_attention(const Mesh& mesh, const Attributes& a, DType type, int rows, int columns);

}  // namespace wb
