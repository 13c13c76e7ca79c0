#pragma once

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "kernels/cuda/session.hpp"
#include "kernels/reference/reference.hpp"
#include "tests/kernels/judged_outputs.hpp"

// Sessions of the CUDA backend against the judge: on a GPU, or on the one that the host plays.

namespace wb::judged {

inline std::int64_t operator""_i(unsigned long long n) { return static_cast<std::int64_t>(n); }

inline Case case_of(Graph graph, int ranks = 1) {
    Case c;
    c.graph = std::make_shared<const Graph>(std::move(graph));
    c.mapping.tensor = ranks;
    c.seed = 7;
    return c;
}

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
