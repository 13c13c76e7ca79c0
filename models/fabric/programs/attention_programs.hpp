#pragma once

#include "core/op.hpp"
#include "models/attention_laws.hpp"
#include "models/fabric/programs/tile.hpp"

namespace wb::fabric {

/// Attention of the reference operator (scaled, causal or not, sliding window, several query heads to one key-value
/// head), dealt over the mesh as `plan` says. Probabilities are rounded to `type`; sums are made in f32.
struct AttentionCall {
    Attributes a;
    Type type = Type::f32;
    AttentionPlan plan;  ///< of attention_plan() or plan_attention(); its rows and columns are those of the mesh
    Load q, k, v;        ///< [batch * seq, heads * head_dim], [batch * seq_kv, kv_heads * ...]
    Store out;           ///< [batch * seq, heads * v_head_dim]
    Store lse;           ///< [batch * heads, seq]: logarithm of the sum of exponentials; may be empty
};

/// Any number of queries. Keys go round the rows, and the scores of each step are added up along the group at one of
/// its columns in turn; softmax with reductions along the group; values go round while that column's probabilities pass
/// along the group. Twelve colours.
Program attention_prefill_program(AttentionCall call, const Mesh& mesh);

/// One query a sequence, its features replicated on all mesh rows, and so is the result. Twelve colours.
Program attention_decode_program(AttentionCall call, const Mesh& mesh);

/// Useful FLOPs of the op, as the graph counts them.
double attention_flops(const Attributes& a);

}  // namespace wb::fabric
