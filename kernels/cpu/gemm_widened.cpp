#include <algorithm>

#include "kernels/cpu/bf16.hpp"
#include "kernels/cpu/gemm_engine.hpp"

namespace wb::cpu {

namespace {

/// Columns of B and C widened at a time: k = 768 of them take 3 MB, so sgemm finds them in cache.
constexpr std::int64_t panel = 1024;

void widen_block(const bf16* from, std::int64_t from_row, std::int64_t rows, std::int64_t cols, float* to) {
#pragma omp for schedule(static)
    for (std::int64_t r = 0; r < rows; ++r) {
        const bf16* source = from + r * from_row;
        float* target = to + r * cols;
#pragma omp simd
        for (std::int64_t j = 0; j < cols; ++j) target[j] = to_float(source[j]);
    }
}

template <class Out>
class WidenedGemm final : public GemmEngine {
public:
    WidenedGemm(const GemmShape& shape, int threads)
        : shape_(shape),
          threads_(threads),
          a_(static_cast<std::size_t>(shape.m * shape.k)),
          b_(static_cast<std::size_t>(shape.k * std::min(panel, shape.n))),
          c_(static_cast<std::size_t>(shape.m * std::min(panel, shape.n))) {}

    void run(const void* a, const void* b, const void* bias, void* c) override {
        const ThreadScope scope(threads_);
        const GemmShape& s = shape_;
        for (std::int64_t i = 0; i < s.batch; ++i) {
            for (std::int64_t j = 0; j < s.n; j += panel) {
                const std::int64_t width = std::min(panel, s.n - j);
                const bool new_a = j == 0 && (i == 0 || s.stride_a != 0);
                widen(new_a ? static_cast<const bf16*>(a) + i * s.stride_a : nullptr,
                      static_cast<const bf16*>(b) + i * s.stride_b, j, width);
                onednn_sgemm({s.trans_a, s.trans_b, s.m, width, s.k, a_.data(), s.trans_a ? s.m : s.k, b_.data(),
                              s.trans_b ? s.k : width, 0.0F, c_.data(), width});
                finish(static_cast<const Out*>(bias), static_cast<Out*>(c) + i * s.stride_c, j, width);
            }
        }
    }

    std::string library() const override { return "oneDNN sgemm on widened bf16"; }

private:
    /// `a` null: as widened before.
    void widen(const bf16* a, const bf16* b, std::int64_t j, std::int64_t width) {
        const GemmShape& s = shape_;
#pragma omp parallel num_threads(threads_)
        {
            if (a != nullptr)
                widen_block(a, s.trans_a ? s.m : s.k, s.trans_a ? s.k : s.m, s.trans_a ? s.m : s.k, a_.data());
            if (s.trans_b) {
                widen_block(b + j * s.k, s.k, width, s.k, b_.data());
            } else {
                widen_block(b + j, s.n, s.k, width, b_.data());
            }
        }
    }

    void finish(const Out* bias, Out* c, std::int64_t j0, std::int64_t width) const {
        const GemmShape& s = shape_;
#pragma omp parallel for num_threads(threads_) schedule(static)
        for (std::int64_t r = 0; r < s.m; ++r) {
            const float* from = c_.data() + r * width;
            Out* to = c + r * s.n + j0;
            for (std::int64_t j = 0; j < width; ++j) {
                float sum = from[j];
                if (s.bias) sum += to_float(bias[j0 + j]);
                if (s.accumulate) sum += to_float(to[j]);
                to[j] = from_float<Out>(sum);
            }
        }
    }

    GemmShape shape_;
    int threads_;
    std::vector<float> a_, b_, c_;  ///< A as stored; a panel of B as stored; a panel of C
};

}  // namespace

std::unique_ptr<GemmEngine> make_widened_gemm(const GemmShape& shape, GemmType type, int threads) {
    if (type == GemmType::bf16) return std::make_unique<WidenedGemm<bf16>>(shape, threads);
    if (type == GemmType::bf16_f32) return std::make_unique<WidenedGemm<float>>(shape, threads);
    return nullptr;
}

}  // namespace wb::cpu
