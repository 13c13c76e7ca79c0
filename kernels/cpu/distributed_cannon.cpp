#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "core/error.hpp"
#include "kernels/cpu/distributed_gemm.hpp"

namespace wb::cpu {
namespace {

/// Rank (i, j) multiplies A(i, l) by B(l, j) for l = i + j, i + j + 1, ...: blocks of A move left, of B up, the next
/// pair while this one is multiplied.
class Cannon final : public DistributedGemm {
public:
    Cannon(const DistributedShape& shape, const RankGrid& grid, Comm& comm, int threads)
        : DistributedGemm(shape, grid, comm, threads), q_(grid.rows) {
        WB_EXPECT(grid.rows == grid.columns && grid.layers == 1);
        std::int64_t widest = 0;
        for (int l = 0; l < q_; ++l) {
            product_.prepare(inner(l));
            widest = std::max(widest, inner(l));
        }
        for (int i = 0; i < 2 && q_ > 1; ++i) {
            a_memory_[i] = extra(a().rows.count * widest);
            b_memory_[i] = extra(widest * b().columns.count);
        }
        flops_ = 2.0 * static_cast<double>(c().elements()) * static_cast<double>(shape.k);
    }

    void run(const std::byte* a_given, const std::byte* b_given, std::byte* c_given) override {
        std::memset(c_given, 0, static_cast<std::size_t>(c().elements() * size()));
        const int skew = seat_.row + seat_.column;
        const std::byte *a_now = a_given, *b_now = b_given;
        // Whoever holds the first pair of a rank sends it there; rows and columns that lie right stay.
        if (seat_.row != 0)
            a_now = move(*seat_.along_row, a_given, a().rows.count * inner(seat_.column), seat_.column - seat_.row,
                         a_memory_[0], a().rows.count * inner(skew), skew);
        if (seat_.column != 0)
            b_now = move(*seat_.along_column, b_given, inner(seat_.row) * b().columns.count, seat_.row - seat_.column,
                         b_memory_[0], inner(skew) * b().columns.count, skew);
        wait();
        for (int step = 0; step < q_; ++step) {
            const std::int64_t now = inner(skew + step), next = inner(skew + step + 1);
            const std::byte *a_next = a_now, *b_next = b_now;
            if (step + 1 < q_) {
                a_next = move(*seat_.along_row, a_now, a().rows.count * now, seat_.column - 1,
                              a_memory_[(step + 1) % 2], a().rows.count * next, seat_.column + 1);
                b_next = move(*seat_.along_column, b_now, now * b().columns.count, seat_.row - 1,
                              b_memory_[(step + 1) % 2], next * b().columns.count, seat_.row + 1);
            }
            product_(a_now, b_now, c_given, now, [this] {
                for (const auto& p : pending_) p->test();
            });
            wait();
            a_now = a_next;
            b_now = b_next;
        }
    }

private:
    int around(int i) const { return (i % q_ + q_) % q_; }
    std::int64_t inner(int block) const { return shard(shape_.k, around(block), q_).count; }

    /// Starts both; what is received lies in `memory`.
    const std::byte* move(Comm& ring, const std::byte* from, std::int64_t give, int to, const Buffer& memory,
                          std::int64_t take, int source) {
        pending_.push_back(ring.start_receive(memory.data(), take, shape_.type, around(source)));
        pending_.push_back(ring.start_send(from, give, shape_.type, around(to)));
        return memory.data();
    }
    void wait() {
        for (const auto& p : pending_) p->wait();
        pending_.clear();
    }

    int q_;
    std::array<Buffer, 2> a_memory_, b_memory_;
    std::vector<std::unique_ptr<Pending>> pending_;
};

}  // namespace

std::unique_ptr<DistributedGemm> make_cannon(const DistributedShape& shape, const RankGrid& grid, Comm& comm,
                                             int threads) {
    return std::make_unique<Cannon>(shape, grid, comm, threads);
}

}  // namespace wb::cpu
