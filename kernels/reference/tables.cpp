#include <algorithm>

#include "kernels/reference/operators.hpp"

namespace wb::reference {
namespace {

void add_row(const double* from, double* to, std::int64_t n) {
    for (std::int64_t j = 0; j < n; ++j) to[j] += from[j];
}

/// The row of a table shard [offset, offset + rows) that token `i` names, or -1 if another shard has it.
std::int64_t table_row(const View& tokens, std::int64_t i, std::int64_t offset, std::int64_t rows) {
    const std::int64_t row = tokens.integer(i) - offset;
    return row >= 0 && row < rows ? row : -1;
}

}  // namespace

void add(const Call& call) {
    for (std::int64_t i = 0; i < call.in[0].size(); ++i) call.out[0].data[i] = call.in[0].data[i] + call.in[1].data[i];
}

void sum_rows(const Call& call) {
    const View& x = call.in[0];
    for (std::int64_t r = 0; r < x.rows(); ++r) add_row(x.row(r), call.out[0].data, x.columns());
}

void embed(const Call& call) {
    const View &tokens = call.in[0], &table = call.in[1], &y = call.out[0];
    for (std::int64_t i = 0; i < tokens.size(); ++i) {
        const std::int64_t row = table_row(tokens, i, call.a.offset, table.rows());
        if (row >= 0) std::copy_n(table.row(row), table.columns(), y.row(i));
    }
}

void embed_backward(const Call& call) {
    const View &dy = call.in[0], &tokens = call.in[1], &table = call.out[0];
    for (std::int64_t i = 0; i < tokens.size(); ++i) {
        const std::int64_t row = table_row(tokens, i, call.a.offset, table.rows());
        if (row >= 0) add_row(dy.row(i), table.row(row), dy.columns());
    }
}

void position_embed(const Call& call) {
    const View &x = call.in[0], &table = call.in[1], &y = call.out[0];
    std::copy_n(x.data, x.size(), y.data);
    for (std::int64_t r = 0; r < x.rows(); ++r)
        add_row(table.row(call.a.offset + r % call.a.seq), y.row(r), x.columns());
}

void position_embed_backward(const Call& call) {
    const View &dy = call.in[0], &table = call.out[0];
    for (std::int64_t r = 0; r < dy.rows(); ++r)
        add_row(dy.row(r), table.row(call.a.offset + r % call.a.seq), dy.columns());
}

void last_rows(const Call& call) {
    const View &x = call.in[0], &y = call.out[0];
    for (std::int64_t b = 0; b < y.rows(); ++b) std::copy_n(x.row((b + 1) * call.a.seq - 1), x.columns(), y.row(b));
}

void last_rows_backward(const Call& call) {
    const View &dy = call.in[0], &dx = call.out[0];
    for (std::int64_t b = 0; b < dy.rows(); ++b) std::copy_n(dy.row(b), dy.columns(), dx.row((b + 1) * call.a.seq - 1));
}

void cache_write(const Call& call) {
    const View &x = call.in[1], &cache = call.out[0];
    for (std::int64_t r = 0; r < x.rows(); ++r) {
        const std::int64_t sequence = r / call.a.seq, position = call.a.offset + r % call.a.seq;
        std::copy_n(x.row(r), x.columns(), cache.row(sequence * call.a.seq_kv + position));
    }
}

}  // namespace wb::reference
