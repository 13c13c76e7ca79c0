#include "kernels/reference/collective.hpp"

#include "core/element.hpp"
#include "core/error.hpp"
#include "core/fill.hpp"

namespace wb::reference {
namespace {

/// Elements [first, first + count) of the buffer of rank `of`, added to or put at `to`.
class Buffers {
public:
    Buffers(const Tensor& tensor, std::uint64_t seed) : tensor_(tensor), seed_(seed) {}

    void add(std::int64_t of, std::int64_t first, std::int64_t count, double* to) const {
        const FillStream stream(tensor_.fill, seed_, tensor_.name, of);
        for (std::int64_t i = 0; i < count; ++i) to[i] += rounded(stream(first + i), tensor_.dtype);
    }

private:
    const Tensor& tensor_;
    std::uint64_t seed_;
};

}  // namespace

std::vector<double> collective_result(CollectiveKind kind, std::int64_t ranks, std::int64_t rank, std::int64_t total,
                                      const Tensor& tensor, std::uint64_t seed) {
    WB_EXPECT(ranks >= 1 && rank >= 0 && rank < ranks);
    const Buffers buffers(tensor, seed);
    const std::int64_t part = total / ranks;
    std::vector<double> out(kind == CollectiveKind::reduce_scatter ? part : total, 0.0);
    switch (kind) {
        case CollectiveKind::allreduce:
            for (std::int64_t r = 0; r < ranks; ++r) buffers.add(r, 0, total, out.data());
            break;
        case CollectiveKind::reduce_scatter:
            WB_EXPECT(total % ranks == 0);
            for (std::int64_t r = 0; r < ranks; ++r) buffers.add(r, rank * part, part, out.data());
            break;
        case CollectiveKind::allgather:
            WB_EXPECT(total % ranks == 0);
            for (std::int64_t r = 0; r < ranks; ++r) buffers.add(r, 0, part, out.data() + r * part);
            break;
        case CollectiveKind::alltoall:
            WB_EXPECT(total % ranks == 0);
            for (std::int64_t r = 0; r < ranks; ++r) buffers.add(r, rank * part, part, out.data() + r * part);
            break;
        case CollectiveKind::broadcast: buffers.add(0, 0, total, out.data()); break;
        case CollectiveKind::send_recv: buffers.add((rank + ranks - 1) % ranks, 0, total, out.data()); break;
        case CollectiveKind::none: buffers.add(rank, 0, total, out.data()); break;
    }
    return out;
}

std::vector<double> filled(const Tensor& tensor, std::uint64_t seed, std::int64_t instance, std::int64_t count) {
    std::vector<double> out(count, 0.0);
    if (tensor.fill.kind != Fill::Kind::none) Buffers(tensor, seed).add(instance, 0, count, out.data());
    return out;
}

}  // namespace wb::reference
