#pragma once

#include "core/op.hpp"
#include "models/device.hpp"

namespace wb::cluster {

/// What one kernel costs a unit, without the launch: seconds of the busier of its two sides, and what it moves.
struct Kernel {
    double time = 0;   ///< s, on the device alone
    double bytes = 0;  ///< through main memory
    double flops = 0;
    double arithmetic = 0;  ///< s of its products alone, without tiles: what it takes as a stage of a fused layer
    double stored = 0;      ///< bytes of weights and caches: those that cross main memory whatever it is fused with
    bool exists = true;     ///< false: fused into its neighbour or a change of view, nothing is launched
    const char* family = "gemm";  ///< names the constants of its launch
};

/// Seconds of a kernel that runs by itself. The host needs `<family>_launch_time` for the call whatever the device does
/// meanwhile, and the device begins `<family>_start_time` (or `start_time`) after it: without the second, one follows
/// the other.
double alone(const Device& device, const Kernel& kernel);

/// A product of `groups` independent pairs, each C[m,n] = A[m,k] B[k,n].
struct Product {
    double groups = 1, m = 1, n = 1, k = 1;
    DType a, b, c;
    bool shared_b = false;     ///< all groups multiply the same B
    bool ready = false;        ///< scales known ahead: `gemm_ready_fraction_<type>` where the device has it
    bool searched = false;     ///< the best shape of a search: `gemm_searched_tile_loss` where it is known
    bool along_depth = false;  ///< the larger operand lies row by row along k: `gemm_depth_memory_fraction`
};

/// Tiles dealt to SMs in waves, K split where that pays, the slower of arithmetic and memory; without tile constants
/// (devices that are no GPU) one wave. Fitted form: 3-7 % held out on two sets of published GEMM times.
Kernel product(const Device& device, const Product& p);

/// Queries, scores and output are in the one; keys and values lie in memory in the other, and are widened on the way.
struct AttentionTypes {
    DType query, cache;
};

/// Blocks of 128 queries by 128 keys; masked blocks are skipped whole, each query block pays a prologue
/// (FlashAttention-2/3). Few queries: bound by reading the keys and values; where `attention_burst` is known, in waves
/// of one block for each sequence and key-value head, none of which reads faster than that many even shares of the
/// memory; where `attention_head_fraction` is known, each query head reads the keys and values of its group by itself.
/// Libraries that do not fuse move the scores through memory (`attention_score_passes`). `tokens`: the share of the
/// sequences worked on.
Kernel attention(const Device& device, const Attributes& a, double tokens, const AttentionTypes& types, bool backward);

/// Reads and writes `bytes` at memory or, where they fit, cache speed. `family` names the constant:
/// "softmax", "norm", "elementwise", "gated", "rotation", "gather", "optimizer". Rows of `row_bytes` that a block
/// cannot keep while it reduces them are read a second time, all but the first `<family>_kept_bytes`.
Kernel moving(const Device& device, const char* family, double bytes, double row_bytes = 0);

}  // namespace wb::cluster
