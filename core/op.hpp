#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.hpp"
#include "core/quantity.hpp"

namespace wb {

using Shape = std::vector<std::int64_t>;
enum class TensorId : std::int32_t {};
constexpr std::size_t index(TensorId id) { return static_cast<std::size_t>(id); }
constexpr TensorId tensor_id(std::size_t i) { return TensorId{static_cast<std::int32_t>(i)}; }

/// Operators. Activations are matrices [tokens, features] in row-major order; tokens = batch * seq, sequence by
/// sequence. The inputs and outputs of each are documented in op_rules.cpp beside the shape rule.
// clang-format off
enum class OpKind : std::uint8_t {
    matmul, grouped_matmul, head_matmul,
    attention, attention_backward,
    layernorm, layernorm_backward, rmsnorm, rmsnorm_backward,
    softmax, softmax_backward, gelu, gelu_backward, silu_mul, silu_mul_backward,
    rope, add, sum_rows,
    embed, embed_backward, position_embed, position_embed_backward, last_rows, last_rows_backward,
    concat_heads, concat_heads_backward,
    topk_gate, topk_gate_backward, moe_dispatch, moe_combine, moe_combine_backward,
    cross_entropy, cross_entropy_backward, cross_entropy_join,
    cache_write, adamw,
    collective,
    read, load, write, compile
};
// clang-format on

enum class CollectiveKind : std::uint8_t { none, allreduce, allgather, reduce_scatter, alltoall, broadcast, send_recv };

/// Parameters of an op; those a kind does not use keep their defaults. All of them enter the fingerprint.
struct Attributes {
    bool trans_a = false, trans_b = false;  ///< matmul: operand is stored transposed
    bool causal = false;                   ///< attention; bottom-right aligned: query i sees keys <= i + seq_kv - seq_q
    bool inverse = false;                  ///< rope: rotate back (its own gradient)
    bool interleaved = false;              ///< rope: pairs (2i, 2i+1) instead of (i, i + rotary_dim/2)
    bool tanh_form = true;                 ///< gelu: tanh approximation, else erf
    bool accumulate = false;               ///< *_backward of tables: add to the last input, in place
    bool shared_kv = false;                ///< attention: values are the first v_head_dim features of the keys
    bool sigmoid = false;                  ///< topk_gate: sigmoid scores (DeepSeek-V3) instead of softmax
    std::int64_t batch = 1, seq = 1;       ///< sequences, and tokens (attention: queries) of each
    std::int64_t seq_kv = 1;               ///< attention: keys of each sequence; cache_write: capacity
    std::int64_t heads = 1, kv_heads = 1;  ///< norms: each head of a row is normalised by itself
    std::int64_t head_dim = 0, v_head_dim = 0;
    std::int64_t window = 0;                         ///< attention: sliding window in keys, 0 = none
    std::int64_t rotary_dim = 0, rotary_offset = 0;  ///< rope: features [offset, offset + dim) of every head turn
    std::int64_t offset = 0;  ///< rope, position_embed, cache_write: position of the first token; shards: first row
    std::int64_t experts = 0, topk = 0;  ///< load: one of so many models alike, 0 = the only one
    std::int64_t rows = 0;               ///< *_backward of tables, of last_rows: rows of the result; compile: operators
    double scale = 1, eps = 0, theta = 0;              ///< attention, loss: scale; norms, adamw: epsilon; rope: base
    double rate = 0, beta1 = 0, beta2 = 0, decay = 0;  ///< adamw
    CollectiveKind collective = CollectiveKind::none;
    std::int64_t ranks = 1;  ///< collective: participants
    bool adapter = false;    ///< matmul, add: of a low-rank adapter, too narrow to be cut (hashed only where true)
    double share = 1;        ///< of a partition: the part of this op's work that repeats no other rank's
};

struct Op {
    OpKind kind;
    std::string name;
    std::vector<TensorId> in, out;  ///< an id in both is changed in place
    Attributes attributes;
};

/// What an operand looks like to the rules of an op.
struct Operand {
    const Shape* shape;
    DType dtype;
};

/// Shapes and types of the outputs. `in_place` >= 0 says that the output is that input.
struct OutputRule {
    Shape shape;
    DType dtype;
    int in_place = -1;
};

/// Checks the inputs of an op and derives its outputs. Throws Error: "op: problem (why). hint".
std::vector<OutputRule> infer(OpKind kind, const std::string& name, std::span<const Operand> in, const Attributes& a);

/// The arithmetic of one execution. `matmul` is what matrix units do (multiply and add counted as 2); `vector` is the
/// rest, one FLOP an elementary operation, exp and tanh included, by the table in op.cpp.
struct Work {
    Flops matmul, vector;
};
Work work(OpKind kind, std::span<const Operand> in, const Attributes& a);

/// Query-key pairs that are not masked, of one head of one sequence.
double visible_pairs(const Attributes& a);

std::string_view name(OpKind kind);
std::string_view name(CollectiveKind kind);
std::int64_t elements(const Shape& shape);

}  // namespace wb
