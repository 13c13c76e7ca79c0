#include <algorithm>

#include "core/error.hpp"
#include "kernels/cpu/gemm_engine.hpp"
#include "kernels/cpu/gemm_simd.hpp"

namespace wb::cpu {

namespace {

constexpr std::int64_t most_rows = 8, most_depth_parts = 8;

std::int64_t divide_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

/// Y[r, j] = sum over i of X[r, i] W(i, j): few rows of X, a large matrix W that is read once.
struct Skinny {
    std::int64_t rows, outputs, depth;
    bool by_output;  ///< W is stored [outputs, depth]; else [depth, outputs]
    bool swapped;    ///< W is A and X is B: n was the small dimension
    std::int64_t x_row, x_depth, y_row, y_output, bias_row, bias_output;  ///< strides in elements
};

Skinny skinny_of(const GemmShape& s) {
    if (s.m <= most_rows && s.m <= s.n)
        return {s.m, s.n, s.k, s.trans_b, false, s.trans_a ? 1 : s.k, s.trans_a ? s.m : 1, s.n, 1, 0, 1};
    return {s.n, s.m, s.k, !s.trans_a, true, s.trans_b ? s.k : 1, s.trans_b ? 1 : s.n, 1, s.n, 1, 0};
}

/// What one thread does in one go: outputs [j0, j1) over depths [i0, i1).
struct Piece {
    std::int64_t j0, j1, i0, i1;
};

/// How far a stream asks memory for what it will read. One stream reads memory fastest: several side by side, at
/// strides that are multiples of 4096 bytes, also push each other out of the nearest cache. So W is read as it lies, by
/// streams of one stored row, unless many rows of X need its elements several times.
constexpr std::int64_t bytes_ahead = 8192;
constexpr int most_streamed = 2;

/// Asks for the line `bytes` behind `from`, which may lie past the end of W.
inline void fetch(const void* from, std::int64_t bytes) {
    const auto address = reinterpret_cast<std::uintptr_t>(from) + static_cast<std::uintptr_t>(bytes);
    // No pointer may leave its array, a number may. NOLINTNEXTLINE(performance-no-int-to-ptr)
    __builtin_prefetch(reinterpret_cast<const void*>(address));
}

/// Registers of W worked on together, and whether the one at `i` is the first of a cache line.
constexpr int chains = 4;
template <class W, class Acc>
constexpr bool first_of_line(int i) {
    return i * Lanes<Acc>::width * static_cast<int>(sizeof(W)) % 64 == 0;
}

/// The dot products of one stored row of W with every row of X.
template <int rows, class W, class Acc>
void dot_stream(const W* w, const Acc* x, std::int64_t length, Acc* y, std::int64_t y_row) {
    constexpr int width = Lanes<Acc>::width;
    typename Lanes<Acc>::Vector sums[rows][chains] = {};
    std::int64_t i = 0;
    for (; i + chains * width <= length; i += chains * width) {
#pragma GCC unroll 4
        for (int c = 0; c < chains; ++c) {
            const std::int64_t at = i + c * width;
            if (first_of_line<W, Acc>(c)) fetch(w + at, bytes_ahead);
            const auto v = load_lanes(w + at);
#pragma GCC unroll 2
            for (int r = 0; r < rows; ++r) sums[r][c] += v * load_lanes(x + r * length + at);
        }
    }
    for (int r = 0; r < rows; ++r) {
        Acc sum = sum_lanes<Acc>((sums[r][0] + sums[r][1]) + (sums[r][2] + sums[r][3]));
        for (std::int64_t t = i; t < length; ++t) sum += widen(w[t]) * x[r * length + t];
        y[r * y_row] = sum;
    }
}

/// `group` outputs at once, each a dot product of a stored row of W with every row of X. Rows are too short for the
/// processor's own prefetching, so the elements `ahead` are asked for: the next group's.
template <int rows, int group, class W, class Acc>
void dot_group(const W* w, std::int64_t depth, std::int64_t ahead, const Acc* x, std::int64_t length, Acc* y,
               std::int64_t y_row) {
    constexpr int width = Lanes<Acc>::width;
    typename Lanes<Acc>::Vector sums[group][rows] = {};
    std::int64_t i = 0;
    for (; i + width <= length; i += width) {
        typename Lanes<Acc>::Vector xs[rows];
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) xs[r] = load_lanes(x + r * length + i);
#pragma GCC unroll 8
        for (int g = 0; g < group; ++g) {
            const auto v = load_lanes(w + g * depth + i);
            __builtin_prefetch(w + g * depth + i + ahead);
#pragma GCC unroll 8
            for (int r = 0; r < rows; ++r) sums[g][r] += v * xs[r];
        }
    }
    for (int g = 0; g < group; ++g) {
        for (int r = 0; r < rows; ++r) {
            Acc sum = sum_lanes<Acc>(sums[g][r]);
            for (std::int64_t t = i; t < length; ++t) sum += widen(w[g * depth + t]) * x[r * length + t];
            y[r * y_row + g] = sum;
        }
    }
}

template <int rows, class W, class Acc>
void dots(const W* w, const Skinny& p, const Piece& piece, const Acc* x, Acc* y) {
    const std::int64_t length = piece.i1 - piece.i0;
    std::int64_t j = piece.j0;
    if constexpr (rows > most_streamed) {
        constexpr int group = 2;
        for (; j + group <= piece.j1; j += group)
            dot_group<rows, group>(w + j * p.depth + piece.i0, p.depth, j + 2 * group <= piece.j1 ? group * p.depth : 0,
                                   x, length, y + j, p.outputs);
        for (; j < piece.j1; ++j)
            dot_group<rows, 1>(w + j * p.depth + piece.i0, p.depth, 0, x, length, y + j, p.outputs);
    } else {
        for (; j < piece.j1; ++j) dot_stream<rows>(w + j * p.depth + piece.i0, x, length, y + j, p.outputs);
    }
}

/// Adds elements [from, to) of `deep` stored rows of W, each row times its own factor, to every row of Y.
template <int rows, int deep, class W, class Acc>
void add_part(const W* w, std::int64_t w_row, std::int64_t from, std::int64_t to, std::int64_t ahead, const Acc* x,
              std::int64_t x_row, Acc* y, std::int64_t y_row) {
    constexpr int width = Lanes<Acc>::width;
    std::int64_t j = from;
    for (; j + chains * width <= to; j += chains * width) {
#pragma GCC unroll 4
        for (int c = 0; c < chains; ++c) {
            const std::int64_t at = j + c * width;
            typename Lanes<Acc>::Vector sums[rows];
#pragma GCC unroll 2
            for (int r = 0; r < rows; ++r) sums[r] = load_lanes(y + r * y_row + at);
#pragma GCC unroll 2
            for (int d = 0; d < deep; ++d) {
                if (first_of_line<W, Acc>(c)) fetch(w + d * w_row + at, ahead);
                const auto v = load_lanes(w + d * w_row + at);
#pragma GCC unroll 2
                for (int r = 0; r < rows; ++r) sums[r] += v * x[r * x_row + d];
            }
#pragma GCC unroll 2
            for (int r = 0; r < rows; ++r) store_lanes(y + r * y_row + at, sums[r]);
        }
    }
    for (; j < to; ++j)
        for (int r = 0; r < rows; ++r)
            for (int d = 0; d < deep; ++d) y[r * y_row + j] += widen(w[d * w_row + j]) * x[r * x_row + d];
}

/// The first `count` elements of `length` stored rows of W, `deep` rows at a time; what is asked for lies rows further
/// down where they are short. Adds; returns the rows done, a multiple of `deep`.
template <int rows, int deep, class W, class Acc>
std::int64_t add_stream(const W* w, std::int64_t w_row, const Acc* x, std::int64_t length, std::int64_t count, Acc* y,
                        std::int64_t y_row) {
    constexpr auto size = static_cast<std::int64_t>(sizeof(W));
    constexpr std::int64_t whole = chains * Lanes<Acc>::width, ahead = bytes_ahead / deep / size;
    const std::int64_t down = ahead / count, right = ahead % count, turn = (count - right) / whole * whole;
    const std::int64_t before = (down * deep * w_row + right) * size;
    const std::int64_t after = ((down + 1) * deep * w_row + right - count) * size;
    std::int64_t i = 0;
    for (; i + deep <= length; i += deep, w += deep * w_row) {
        add_part<rows, deep>(w, w_row, 0, turn, before, x + i, length, y, y_row);
        add_part<rows, deep>(w, w_row, turn, count, after, x + i, length, y, y_row);
    }
    return i;
}

/// Adds `deep` stored rows of W, each times its own factor, to `count` outputs of every row of Y.
template <int rows, int deep, class W, class Acc>
void add_rows(const W* w, std::int64_t w_row, std::int64_t ahead, const Acc* x, std::int64_t x_row, std::int64_t count,
              Acc* y, std::int64_t y_row) {
    constexpr int width = Lanes<Acc>::width;
    std::int64_t j = 0;
    for (; j + width <= count; j += width) {
        typename Lanes<Acc>::Vector ws[deep];
#pragma GCC unroll 8
        for (int d = 0; d < deep; ++d) {
            ws[d] = load_lanes(w + d * w_row + j);
            __builtin_prefetch(w + d * w_row + j + ahead);
        }
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) {
            auto sum = load_lanes(y + r * y_row + j);
#pragma GCC unroll 8
            for (int d = 0; d < deep; ++d) sum += ws[d] * x[r * x_row + d];
            store_lanes(y + r * y_row + j, sum);
        }
    }
    for (; j < count; ++j) {
        for (int r = 0; r < rows; ++r) {
            Acc sum = y[r * y_row + j];
            for (int d = 0; d < deep; ++d) sum += widen(w[d * w_row + j]) * x[r * x_row + d];
            y[r * y_row + j] = sum;
        }
    }
}

