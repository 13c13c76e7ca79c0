#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <cstdlib>
#include <string>
#include <utility>
#include <vector>

#include "core/tables.hpp"
#include "kernels/cuda/session.hpp"
#include "kernels/reference/reference.hpp"

// Sessions of the CUDA backend against the judge: on a GPU, or on the one that the host plays.

namespace wb::judged {

using Overrides = std::vector<std::pair<std::string, ParamValue>>;

/// The source tree; WB_SOURCE where the program came from another machine.
inline std::string source() {
    const char* const moved = std::getenv("WB_SOURCE");
    return moved ? moved : WB_SOURCE_DIR;
}

inline const Files& files() {
    static const Files all({source() + "/configs"});
    return all;
}

inline std::int64_t operator""_i(unsigned long long n) { return static_cast<std::int64_t>(n); }

inline Case case_of(Graph graph, int ranks = 1) {
    Case c;
    c.graph = std::make_shared<const Graph>(std::move(graph));
    c.mapping.tensor = ranks;
    c.seed = 7;
    return c;
}

/// What differs: empty if nothing does. As tests/kernels/cpu_backend_test.cpp judges: `tolerance` of a tensor's largest
/// magnitude; weights may differ by `step` besides, since AdamW moves one by its rate however small the gradient.
inline std::string difference(const Outputs& found, const Outputs& wanted, const Graph& g, double tolerance,
                              double step) {
    if (found.size() != wanted.size()) return fmt::format("{} outputs instead of {}", found.size(), wanted.size());
    std::string worst;
    double largest_excess = 1;
    for (std::size_t i = 0; i < wanted.size(); ++i) {
        const Output &a = found[i], &b = wanted[i];
        if (a.tensor != b.tensor || a.instance != b.instance || a.values.size() != b.values.size())
            return fmt::format("output {} is {} {} of {} values", i, a.name, a.instance, a.values.size());
        double magnitude = 0, error = 0;
        for (std::size_t k = 0; k < b.values.size(); ++k) {
            magnitude = std::max(magnitude, std::abs(b.values[k]));
            const double e = std::abs(a.values[k] - b.values[k]);
            error = std::isfinite(e) ? std::max(error, e) : INFINITY;
        }
        const bool moved = g.tensor(b.tensor).role == Role::weight || b.name.ends_with(".master");
        const double floor = 1e-3 * tolerance;
        const double allowed =
            b.name.ends_with(".v") ? 2 * tolerance * magnitude + floor * floor : tolerance * magnitude + floor;
        const double excess = error / (allowed + (moved ? step : 0));
        if (excess > largest_excess) {
            largest_excess = excess;
            worst = fmt::format("{}[{}]: error {:.3g}, magnitude {:.3g}, allowed {:.3g} of it", a.name, a.instance,
                                error, magnitude, tolerance);
        }
    }
    return worst;
}

inline constexpr double rate = 3e-4;  // of add_update

inline double tolerance_of(const std::string& dtype) {
    if (dtype == "f64") return 1e-12;
    if (dtype == "bf16" || dtype == "8-bit" || dtype.starts_with("fp8")) return 6e-2;
    return dtype == "f16" || dtype == "tf32" ? 1e-2 : 2e-4;
}

/// A graph on one rank, after one run and after up to `most`, against the judge.
inline void check(const std::string& workload, Overrides overrides, const std::string& dtype, int most = 2) {
    overrides.emplace_back("dtype", dtype);
    std::string label = workload;
    for (const auto& [key, value] : overrides) label += fmt::format(" {}={}", key, text(value));
    CAPTURE(label);
    const Case c = case_of(build_workload(workload, overrides, files()).resolved(DType::bf16, DType::fp8_e4m3));
    const auto comm = single_process();
    cuda::CudaSession session(c, *comm, 0);
    for (int runs = 1; runs <= most; ++runs) {
        session.poison();
        session.run();
        CHECK(difference(*session.outputs(), reference::execute(*c.graph, c.seed, runs), *c.graph, tolerance_of(dtype),
                         2 * rate * runs) == "");
    }
    const ResourceUse use = session.usage();
    CHECK(use.useful.si() == c.graph->flops().si());
    CHECK(use.overhead.si() == 0);
}

inline Overrides model(const std::string& name, std::int64_t seq = 13) {
    return {{"model", name}, {"batch", 2_i}, {"seq", seq}, {"shrunk", true}};
}

}  // namespace wb::judged
