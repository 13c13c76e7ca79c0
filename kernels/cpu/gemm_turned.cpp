#include <algorithm>
#include <utility>

#include "kernels/cpu/bf16.hpp"
#include "kernels/cpu/gemm_engine.hpp"

namespace wb::cpu {

namespace {

using Line = std::uint16_t __attribute__((vector_size(32)));
constexpr std::int64_t side = 16;                              // of the squares turned in registers
constexpr std::int64_t most_turned = std::int64_t{128} << 20;  // bytes of B turned
constexpr std::int64_t slice_bytes = std::int64_t{16} << 20;   // of A turned at a time: near the last cache

template <int first, int... lane>
Line interleave(Line a, Line b, std::integer_sequence<int, lane...>) {
    return __builtin_shufflevector(a, b, (first + lane / 2 + (lane % 2 != 0 ? 16 : 0))...);
}

/// Four perfect shuffles of 16 lines turn a square: each moves one bit of the row's number into the column's.
void turn_square(const std::uint16_t* from, std::int64_t from_row, std::uint16_t* to, std::int64_t to_row) {
    Line now[side], next[side];
    for (int i = 0; i < side; ++i) __builtin_memcpy(&now[i], from + i * from_row, sizeof(Line));
    const auto lanes = std::make_integer_sequence<int, 16>{};
#pragma GCC unroll 4
    for (int stage = 0; stage < 4; ++stage) {
#pragma GCC unroll 8
        for (int i = 0; i < side / 2; ++i) {
            next[2 * i] = interleave<0>(now[i], now[i + side / 2], lanes);
            next[2 * i + 1] = interleave<8>(now[i], now[i + side / 2], lanes);
        }
#pragma GCC unroll 16
        for (int i = 0; i < side; ++i) now[i] = next[i];
    }
    for (int i = 0; i < side; ++i) __builtin_memcpy(to + i * to_row, &now[i], sizeof(Line));
}

/// to[cols, rows] = from[rows, cols] turned, rows of `to` to_row apart; in bands that fill cache lines of `to`.
void turn(const std::uint16_t* from, std::int64_t from_row, std::int64_t rows, std::int64_t cols, std::uint16_t* to,
          std::int64_t to_row, int threads) {
    constexpr std::int64_t band = 2 * side;
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t first = 0; first < rows; first += band) {
        const std::int64_t last = std::min(rows, first + band);
        std::int64_t j = 0;
        if (last - first == band)
            for (; j + side <= cols; j += side)
                for (std::int64_t i = first; i < last; i += side)
                    turn_square(from + i * from_row + j, from_row, to + j * to_row + i, to_row);
        for (; j < cols; ++j)
            for (std::int64_t i = first; i < last; ++i) to[j * to_row + i] = from[i * from_row + j];
    }
}

/// A as [m, k] and B as [n, k], turned first where they are stored the other way: dot products of bf16 pairs want both
/// along k. The rows of a turned A come in slices. Rows a multiple of 4096 bytes apart push each other out of the
/// nearest cache: where both are turned, zeros at their ends keep them from that.
class TurnedGemm final : public GemmEngine {
public:
    TurnedGemm(const GemmShape& shape, GemmType type, int threads)
        : shape_(shape), out_size_(static_cast<std::int64_t>(element_sizes(type).out)), threads_(threads) {
        const bool both = shape.trans_a && !shape.trans_b;
        depth_ = shape.k + (both && shape.k % 2048 == 0 ? 2 * side : 0);
        slice_ =
            shape.trans_a ? std::clamp<std::int64_t>(slice_bytes / (2 * depth_) / side * side, side, shape.m) : shape.m;
        whole_ = make_onednn_matmul(inner(slice_), type, threads);
        const std::int64_t rest = shape.m % slice_;
        if (rest > 0) rest_ = make_onednn_matmul(inner(rest), type, threads);
        if (shape.trans_a) a_.resize(static_cast<std::size_t>(slice_ * depth_));
        if (!shape.trans_b) b_.resize(static_cast<std::size_t>(shape.n * depth_));
    }
    bool usable() const { return whole_ != nullptr && (rest_ != nullptr || shape_.m % slice_ == 0); }

    void run(const void* a, const void* b, const void* bias, void* c) override {
        const GemmShape& s = shape_;
        if (!s.trans_b) turn(static_cast<const std::uint16_t*>(b), s.n, s.k, s.n, b_.data(), depth_, threads_);
        const void* const columns = s.trans_b ? b : b_.data();
        for (std::int64_t i = 0; i < s.m; i += slice_) {
            const std::int64_t rows = std::min(slice_, s.m - i);
            if (s.trans_a) turn(static_cast<const std::uint16_t*>(a) + i, s.m, s.k, rows, a_.data(), depth_, threads_);
            GemmEngine& product = rows == slice_ ? *whole_ : *rest_;
            product.run(s.trans_a ? a_.data() : a, columns, bias, static_cast<char*>(c) + i * s.n * out_size_);
        }
    }

    std::string library() const override { return whole_->library() + " on turned operands"; }

private:
    GemmShape inner(std::int64_t rows) const {
        GemmShape s = shape_;
        s.m = rows;
        s.k = depth_;
        s.trans_a = false;
        s.trans_b = true;
        return s;
    }

    GemmShape shape_;
    std::int64_t out_size_, depth_ = 0, slice_ = 0;
    int threads_;
    std::unique_ptr<GemmEngine> whole_, rest_;
    std::vector<std::uint16_t> a_, b_;  ///< a slice of A as [rows, depth]; B as [n, depth]; zeros past k
};

}  // namespace

std::unique_ptr<GemmEngine> make_turned_gemm(const GemmShape& shape, GemmType type, int threads) {
    const bool bf16_in = type == GemmType::bf16 || type == GemmType::bf16_f32;
    if (!bf16_in || shape.batch > 1 || (!shape.trans_a && shape.trans_b)) return nullptr;
    if (!shape.trans_b && 2 * shape.n * shape.k > most_turned) return nullptr;
    auto engine = std::make_unique<TurnedGemm>(shape, type, threads);
    if (!engine->usable()) return nullptr;
    return engine;
}

}  // namespace wb::cpu
