#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "core/comm.hpp"
#include "kernels/cpu/distributed_grid.hpp"
#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/storage.hpp"

namespace wb::cpu {

/// C[m,n] = A[m,k] B[k,n] over ranks: element type f32 or f64, all matrices row-major.
struct DistributedShape {
    std::int64_t m = 0, n = 0, k = 0;
    DType type = DType::f64;
};

/// The rows and columns of a matrix that a rank holds, dense and row-major; none on layers above the first.
struct Patch {
    Range rows{0, 0}, columns{0, 0};
    std::int64_t elements() const { return rows.count * columns.count; }
};

/// A rank's seat in the grid, and those it speaks with.
struct Seat {
    Seat(const RankGrid& grid, Comm& comm);
    RankGrid grid;
    int row, column, layer;
    std::unique_ptr<Comm> along_row, along_column, across_layers;  ///< ranked by column, by row, by layer
};

/// C += A B of m x w and w x n, in slices of rows, between which messages under way are given the processor.
class PanelProduct {
public:
    /// `sliced`: something is under way meanwhile.
    PanelProduct(DType type, std::int64_t m, std::int64_t n, int threads, bool sliced);
    /// Makes ready what `width` needs; others throw.
    void prepare(std::int64_t width);
    template <class Poll>
    void operator()(const std::byte* a, const std::byte* b, std::byte* c, std::int64_t width, const Poll& poll) {
        for (std::int64_t row = 0; row < m_; row += slice_) {
            const std::int64_t rows = std::min(slice_, m_ - row);
            products_.at({rows, width})(a + row * width * size_, b, nullptr, c + row * n_ * size_);
            poll();
        }
    }
    std::string library() const;

private:
    GemmType type_;
    std::int64_t m_, n_, slice_, size_;
    int threads_;
    std::map<std::pair<std::int64_t, std::int64_t>, Gemm> products_;  // by rows and width
};

/// A product over ranks made ready on one of them. Blocks lie as shard() cuts them: any extents, divisible or not.
class DistributedGemm {
public:
    virtual ~DistributedGemm() = default;
    /// Collective. This rank's patches; null where it holds none. Returns when its part of C is whole.
    virtual void run(const std::byte* a, const std::byte* b, std::byte* c) = 0;
    Patch a() const { return {shard(shape_.m, seat_.row, grid().rows), shard(shape_.k, seat_.column, grid().columns)}; }
    Patch b() const { return {shard(shape_.k, seat_.row, grid().rows), shard(shape_.n, seat_.column, grid().columns)}; }
    Patch c() const { return {shard(shape_.m, seat_.row, grid().rows), shard(shape_.n, seat_.column, grid().columns)}; }
    bool holds() const { return seat_.layer == 0; }  ///< patches of A, B and C; else it helps only
    double flops() const { return flops_; }          ///< of this rank
    const RankGrid& grid() const { return seat_.grid; }
    std::string library() const { return product_.library(); }
    std::int64_t extra_bytes() const { return extra_bytes_; }  ///< held besides the patches

protected:
    DistributedGemm(const DistributedShape& shape, const RankGrid& grid, Comm& comm, int threads);
    Buffer extra(std::int64_t elements);
    std::int64_t size() const;  ///< bytes of an element

    DistributedShape shape_;
    Seat seat_;
    int threads_;
    PanelProduct product_;
    double flops_ = 0;
    std::int64_t extra_bytes_ = 0;
};

/// `width`: columns of A in a panel of SUMMA and its layered form. Collective over `comm`, which must outlive it.
std::unique_ptr<DistributedGemm> make_summa(const DistributedShape& shape, const RankGrid& grid, std::int64_t width,
                                            Comm& comm, int threads);
/// The grid is square and has one layer.
std::unique_ptr<DistributedGemm> make_cannon(const DistributedShape& shape, const RankGrid& grid, Comm& comm,
                                             int threads);

}  // namespace wb::cpu
