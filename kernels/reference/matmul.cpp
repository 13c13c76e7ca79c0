#include <algorithm>

#include "kernels/reference/experts.hpp"
#include "kernels/reference/operators.hpp"

namespace wb::reference {
namespace {

/// Element (i, j) is data[i * row + j * column].
struct Matrix {
    double* data;
    std::int64_t row, column;
    double& operator()(std::int64_t i, std::int64_t j) const { return data[i * row + j * column]; }
};

Matrix matrix(double* data, std::int64_t columns, bool transposed) {
    return transposed ? Matrix{data, 1, columns} : Matrix{data, columns, 1};
}

/// c += a b, with a [m, k] and b [k, n]; in the loop order that walks through b in memory order.
void multiply_add(std::int64_t m, std::int64_t n, std::int64_t k, Matrix a, Matrix b, Matrix c) {
    for (std::int64_t i = 0; i < m; ++i) {
        if (b.column == 1) {
            for (std::int64_t p = 0; p < k; ++p) {
                const double x = a(i, p);
                const double* from = b.data + p * b.row;
                double* to = c.data + i * c.row;
                for (std::int64_t j = 0; j < n; ++j) to[j] += x * from[j];
            }
        } else {
            for (std::int64_t j = 0; j < n; ++j) {
                double sum = 0;
                for (std::int64_t p = 0; p < k; ++p) sum += a(i, p) * b(p, j);
                c(i, j) += sum;
            }
        }
    }
}

}  // namespace

void matmul(const Call& call) {
    const View &x = call.in[0], &w = call.in[1], &y = call.out[0];
    const std::int64_t m = y.dim(-2), n = y.dim(-1), k = x.dim(call.a.trans_a ? -2 : -1);
    const bool shared = w.shape->size() == 2;  // one second matrix for the whole batch
    for (std::int64_t b = 0; b < y.size() / (m * n); ++b) {
        const Matrix c = matrix(y.data + b * m * n, n, false);
        multiply_add(m, n, k, matrix(x.data + b * m * k, x.columns(), call.a.trans_a),
                     matrix(w.data + (shared ? 0 : b * k * n), w.columns(), call.a.trans_b), c);
        if (call.in.size() < 3) continue;
        for (std::int64_t i = 0; i < m; ++i)
            for (std::int64_t j = 0; j < n; ++j) c(i, j) += call.in[2].data[j];
    }
}

void grouped_matmul(const Call& call) {
    const View &x = call.in[0], &w = call.in[1], &y = call.out[0];
    const std::vector<std::int64_t> first = expert_rows(call.in[2], call.a.experts).first;
    for (std::int64_t e = 0; e < call.a.experts; ++e) {
        const std::int64_t at = first[e], rows = first[e + 1] - at, k = x.columns(), n = y.columns();
        if (call.a.trans_a) {
            multiply_add(k, n, rows, matrix(x.row(at), k, true), matrix(w.row(at), n, false),
                         matrix(y.data + e * k * n, n, false));
        } else {
            multiply_add(rows, n, k, matrix(x.row(at), k, false),
                         matrix(w.data + e * k * n, w.columns(), call.a.trans_b), matrix(y.row(at), n, false));
        }
    }
}

void head_matmul(const Call& call) {
    const View &x = call.in[0], &w = call.in[1], &y = call.out[0];
    const std::int64_t k = w.dim(1), n = w.dim(2), passing = call.a.rotary_dim;
    for (std::int64_t h = 0; h < call.a.heads; ++h) {
        double *from = x.data + h * (k + passing), *to = y.data + h * (n + passing);
        multiply_add(x.rows(), n, k, matrix(from, x.columns(), false), matrix(w.data + h * k * n, n, false),
                     matrix(to, y.columns(), false));
        for (std::int64_t r = 0; r < x.rows(); ++r)
            std::copy_n(from + r * x.columns() + k, passing, to + r * y.columns() + n);
    }
}

}  // namespace wb::reference
