#include "kernels/reference/experts.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.hpp"
#include "kernels/reference/operators.hpp"

namespace wb::reference {

ExpertRows expert_rows(const View& index, std::int64_t experts) {
    ExpertRows rows;
    for (std::int64_t e = 0; e < experts; ++e) {
        rows.first.push_back(static_cast<std::int64_t>(rows.source.size()));
        for (std::int64_t i = 0; i < index.size(); ++i)
            if (index.integer(i) == e) rows.source.push_back(i);
    }
    rows.first.push_back(static_cast<std::int64_t>(rows.source.size()));
    WB_EXPECT(rows.first.back() == index.size());  // every entry names an expert
    return rows;
}

void topk_gate(const Call& call) {
    const View &logits = call.in[0], &index = call.out[0], &gate = call.out[1];
    const std::int64_t experts = logits.columns(), topk = call.a.topk;
    std::vector<std::int64_t> order(experts);
    for (std::int64_t r = 0; r < logits.rows(); ++r) {
        const double* x = logits.row(r);
        std::iota(order.begin(), order.end(), 0);  // sigmoid keeps the order of the logits
        std::stable_sort(order.begin(), order.end(), [&](std::int64_t i, std::int64_t j) { return x[i] > x[j]; });
        double sum = 0;
        for (std::int64_t s = 0; s < topk; ++s) {
            const double logit = x[order[s]];
            index.row(r)[s] = static_cast<double>(order[s]);
            gate.row(r)[s] = call.a.sigmoid ? 1 / (1 + std::exp(-logit)) : std::exp(logit - x[order[0]]);
            sum += gate.row(r)[s];
        }
        for (std::int64_t s = 0; s < topk; ++s) gate.row(r)[s] *= call.a.scale / sum;
    }
}

void topk_gate_backward(const Call& call) {
    const View &dgate = call.in[0], &logits = call.in[1], &index = call.in[2], &gate = call.in[3];
    const double scale = call.a.scale;
    for (std::int64_t r = 0; r < logits.rows(); ++r) {
        double mean = 0, sum = 0;  // the gates, without scale, are weights with sum 1
        for (std::int64_t s = 0; s < call.a.topk; ++s) {
            mean += dgate.row(r)[s] * gate.row(r)[s] / scale;
            if (call.a.sigmoid) sum += 1 / (1 + std::exp(-logits.row(r)[index.integer(r * call.a.topk + s)]));
        }
        for (std::int64_t s = 0; s < call.a.topk; ++s) {
            const std::int64_t e = index.integer(r * call.a.topk + s);
            const double pull = scale * (dgate.row(r)[s] - mean);
            const double score = 1 / (1 + std::exp(-logits.row(r)[e]));
            call.out[0].row(r)[e] = call.a.sigmoid ? pull / sum * score * (1 - score) : pull * gate.row(r)[s] / scale;
        }
    }
}

void moe_dispatch(const Call& call) {
    const View &x = call.in[0], &y = call.out[0];
    const ExpertRows rows = expert_rows(call.in[1], call.a.experts);
    for (std::int64_t r = 0; r < y.rows(); ++r) std::copy_n(x.row(rows.source[r] / call.a.topk), x.columns(), y.row(r));
}

void moe_combine(const Call& call) {
    const View &x = call.in[0], &y = call.out[0];
    const ExpertRows rows = expert_rows(call.in[1], call.a.experts);
    for (std::int64_t r = 0; r < x.rows(); ++r) {
        const double weight = call.in.size() > 2 ? call.in[2].data[rows.source[r]] : 1;
        double* to = y.row(rows.source[r] / call.a.topk);
        for (std::int64_t j = 0; j < x.columns(); ++j) to[j] += weight * x.row(r)[j];
    }
}

void moe_combine_backward(const Call& call) {
    const View &dy = call.in[0], &x = call.in[1], &gate = call.in[3], &dx = call.out[0], &dgate = call.out[1];
    const ExpertRows rows = expert_rows(call.in[2], call.a.experts);
    for (std::int64_t r = 0; r < x.rows(); ++r) {
        const std::int64_t source = rows.source[r];
        const double* from = dy.row(source / call.a.topk);
        for (std::int64_t j = 0; j < x.columns(); ++j) {
            dx.row(r)[j] = gate.data[source] * from[j];
            dgate.data[source] += from[j] * x.row(r)[j];
        }
    }
}

}  // namespace wb::reference
