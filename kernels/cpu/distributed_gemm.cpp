#include "kernels/cpu/distributed_gemm.hpp"

#include <algorithm>
#include <set>

#include "core/element.hpp"
#include "core/error.hpp"

namespace wb::cpu {
namespace {

/// Rows of a slice: long enough for a library to reach its speed, short enough that messages do not wait.
constexpr std::int64_t slice_rows = 256;

}  // namespace

Seat::Seat(const RankGrid& g, Comm& comm) : grid(g) {
    WB_EXPECT(g.ranks() == comm.size());
    layer = comm.rank() / (g.rows * g.columns);
    row = comm.rank() / g.columns % g.rows;
    column = comm.rank() % g.columns;
    along_row = comm.split(layer * g.rows + row, column);
    along_column = comm.split(layer * g.columns + column, row);
    across_layers = comm.split(row * g.columns + column, layer);
}

PanelProduct::PanelProduct(DType type, std::int64_t m, std::int64_t n, int threads, bool sliced)
    : type_(type == DType::f64 ? GemmType::f64 : GemmType::f32),
      m_(m),
      n_(n),
      slice_(sliced ? std::min(m, slice_rows) : m),
      size_(stored_bytes(type)),
      threads_(threads) {
    WB_EXPECT(type == DType::f64 || type == DType::f32);
}

void PanelProduct::prepare(std::int64_t width) {
    for (const std::int64_t rows : std::set<std::int64_t>{slice_, m_ % slice_}) {
        if (rows == 0 || products_.contains({rows, width})) continue;
        GemmShape s;
        s.m = rows, s.n = n_, s.k = width;
        s.accumulate = true;
        products_.try_emplace({rows, width}, s, type_, threads_);
    }
}

std::string PanelProduct::library() const { return products_.empty() ? "" : products_.begin()->second.library(); }

DistributedGemm::DistributedGemm(const DistributedShape& shape, const RankGrid& grid, Comm& comm, int threads)
    : shape_(shape),
      seat_(grid, comm),
      threads_(threads),
      product_(shape.type, shard(shape.m, seat_.row, grid.rows).count, shard(shape.n, seat_.column, grid.columns).count,
               threads, comm.size() > 1) {}

std::int64_t DistributedGemm::size() const { return stored_bytes(shape_.type); }

Buffer DistributedGemm::extra(std::int64_t elements) {
    extra_bytes_ += elements * size();
    Buffer out(elements * size());
    out.fill(0, threads_);
    return out;
}

}  // namespace wb::cpu