template <int rows, class W, class Acc>
void axpys(const W* w, const Skinny& p, const Piece& piece, const Acc* x, Acc* y) {
    // Outputs whose sums stay in the nearest caches; wider where only that keeps the stream whole.
    constexpr std::int64_t panel = rows <= most_streamed ? 8192 / rows : 2048;
    const std::int64_t length = piece.i1 - piece.i0;
    for (std::int64_t j = piece.j0; j < piece.j1; j += panel) {
        const std::int64_t count = std::min(panel, piece.j1 - j);
        for (int r = 0; r < rows; ++r) std::fill_n(y + r * p.outputs + j, count, Acc{0});
        const W* from = w + piece.i0 * p.outputs + j;
        if constexpr (rows > most_streamed) {
            constexpr int deep = 8;
            std::int64_t i = 0;
            for (; i + deep <= length; i += deep)
                add_rows<rows, deep>(from + i * p.outputs, p.outputs, i + 2 * deep <= length ? deep * p.outputs : 0,
                                     x + i, length, count, y + j, p.outputs);
            for (; i < length; ++i)
                add_rows<rows, 1>(from + i * p.outputs, p.outputs, 0, x + i, length, count, y + j, p.outputs);
        } else {
            // Where the sums crowd the nearest cache, two rows share each visit to them.
            const bool crowded = rows * count > 4096;
            const std::int64_t done =
                crowded ? add_stream<rows, 2>(from, p.outputs, x, length, count, y + j, p.outputs) : 0;
            add_stream<rows, 1>(from + done * p.outputs, p.outputs, x + done, length - done, count, y + j, p.outputs);
        }
    }
}

