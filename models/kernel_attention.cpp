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

}  // namespace

Kernel attention(const Device& d, const Attributes& a, double tokens, DType type, bool backward) {
    const double width = bits(type) / 8.0, heads = tokens * static_cast<double>(a.batch * a.heads);
    const double dim = 0.5 * static_cast<double>(a.head_dim + a.v_head_dim);
    const double kv_bytes = tokens * static_cast<double>(a.batch * a.kv_heads * a.seq_kv) *
                            static_cast<double>(a.shared_kv ? a.head_dim : a.head_dim + a.v_head_dim) * width;
    const double q_bytes = 2 * heads * static_cast<double>(a.seq) * dim * width;
    Kernel out;
    out.family = "attention";
    out.bytes = (backward ? 2 : 1) * (kv_bytes + q_bytes);
    const double rate =
        d.constant_or("attention_memory_fraction", d.constant("vector_memory_fraction")) * d.memory_rate();
    double memory = out.bytes / rate;
    const double products = backward ? 10 : 4;  // 2 FLOP x (2 forward, 5 backward) products
    const double peak = d.peak({type}), fraction = d.constant("attention_fraction");
    if (const double passes = d.constant_or("attention_score_passes", 0); passes > 0) {
        // Not fused: the scores of every head go through memory, masked or not; two and a half times so backward.
        const double scores = heads * static_cast<double>(a.seq) * static_cast<double>(a.seq_kv);
        const double masked = a.causal ? d.constant_or("attention_mask_passes", 0) : 0;
        const double crossing = (backward ? 2.5 : 1) * (passes + masked) * scores * width;
        out.bytes += crossing;
        out.flops = products * scores * dim;
        out.time = memory + crossing / (d.constant("vector_memory_fraction") * d.memory_rate()) +
                   out.flops / (fraction * peak);
        return out;
    }
    if (const double burst = d.constant_or("attention_burst", 0); burst > 0 && a.seq == 1 && !backward)
        memory = in_waves(d, tokens * static_cast<double>(a.batch * a.kv_heads), out.bytes, rate, burst);
    const double prologue = d.constant_or("attention_prologue", 0);
    double blocks = 0;
    for (double first = 0; first < static_cast<double>(a.seq); first += block) blocks += visited(a, first) + prologue;
    const double rows = std::min(block, static_cast<double>(a.seq));
    out.flops = products * heads * blocks * rows * block * dim;
    const double narrow = 1 + d.constant_or("attention_width_loss", 0) * 32 / dim;
    out.time = std::max(memory, out.flops * narrow / (fraction * peak));
    return out;
}

}  // namespace wb::cluster
