#include <algorithm>
#include <array>
#include <chrono>
#include <limits>
#include <map>
#include <mutex>
#include <tuple>

#include "kernels/cpu/bf16.hpp"
#include "kernels/cpu/gemm_engine.hpp"

namespace wb::cpu {

namespace {

/// Below this the candidates differ by less than a measurement tells.
constexpr double smallest_timed_flops = 1e6;
/// Every candidate still in the race is timed this often at least, and then until the budget is spent.
constexpr int fewest_rounds = 7;
constexpr int most_rounds = 12;
constexpr double timing_budget_s = 0.05;
/// Calls this long outlast the machine's slow spells: after three rounds the budget is this.
constexpr int fewest_long_rounds = 3;
constexpr double long_timing_budget_s = 1.0;
/// A candidate this much slower than the best so far is out.
constexpr double hopeless = 1.25;

auto key_of(const GemmShape& s, GemmType type, int threads) {
    return std::tuple(s.m, s.n, s.k, s.batch, s.trans_a, s.trans_b, s.stride_a, s.stride_b, s.stride_c, s.accumulate,
                      s.bias, type, threads);
}

/// Which factory won for each shape: timing is paid once per process.
class Winners {
public:
    using Key = decltype(key_of({}, {}, 0));

    static Winners& of_process() {
        static Winners winners;
        return winners;
    }
    GemmFactory find(const Key& key) {
        const std::lock_guard lock(mutex_);
        const auto it = won_.find(key);
        return it == won_.end() ? nullptr : it->second;
    }
    void remember(const Key& key, GemmFactory factory) {
        const std::lock_guard lock(mutex_);
        won_[key] = factory;
    }
    std::map<Key, GemmFactory> all() {
        const std::lock_guard lock(mutex_);
        return won_;
    }

private:
    std::mutex mutex_;
    std::map<Key, GemmFactory> won_;
};

/// An operand to time with: values in [0.5, 1), because some kernels slow down on denormals and NaN.
class Operand {
public:
    Operand(std::int64_t count, std::size_t element_size, int threads)
        : data_(new std::byte[static_cast<std::size_t>(count) * element_size]) {
        const auto value = [](std::int64_t i) { return 0.5F + 0.5F * static_cast<float>(i % 61) / 61.0F; };
#pragma omp parallel for num_threads(threads) schedule(static)
        for (std::int64_t i = 0; i < count; ++i) {
            if (element_size == 8) reinterpret_cast<double*>(data_.get())[i] = value(i);
            if (element_size == 4) reinterpret_cast<float*>(data_.get())[i] = value(i);
            if (element_size == 2) reinterpret_cast<bf16*>(data_.get())[i] = to_bf16(value(i));
            if (element_size == 1) data_[static_cast<std::size_t>(i)] = static_cast<std::byte>(i % 61);
        }
    }
    void* data() { return data_.get(); }

private:
    std::unique_ptr<std::byte[]> data_;
};

struct Candidate {
    GemmFactory factory;
    std::unique_ptr<GemmEngine> engine;
    double best_s = std::numeric_limits<double>::infinity();
    double spent_s = 0;
};

constexpr std::array<GemmFactory, 6> factories{make_gemv,          make_onednn_matmul, make_onednn_sgemm,
                                               make_openblas_gemm, make_widened_gemm,  make_turned_gemm};

std::vector<Candidate> candidates(const GemmShape& shape, GemmType type, int threads) {
    std::vector<Candidate> found;  // the first one is taken where nothing is timed
    for (const GemmFactory factory : factories) {
        auto engine = factory(shape, type, threads);
        if (engine) found.push_back({factory, std::move(engine)});
    }
    return found;
}

/// Candidates take turns, so that a slow spell of the machine hits all of them.
void race(std::vector<Candidate>& field, const GemmShape& shape, GemmType type, int threads) {
    using Clock = std::chrono::steady_clock;
    const ElementSizes sizes = element_sizes(type);
    const Extents counts = extents(shape);
    Operand a(counts.a, sizes.in, threads);
    Operand b(counts.b, sizes.in, threads);
    Operand c(counts.c, sizes.out, threads);
    Operand bias(shape.n, sizes.out, threads);
    double best_s = std::numeric_limits<double>::infinity();
    for (int round = 0; round <= most_rounds; ++round) {
        for (Candidate& candidate : field) {
            if (round > fewest_rounds && candidate.spent_s > timing_budget_s) continue;
            if (round > fewest_long_rounds && candidate.spent_s > long_timing_budget_s) continue;
            if (round > 1 && candidate.best_s > hopeless * best_s) continue;
            const auto start = Clock::now();
            candidate.engine->run(a.data(), b.data(), bias.data(), c.data());
            const double elapsed_s = std::chrono::duration<double>(Clock::now() - start).count();
            if (round == 0) continue;
            candidate.best_s = std::min(candidate.best_s, elapsed_s);
            best_s = std::min(best_s, elapsed_s);
            candidate.spent_s += elapsed_s;
        }
    }
}

constexpr std::size_t row_size = 14;

}  // namespace

std::vector<double> gemm_choices() {
    std::vector<double> rows;
    for (const auto& [key, factory] : Winners::of_process().all()) {
        std::apply([&](const auto&... part) { (rows.push_back(static_cast<double>(part)), ...); }, key);
        rows.push_back(static_cast<double>(std::find(factories.begin(), factories.end(), factory) - factories.begin()));
    }
    return rows;
}

void adopt_gemm_choices(const std::vector<double>& rows) {
    if (rows.size() % row_size != 0) return;
    for (std::size_t at = 0; at < rows.size(); at += row_size) {
        const double* r = rows.data() + at;
        const auto whole = [&](int i) { return static_cast<std::int64_t>(r[i]); };
        GemmShape s;
        s.m = whole(0), s.n = whole(1), s.k = whole(2), s.batch = whole(3);
        s.trans_a = whole(4) != 0, s.trans_b = whole(5) != 0;
        s.stride_a = whole(6), s.stride_b = whole(7), s.stride_c = whole(8);
        s.accumulate = whole(9) != 0, s.bias = whole(10) != 0;
        if (whole(13) < 0 || whole(13) >= static_cast<std::int64_t>(factories.size())) continue;
        Winners::of_process().remember(key_of(s, static_cast<GemmType>(whole(11)), static_cast<int>(r[12])),
                                       factories[static_cast<std::size_t>(whole(13))]);
    }
}

std::unique_ptr<GemmEngine> make_fastest_gemm(const GemmShape& shape, GemmType type, int threads) {
    const auto key = key_of(shape, type, threads);
    if (const GemmFactory known = Winners::of_process().find(key))
        if (auto engine = known(shape, type, threads)) return engine;
    std::vector<Candidate> field = candidates(shape, type, threads);
    if (field.empty()) return nullptr;
    if (field.size() > 1 && shape.flops() >= smallest_timed_flops) race(field, shape, type, threads);
    auto& best = *std::min_element(field.begin(), field.end(),
                                   [](const Candidate& x, const Candidate& y) { return x.best_s < y.best_s; });
    Winners::of_process().remember(key, best.factory);
    return std::move(best.engine);
}

std::unique_ptr<GemmEngine> make_gemm_of_part(const GemmShape& shape, GemmType type, int threads,
                                              const GemmShape& whole) {
    const auto key = key_of(whole, type, threads);
    if (!Winners::of_process().find(key)) make_fastest_gemm(whole, type, threads);
    if (const GemmFactory known = Winners::of_process().find(key))
        if (auto engine = known(shape, type, threads)) return engine;
    return make_fastest_gemm(shape, type, threads);
}

}  // namespace wb::cpu