template <class W, class Out, class Acc>
class Gemv final : public GemmEngine {
public:
    Gemv(const GemmShape& shape, int threads) : shape_(shape), problem_(skinny_of(shape)), threads_(threads) {
        padded_rows_ = problem_.rows <= 2 ? problem_.rows : problem_.rows <= 4 ? 4 : 8;
        const std::int64_t lanes = 64;  // of outputs per thread at least: whole cache lines of any type
        const std::int64_t wanted = divide_up(threads, shape.batch);
        const std::int64_t most_outputs = divide_up(problem_.outputs, lanes),
                           most_depths = divide_up(problem_.depth, lanes);
        if (problem_.by_output || padded_rows_ > most_streamed) {
            output_parts_ = std::min(most_outputs, wanted);
            depth_parts_ = std::clamp<std::int64_t>(wanted / output_parts_, 1, most_depths);
        } else {  // whole stored rows for each thread, while the sums to add up stay few
            depth_parts_ = std::min({wanted, most_depths, most_depth_parts});
            output_parts_ = std::clamp<std::int64_t>(wanted / depth_parts_, 1, most_outputs);
        }
        y_.resize(static_cast<std::size_t>(shape.batch * depth_parts_ * padded_rows_ * problem_.outputs));
        x_.resize(static_cast<std::size_t>(threads * padded_rows_ * problem_.depth));
    }

    void run(const void* a, const void* b, const void* bias, void* c) override {
        const std::int64_t pieces = shape_.batch * output_parts_ * depth_parts_;
#pragma omp parallel num_threads(threads_)
        {
            const std::int64_t me = omp_get_thread_num();
            const std::int64_t all = omp_get_num_threads();
            for (std::int64_t t = me; t < pieces; t += all) multiply(t, a, b, x_.data() + me * x_size());
#pragma omp barrier
            for (std::int64_t t = me; t < pieces; t += all)
                finish(t, static_cast<const Out*>(bias), static_cast<Out*>(c));
        }
    }

