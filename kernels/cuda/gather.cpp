// What the devices hold after a run, put together on rank 0.
#include <algorithm>

#include "core/element.hpp"
#include "core/error.hpp"
#include "kernels/cuda/session.hpp"

namespace wb::cuda {
namespace {

bool before_run(Role role) { return role == Role::input || role == Role::weight || role == Role::state; }

}  // namespace

std::vector<double> CudaSession::values(TensorId local, std::int64_t instance) const {
    const DType type = part_.local.tensor(local).dtype;
    const std::int64_t each = stored_bytes(type), count = part_.local.elements(local);
    std::vector<std::byte> bytes(static_cast<std::size_t>(count * each));
    copy_to_host(bytes.data(), storage_->at(local, instance), count * each, queue_.stream());
    std::vector<double> out(static_cast<std::size_t>(count));
    for (std::size_t i = 0; i < out.size(); ++i)
        out[i] = decode(type, bytes.data() + i * static_cast<std::size_t>(each));
    return out;
}

/// One instance of `whole`; nothing but on rank 0.
std::optional<Output> CudaSession::gathered(TensorId whole, TensorId local, std::int64_t instance) const {
    const Partition::Piece& piece = part_.pieces[index(local)];
    const Tensor& all = whole_->tensor(whole);
    const bool alone = piece.layout.kind == Layout::Kind::replicated;
    Output out{all.name, whole, instance, all.dtype, {}};
    if (alone) {
        if (comm_.rank() != 0) return std::nullopt;
        out.values = values(local, instance);
        return out;
    }
    const double place[] = {static_cast<double>(piece.first)};
    const auto firsts = comm_.gather(place);
    const auto parts = comm_.gather(values(local, instance));
    if (comm_.rank() != 0) return std::nullopt;
    out.values.assign(static_cast<std::size_t>(elements(all.shape)), 0.0);
    const auto dim = static_cast<std::size_t>(piece.layout.dim);
    std::int64_t inner = 1;
    for (std::size_t d = dim + 1; d < all.shape.size(); ++d) inner *= all.shape[d];
    const std::int64_t extent = all.shape[dim] * inner, outer = elements(all.shape) / extent;
    for (std::size_t r = 0; r < parts.size(); ++r) {
        if (piece.layout.kind == Layout::Kind::partial) {
            for (std::size_t i = 0; i < out.values.size(); ++i) out.values[i] += parts[r][i];
            continue;
        }
        const std::int64_t run = static_cast<std::int64_t>(parts[r].size()) / outer;
        for (std::int64_t o = 0; o < outer; ++o)
            std::copy_n(parts[r].begin() + o * run, run,
                        out.values.begin() + o * extent + static_cast<std::int64_t>(firsts[r][0]) * inner);
    }
    return out;
}

std::optional<Outputs> CudaSession::gathered(bool with_changed) const {
    std::vector<bool> wanted(whole_->tensors().size(), false);
    for (std::size_t i = 0; i < wanted.size(); ++i) wanted[i] = whole_->tensors()[i].role == Role::output;
    for (const Op& op : whole_->ops())
        for (TensorId id : op.out)
            if (with_changed && before_run(whole_->tensor(id).role)) wanted[index(id)] = true;
    Outputs out;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        if (!wanted[i]) continue;
        const TensorId whole = tensor_id(i);
        const auto found = std::find_if(part_.pieces.begin(), part_.pieces.end(), [&](const Partition::Piece& p) {
            const auto at = static_cast<std::size_t>(&p - part_.pieces.data());
            return p.whole == whole && part_.local.tensors()[at].role == whole_->tensor(whole).role;
        });
        WB_EXPECT(found != part_.pieces.end());
        const TensorId local = tensor_id(static_cast<std::size_t>(found - part_.pieces.begin()));
        if (found->layout.kind == Layout::Kind::own) {
            const Tensor& t = part_.local.tensor(local);
            const auto ranks = comm_.gather(values(local, 0));
            for (std::size_t r = 0; r < ranks.size(); ++r)
                out.push_back({t.name, whole, static_cast<std::int64_t>(r), t.dtype, ranks[r]});
            continue;
        }
        for (std::int64_t k = 0; k < whole_->instances(whole); ++k)
            if (auto one = gathered(whole, local, k)) out.push_back(std::move(*one));
    }
    if (comm_.rank() != 0) return std::nullopt;
    return out;
}

}  // namespace wb::cuda
