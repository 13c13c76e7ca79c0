#include "kernels/cuda/runner.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace wb::cuda {

std::size_t Steps::pair(double beta1, double beta2) {
    const std::array<double, 2> wanted{beta1, beta2};
    const auto found = std::find(betas_.begin(), betas_.end(), wanted);
    if (found != betas_.end()) return static_cast<std::size_t>(found - betas_.begin());
    betas_.push_back(wanted);
    return betas_.size() - 1;
}

void Steps::allocate(Stream stream) {
    if (betas_.empty()) return;
    const auto pairs = static_cast<std::int64_t>(betas_.size());
    step_ = Memory(sizeof(std::int64_t));
    set_bytes(step_.data(), 0, step_.bytes(), stream);
    device_betas_ = Memory(pairs * static_cast<std::int64_t>(sizeof betas_[0]));
    copy_to_device(device_betas_.data(), betas_.data(), device_betas_.bytes(), stream);
    corrections_ = Memory(pairs * 2 * static_cast<std::int64_t>(sizeof(float)));
}

void Steps::at(std::int64_t done, Stream stream) const {
    if (!betas_.empty()) copy_to_device(step_.data(), &done, sizeof done, stream);
}

void Steps::begin(Stream stream) const {
    if (betas_.empty()) return;
    begin_step(stream, reinterpret_cast<std::int64_t*>(step_.data()),
               reinterpret_cast<const double*>(device_betas_.data()), reinterpret_cast<float*>(corrections_.data()),
               static_cast<int>(betas_.size()));
}

Runner make_runner(const Site& site) {
    switch (site.op.kind) {
        case OpKind::matmul: return make_matmul(site);
        case OpKind::head_matmul: return make_head_matmul(site);
        case OpKind::grouped_matmul: return make_grouped_matmul(site);
        case OpKind::attention:
        case OpKind::attention_backward: return make_attention(site);
        case OpKind::layernorm:
        case OpKind::layernorm_backward:
        case OpKind::rmsnorm:
        case OpKind::rmsnorm_backward:
        case OpKind::softmax:
        case OpKind::softmax_backward:
        case OpKind::sum_rows:
        case OpKind::cross_entropy:
        case OpKind::cross_entropy_backward:
        case OpKind::cross_entropy_join: return make_rows(site);
        case OpKind::gelu:
        case OpKind::gelu_backward:
        case OpKind::silu_mul:
        case OpKind::silu_mul_backward:
        case OpKind::add:
        case OpKind::rope:
        case OpKind::adamw: return make_elements(site);
        case OpKind::concat_heads:
        case OpKind::concat_heads_backward:
        case OpKind::embed:
        case OpKind::embed_backward:
        case OpKind::position_embed:
        case OpKind::position_embed_backward:
        case OpKind::last_rows:
        case OpKind::last_rows_backward:
        case OpKind::cache_write: return make_table(site);
        case OpKind::topk_gate:
        case OpKind::topk_gate_backward:
        case OpKind::moe_dispatch:
        case OpKind::moe_combine:
        case OpKind::moe_combine_backward: return make_experts(site);
        case OpKind::collective: return make_collective(site);
        case OpKind::read:
        case OpKind::load:
        case OpKind::write:
        case OpKind::compile: return {[](Operands) {}};  // nothing that a device computes
    }
    contract_failed("every kind of op is known", __FILE__, __LINE__);
}

}  // namespace wb::cuda