    std::string library() const override { return "waferbench gemv"; }

private:
    std::int64_t x_size() const { return padded_rows_ * problem_.depth; }
    std::int64_t y_size() const { return padded_rows_ * problem_.outputs; }

    std::int64_t cut(std::int64_t total, std::int64_t parts, std::int64_t i) const {
        return std::min(total, divide_up(divide_up(total, parts), 64) * 64 * i);
    }

    void multiply(std::int64_t t, const void* a, const void* b, Acc* x) {
        const std::int64_t batch = t / (output_parts_ * depth_parts_);
        const std::int64_t j = t / depth_parts_ % output_parts_;
        const std::int64_t i = t % depth_parts_;
        const Skinny& p = problem_;
        const Piece piece{cut(p.outputs, output_parts_, j), cut(p.outputs, output_parts_, j + 1),
                          cut(p.depth, depth_parts_, i), cut(p.depth, depth_parts_, i + 1)};
        const W* left = static_cast<const W*>(a) + batch * shape_.stride_a;
        const W* right = static_cast<const W*>(b) + batch * shape_.stride_b;
        pack(p.swapped ? right : left, piece, x);
        const W* w = p.swapped ? left : right;
        Acc* y = y_.data() + (batch * depth_parts_ + i) * y_size();
        if (padded_rows_ == 1) return product<1>(w, piece, x, y);
        if (padded_rows_ == 2) return product<2>(w, piece, x, y);
        if (padded_rows_ == 4) return product<4>(w, piece, x, y);
        product<8>(w, piece, x, y);
    }

    template <int rows>
    void product(const W* w, const Piece& piece, const Acc* x, Acc* y) const {
        if (problem_.by_output) {
            dots<rows>(w, problem_, piece, x, y);
        } else {
            axpys<rows>(w, problem_, piece, x, y);
        }
    }

    void pack(const W* from, const Piece& piece, Acc* x) const {
        const std::int64_t length = piece.i1 - piece.i0;
        const std::int64_t step = problem_.x_depth;
        for (std::int64_t r = 0; r < padded_rows_; ++r) {
            Acc* row = x + r * length;
            const W* source = from + r * problem_.x_row + piece.i0 * step;
            if (r >= problem_.rows) {
                std::fill_n(row, length, Acc{0});
            } else {
                for (std::int64_t i = 0; i < length; ++i) row[i] = widen(source[i * step]);
            }
        }
    }

    /// Adds up the depth parts, bias and old C for a share of the outputs, and rounds once.
    void finish(std::int64_t t, const Out* bias, Out* c) const {
        const Skinny& p = problem_;
        const std::int64_t shares = output_parts_ * depth_parts_;
        const std::int64_t batch = t / shares;
        const std::int64_t begin = cut(p.outputs, shares, t % shares);
        const std::int64_t end = cut(p.outputs, shares, t % shares + 1);
        for (std::int64_t r = 0; r < p.rows; ++r) {
            const Acc* y = y_.data() + batch * depth_parts_ * y_size() + r * p.outputs;
            Out* to = c + batch * shape_.stride_c + r * p.y_row;
            for (std::int64_t j = begin; j < end; ++j) {
                Acc sum = y[j];
                for (std::int64_t i = 1; i < depth_parts_; ++i) sum += y[i * y_size() + j];
                if (shape_.bias) sum += widen(bias[r * p.bias_row + j * p.bias_output]);
                if (shape_.accumulate) sum += widen(to[j * p.y_output]);
                narrow(sum, to[j * p.y_output]);
            }
        }
    }

    GemmShape shape_;
    Skinny problem_;
    int threads_;
    std::int64_t padded_rows_ = 0, output_parts_ = 1, depth_parts_ = 1;
    std::vector<Acc> y_;  ///< [batch, depth_parts, padded_rows, outputs]
    std::vector<Acc> x_;  ///< [threads, padded_rows, depth], each thread's own copy
};

}  // namespace

std::unique_ptr<GemmEngine> make_gemv(const GemmShape& shape, GemmType type, int threads) {
    if (std::min(shape.m, shape.n) > most_rows) return nullptr;
    switch (type) {
        case GemmType::f64: return std::make_unique<Gemv<double, double, double>>(shape, threads);
        case GemmType::f32: return std::make_unique<Gemv<float, float, float>>(shape, threads);
        case GemmType::bf16: return std::make_unique<Gemv<bf16, bf16, float>>(shape, threads);
        case GemmType::bf16_f32: return std::make_unique<Gemv<bf16, float, float>>(shape, threads);
        case GemmType::int8_int32: return nullptr;
    }
    return nullptr;
}

}  // namespace wb::cpu
