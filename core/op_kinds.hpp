#pragma once

#include <algorithm>
#include <array>
#include <string_view>

#include "core/op.hpp"

namespace wb {

/// What an op is called and how many tensors it takes.
struct KindRow {
    OpKind kind;
    std::string_view name;
    int min_inputs, max_inputs;
};

/// By OpKind.
inline constexpr std::array kinds{
    KindRow{OpKind::matmul, "matmul", 2, 3},
    KindRow{OpKind::grouped_matmul, "grouped_matmul", 3, 3},
    KindRow{OpKind::head_matmul, "head_matmul", 2, 2},
    KindRow{OpKind::attention, "attention", 3, 3},
    KindRow{OpKind::attention_backward, "attention_backward", 6, 6},
    KindRow{OpKind::layernorm, "layernorm", 3, 3},
    KindRow{OpKind::layernorm_backward, "layernorm_backward", 3, 3},
    KindRow{OpKind::rmsnorm, "rmsnorm", 2, 2},
    KindRow{OpKind::rmsnorm_backward, "rmsnorm_backward", 3, 3},
    KindRow{OpKind::softmax, "softmax", 1, 1},
    KindRow{OpKind::softmax_backward, "softmax_backward", 2, 2},
    KindRow{OpKind::gelu, "gelu", 1, 1},
    KindRow{OpKind::gelu_backward, "gelu_backward", 2, 2},
    KindRow{OpKind::silu_mul, "silu_mul", 2, 2},
    KindRow{OpKind::silu_mul_backward, "silu_mul_backward", 3, 3},
    KindRow{OpKind::rope, "rope", 1, 1},
    KindRow{OpKind::add, "add", 2, 2},
    KindRow{OpKind::sum_rows, "sum_rows", 1, 1},
    KindRow{OpKind::embed, "embed", 2, 2},
    KindRow{OpKind::embed_backward, "embed_backward", 2, 3},
    KindRow{OpKind::position_embed, "position_embed", 2, 2},
    KindRow{OpKind::position_embed_backward, "position_embed_backward", 1, 1},
    KindRow{OpKind::last_rows, "last_rows", 1, 1},
    KindRow{OpKind::last_rows_backward, "last_rows_backward", 1, 1},
    KindRow{OpKind::concat_heads, "concat_heads", 2, 2},
    KindRow{OpKind::concat_heads_backward, "concat_heads_backward", 1, 1},
    KindRow{OpKind::topk_gate, "topk_gate", 1, 1},
    KindRow{OpKind::topk_gate_backward, "topk_gate_backward", 4, 4},
    KindRow{OpKind::moe_dispatch, "moe_dispatch", 2, 2},
    KindRow{OpKind::moe_combine, "moe_combine", 2, 3},
    KindRow{OpKind::moe_combine_backward, "moe_combine_backward", 4, 4},
    KindRow{OpKind::cross_entropy, "cross_entropy", 2, 2},
    KindRow{OpKind::cross_entropy_backward, "cross_entropy_backward", 3, 3},
    KindRow{OpKind::cross_entropy_join, "cross_entropy_join", 1, 1},
    KindRow{OpKind::cache_write, "cache_write", 2, 2},
    KindRow{OpKind::adamw, "adamw", 4, 5},
    KindRow{OpKind::collective, "collective", 1, 1},
    KindRow{OpKind::read, "read", 1, 1},
    KindRow{OpKind::load, "load", 1, 1},
    KindRow{OpKind::write, "write", 1, 1},
    KindRow{OpKind::compile, "compile", 0, 0},
};
static_assert(std::ranges::all_of(kinds, [](const KindRow& row) { return &row == &kinds[std::size_t(row.kind)]; }));

}  // namespace wb
