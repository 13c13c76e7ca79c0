// What compositions ask of a session beside its runs.
#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "kernels/cuda/session.hpp"

namespace wb::cuda {

void CudaSession::lack(std::int64_t tokens) {
    WB_EXPECT(missing_.data() != nullptr);
    copy_to_device(missing_.data(), &tokens, sizeof tokens, queue_.stream());
}

void CudaSession::put(std::string_view name, std::span<const std::int32_t> whole) {
    for (std::size_t i = 0; i < part_.local.tensors().size(); ++i) {
        const Tensor& t = part_.local.tensors()[i];
        if (t.role != Role::input || t.dtype != DType::int32 || t.name != name) continue;
        const std::int64_t first = part_.pieces[i].first, count = elements(t.shape);
        WB_EXPECT(static_cast<std::int64_t>(whole.size()) >= first + count);
        copy_to_device(storage_->at(tensor_id(i), 0), whole.data() + first, count * 4, queue_.stream());
    }
}

std::vector<float> CudaSession::losses() const {
    const std::optional<TensorId> id = losses_of(part_.local);
    if (!id) return {};
    std::vector<float> out(static_cast<std::size_t>(part_.local.elements(*id)));
    copy_to_host(out.data(), storage_->at(*id, 0), static_cast<std::int64_t>(out.size() * sizeof(float)),
                 queue_.stream());
    return out;
}

std::vector<BestToken> CudaSession::best_tokens(const TokenChoice& choice, std::int64_t number,
                                                std::int64_t sequences) const {
    const LogitsPart logits(part_);
    const Stream s = queue_.stream();
    std::vector<std::uint64_t> keys;
    for (std::int64_t r = 0; choice.temperature > 0 && r < logits.rows; ++r)
        keys.push_back(choice.key(number, logits.first_row + r));
    const auto key_bytes = static_cast<std::int64_t>(keys.size() * sizeof keys[0]);
    if (keys_.bytes() < key_bytes) keys_ = Memory(key_bytes);
    if (!keys.empty()) copy_to_device(keys_.data(), keys.data(), key_bytes, s);
    const auto best_bytes = logits.rows * static_cast<std::int64_t>(sizeof(BestToken));
    if (best_.bytes() < best_bytes) best_ = Memory(best_bytes);
    wb::cuda::choose(s, part_.local.tensor(logits.id).dtype, storage_->at(logits.id, 0),
                     reinterpret_cast<BestToken*>(best_.data()), {logits.rows, logits.columns}, logits.first_column,
                     keys.empty() ? nullptr : reinterpret_cast<const std::uint64_t*>(keys_.data()), choice.temperature);
    std::vector<BestToken> out(static_cast<std::size_t>(sequences));
    copy_to_host(out.data() + logits.first_row, best_.data(), best_bytes, s);
    return out;
}

std::string CudaSession::first_nonfinite() {
    const auto run = [this](std::size_t b, std::int64_t k, int op) {
        const auto i = static_cast<std::size_t>(op);
        runners_[i].run(operands_.data() + block_operands_[b] + static_cast<std::size_t>(k) * iteration_operands_[b] +
                        op_operands_[i]);
    };
    const auto finite = [this](TensorId id, std::int64_t iteration) {
        const std::vector<double> all = values(id, iteration);
        return std::all_of(all.begin(), all.end(), [](double x) { return std::isfinite(x); });
    };
    return wb::first_nonfinite(part_.local, run, finite, fused_);
}

}  // namespace wb::cuda
