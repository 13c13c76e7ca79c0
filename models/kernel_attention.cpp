#include <algorithm>
#include <cmath>

#include "models/kernel.hpp"

namespace wb::cluster {
namespace {

constexpr double block = 128;  // queries and keys of one step of FlashAttention-2 and later

/// Key blocks that the query block starting at `first` visits.
double visited(const Attributes& a, double first) {
    const double q = static_cast<double>(a.seq), kv = static_cast<double>(a.seq_kv);
    const double last = std::min(q, first + block) - 1 + (kv - q);  // the newest key its last query sees
    const double end = a.causal || a.window > 0 ? std::min(kv, last + 1) : kv;
    const double begin = a.window > 0 ? std::max(0.0, first + (kv - q) - static_cast<double>(a.window) + 1) : 0.0;
    return std::ceil(end / block) - std::floor(begin / block);
}

/// One query for each head: `count` blocks that read `bytes` together, dealt to the SMs in waves.
double in_waves(const Device& d, double count, double bytes, double rate, double burst) {
    const double full = std::floor(count / d.parts()), rest = count - full * d.parts();
    const double last = rest > 0 ? bytes * rest / count / (rate * std::min(1.0, burst * rest / d.parts())) : 0;
    return bytes * (count - rest) / count / rate + last +
           std::ceil(count / d.parts()) * d.constant_or("attention_wave_time", 0);
}

struct Sizes {
    double heads, dim, width, peak;  ///< width: bytes of a score; peak: FLOP/s of the products
    double kv_bytes, q_bytes, scores;
};

Sizes sizes(const Device& d, const Attributes& a, double tokens, const AttentionTypes& types) {
    Sizes s{};
    s.width = bits(types.query) / 8.0;
    s.peak = d.peak(types.query);
    s.heads = tokens * static_cast<double>(a.batch * a.heads);
    s.dim = 0.5 * static_cast<double>(a.head_dim + a.v_head_dim);
    s.kv_bytes = tokens * static_cast<double>(a.batch * a.kv_heads * a.seq_kv) *
                 static_cast<double>(a.shared_kv ? a.head_dim : a.head_dim + a.v_head_dim) * bits(types.cache) / 8.0;
    s.q_bytes = 2 * s.heads * static_cast<double>(a.seq) * s.dim * s.width;
    s.scores = s.heads * static_cast<double>(a.seq) * static_cast<double>(a.seq_kv);
    return s;
}

/// Reading the keys and values of a cache, seconds: all heads of a group at once, or each by itself.
double reading(const Device& d, const Attributes& a, const Sizes& s, double tokens, double bytes, double rate) {
    double time = bytes / rate;
    if (const double burst = d.constant_or("attention_burst", 0); burst > 0)
        time = in_waves(d, tokens * static_cast<double>(a.batch * a.kv_heads), bytes, rate, burst);
    if (const double each = d.constant_or("attention_head_fraction", 0); each > 0)
        time = std::max(time, s.kv_bytes * static_cast<double>(a.heads) / static_cast<double>(a.kv_heads) /
                                  (each * d.memory_rate()));
    return time;
}

/// Scores that are not fused go through memory, masked or not, two and a half times as often backward. Each of the
/// products reads or writes them once and hides its arithmetic under that as far as it is the shorter.
Kernel unfused(const Device& d, const Attributes& a, const Sizes& s, double passes, bool backward, Kernel out) {
    const double rate = d.constant("vector_memory_fraction") * d.memory_rate();
    const double products = backward ? 5 : 2, masked = a.causal ? d.constant_or("attention_mask_passes", 0) : 0;
    const double once = s.scores * s.width;
    const double moved =
        d.constant_or("attention_operand_passes", 1) * out.bytes + (backward ? 2.5 : 1) * (passes + masked) * once;
    out.flops = 2 * products * s.scores * s.dim;
    out.bytes = moved;
    out.time =
        moved / rate + std::max(0.0, out.flops / (d.constant("attention_fraction") * s.peak) - products * once / rate);
    return out;
}

/// What a library loses beside its products: blocks each block of queries pays before its first, and the width loss of
/// narrow heads. The backward pass has its own, where they are known: five products share one round of exponentials.
struct Losses {
    double prologue, width;
};

Losses losses_of(const Device& d, bool backward) {
    const double prologue = d.constant_or("attention_prologue", 0), width = d.constant_or("attention_width_loss", 0);
    if (!backward) return {prologue, width};
    return {d.constant_or("attention_backward_prologue", prologue),
            d.constant_or("attention_backward_width_loss", width)};
}

/// FLOPs of the blocks that are visited, and of the prologue each block of queries pays: of one product.
double block_flops(const Attributes& a, const Sizes& s, double prologue) {
    double blocks = 0;
    for (double first = 0; first < static_cast<double>(a.seq); first += block) blocks += visited(a, first) + prologue;
    return 2 * s.heads * blocks * std::min(block, static_cast<double>(a.seq)) * block * s.dim;
}

/// Factor on the time of arithmetic: exponentials beside narrow heads, fewer blocks in flight of heads wider than 128,
/// and blocks of queries that are dealt unevenly under a causal mask.
double slowdown(const Device& d, const Attributes& a, const Sizes& s, double width_loss) {
    const double narrow = width_loss * 32 / s.dim;
    const double wide = d.constant_or("attention_wide_loss", 0) * std::max(0.0, s.dim / 128 - 1);
    const double causal = a.causal && a.seq > 1 ? d.constant_or("attention_causal_loss", 0) : 0;
    return (1 + narrow) * (1 + wide) * (1 + causal);
}

}  // namespace

Kernel attention(const Device& d, const Attributes& a, double tokens, const AttentionTypes& types, bool backward) {
    const Sizes s = sizes(d, a, tokens, types);
    Kernel out;
    out.family = "attention";
    out.bytes = (backward ? 2 : 1) * (s.kv_bytes + s.q_bytes);
    if (const double passes = d.constant_or("attention_score_passes", 0); passes > 0)
        return unfused(d, a, s, passes, backward, out);
    const double rate =
        d.constant_or("attention_memory_fraction", d.constant("vector_memory_fraction")) * d.memory_rate();
    const bool decoding = a.seq == 1 && !backward;
    const double memory = decoding ? reading(d, a, s, tokens, out.bytes, rate) : out.bytes / rate;
    const Losses lost = losses_of(d, backward);
    out.flops = (backward ? 5 : 2) * block_flops(a, s, lost.prologue);
    const double forward = d.constant("attention_fraction");
    const double fraction = backward ? d.constant_or("attention_backward_fraction", forward) : forward;
    out.arithmetic = out.flops * slowdown(d, a, s, lost.width) / (fraction * s.peak);
    out.stored = a.seq_kv > a.seq ? s.kv_bytes : 0;  // else keys and values were made just now
    out.time = std::max(memory, out.arithmetic);
    return out;
}

}  // namespace wb::cluster
