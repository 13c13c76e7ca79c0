#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "kernels/cpu/distributed_gemm.hpp"

namespace wb::cpu {
namespace {

/// One layer: panel by panel, the next one under way while this one is multiplied. Several: the first layer's blocks
/// copied to the others, a run of panels on each, the sums of C brought back.
class Summa final : public DistributedGemm {
public:
    Summa(const DistributedShape& shape, const RankGrid& grid, std::int64_t width, Comm& comm, int threads)
        : DistributedGemm(shape, grid, comm, threads) {
        std::vector<Panel> all =
            panels_of(shape.k, grid, std::min(width, std::max<std::int64_t>(1, shape.k / grid.layers)));
        const Range mine = shard(static_cast<std::int64_t>(all.size()), seat_.layer, grid.layers);
        panels_.assign(all.begin() + mine.first, all.begin() + mine.first + mine.count);
        std::int64_t widest = 0;
        for (const Panel& p : panels_) {
            product_.prepare(p.width);
            widest = std::max(widest, p.width);
            flops_ += 2.0 * static_cast<double>(c().elements()) * static_cast<double>(p.width);
        }
        for (Slot& s : slots_) {
            s.a_memory = extra(a().rows.count * widest);
            s.b_memory = extra(grid.rows > 1 ? widest * b().columns.count : 0);
        }
        if (seat_.layer == 0) return;
        a_copy_ = extra(a().elements());
        b_copy_ = extra(b().elements());
        c_part_ = extra(c().elements());
    }

    void run(const std::byte* a_given, const std::byte* b_given, std::byte* c_given) override {
        a_ = holds() ? a_given : a_copy_.data();
        b_ = holds() ? b_given : b_copy_.data();
        std::byte* const sum = holds() ? c_given : c_part_.data();
        if (grid().layers > 1) copy_to_layers();
        std::memset(sum, 0, static_cast<std::size_t>(c().elements() * size()));
        if (!panels_.empty()) start(0);
        for (std::size_t i = 0; i < panels_.size(); ++i) {
            Slot& now = slots_[i % 2];
            for (const auto& p : now.pending) p->wait();
            now.pending.clear();
            if (i + 1 < panels_.size()) start(i + 1);
            Slot& next = slots_[(i + 1) % 2];
            product_(now.a_memory.data(), now.b, sum, panels_[i].width, [&next] {
                for (const auto& p : next.pending) p->test();
            });
        }
        if (grid().layers > 1) seat_.across_layers->reduce(sum, c_given, c().elements(), shape_.type, 0);
    }

private:
    struct Slot {
        Buffer a_memory, b_memory;
        const std::byte* b = nullptr;  ///< the panel of B: where it lies, or what was received
        std::vector<std::unique_ptr<Pending>> pending;
    };

    /// A broadcast does not write at its root.
    static std::byte* sent(const std::byte* p) { return const_cast<std::byte*>(p); }

    void copy_to_layers() {
        const auto more_a = seat_.across_layers->start_broadcast(sent(a_), a().elements(), shape_.type, 0);
        const auto more_b = seat_.across_layers->start_broadcast(sent(b_), b().elements(), shape_.type, 0);
        more_a->wait();
        more_b->wait();
    }

    void start(std::size_t i) {
        const Panel& p = panels_[i];
        Slot& slot = slots_[i % 2];
        const std::int64_t rows = a().rows.count, held = a().columns.count, columns = b().columns.count;
        if (p.a_column == seat_.column) {
            const std::byte* from = a_ + (p.first - a().columns.first) * size();
            for (std::int64_t r = 0; r < rows; ++r)
                std::memcpy(slot.a_memory.data() + r * p.width * size(), from + r * held * size(),
                            static_cast<std::size_t>(p.width * size()));
        }
        if (grid().columns > 1)
            slot.pending.push_back(
                seat_.along_row->start_broadcast(slot.a_memory.data(), rows * p.width, shape_.type, p.a_column));
        slot.b = p.b_row == seat_.row ? b_ + (p.first - b().rows.first) * columns * size() : slot.b_memory.data();
        if (grid().rows > 1)
            slot.pending.push_back(
                seat_.along_column->start_broadcast(sent(slot.b), p.width * columns, shape_.type, p.b_row));
    }

    std::vector<Panel> panels_;
    std::array<Slot, 2> slots_;
    Buffer a_copy_, b_copy_, c_part_;
    const std::byte *a_ = nullptr, *b_ = nullptr;
};

}  // namespace

std::unique_ptr<DistributedGemm> make_summa(const DistributedShape& shape, const RankGrid& grid, std::int64_t width,
                                            Comm& comm, int threads) {
    return std::make_unique<Summa>(shape, grid, width, comm, threads);
}

}  // namespace wb::cpu
