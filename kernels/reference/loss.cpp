#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "kernels/reference/operators.hpp"

namespace wb::reference {
namespace {

/// What one shard of the columns knows of a row's loss.
struct Part {
    double largest, sum, target;  ///< sum of exp(x - largest); target: its logit, 0 if another shard has it
};

Part part(const Call& call, std::int64_t r) {
    const View& logits = call.in[0];
    const double* x = logits.row(r);
    const std::int64_t n = logits.columns(), target = call.in[1].integer(r) - call.a.offset;
    Part p{*std::max_element(x, x + n), 0, 0};
    for (std::int64_t j = 0; j < n; ++j) p.sum += std::exp(x[j] - p.largest);
    if (target >= 0 && target < n) p.target = x[target];
    return p;
}

}  // namespace

void cross_entropy(const Call& call) {
    const std::int64_t n = call.in[0].columns();
    for (std::int64_t r = 0; r < call.in[0].rows(); ++r) {
        const Part p = part(call, r);
        if (call.a.ranks > 1) {
            call.out[0].row(r)[0] = p.largest;
            call.out[0].row(r)[1] = p.sum;
            call.out[0].row(r)[2] = p.target;
            continue;
        }
        const std::int64_t target = call.in[1].integer(r) - call.a.offset;
        WB_EXPECT(target >= 0 && target < n);
        const double lse = p.largest + std::log(p.sum);
        call.out[0].data[r] = lse - p.target;
        call.out[1].data[r] = lse;
    }
}

void cross_entropy_backward(const Call& call) {
    const View &logits = call.in[0], &lse = call.in[2], &dx = call.out[0];
    for (std::int64_t r = 0; r < logits.rows(); ++r) {
        const std::int64_t target = call.in[1].integer(r) - call.a.offset;
        for (std::int64_t j = 0; j < logits.columns(); ++j)
            dx.row(r)[j] = call.a.scale * (std::exp(logits.row(r)[j] - lse.data[r]) - (j == target ? 1 : 0));
    }
}

void cross_entropy_join(const Call& call) {
    const View& parts = call.in[0];
    const std::int64_t rows = call.out[0].size();
    for (std::int64_t r = 0; r < rows; ++r) {
        double largest = parts.row(r)[0], sum = 0, target = 0;
        for (std::int64_t k = 1; k < call.a.ranks; ++k) largest = std::max(largest, parts.row(k * rows + r)[0]);
        for (std::int64_t k = 0; k < call.a.ranks; ++k) {
            const double* p = parts.row(k * rows + r);
            sum += p[1] * std::exp(p[0] - largest);
            target += p[2];
        }
        const double lse = largest + std::log(sum);
        call.out[0].data[r] = lse - target;
        call.out[1].data[r] = lse;
    }
}

}  // namespace wb::reference
