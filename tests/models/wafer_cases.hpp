#pragma once

#include <doctest/doctest.h>

#include <map>
#include <memory>
#include <string>

#include "core/backend.hpp"
#include "core/comm.hpp"
#include "core/tables.hpp"
#include "core/workload.hpp"
#include "models/wafer/placement.hpp"

namespace wb {

std::unique_ptr<Backend> make_wafer();
std::unique_ptr<Backend> make_roofline();

namespace wafer_cases {

inline const std::string configs = WB_SOURCE_DIR "/configs";

inline System shipped(const std::string& id, const std::map<std::string, std::string>& choices = {}) {
    return load_system(configs + "/systems/" + id + ".toml", choices);
}

/// The wafer and the clock by which WaferLLM converts its cycles.
inline System waferllm() { return shipped("wse2", {{"clock", "maximum"}}); }

inline Graph built(const std::string& workload, const std::map<std::string, ParamValue>& given) {
    return build_workload(workload, {given.begin(), given.end()}, Files({configs}));
}

inline Graph model(const std::string& pass, const std::string& name, std::int64_t seq, std::int64_t batch = 1) {
    return built(pass, {{"model", name}, {"seq", seq}, {"batch", batch}, {"dtype", std::string("f16")}});
}

inline Graph product(std::int64_t m, std::int64_t n, std::int64_t k, const std::string& type = "f16") {
    return built("gemm", {{"m", m}, {"n", n}, {"k", k}, {"dtype", type}});
}

inline Case on(Graph g, System s, int side = 0, const std::string& algorithm = "", int wafers = 1) {
    Case c;
    c.graph = c.small = std::make_shared<const Graph>(std::move(g));
    c.system = std::make_shared<const System>(std::move(s));
    c.backend = "wafer";
    c.units = wafers;
    c.mapping.rows = c.mapping.columns = side;
    c.mapping.algorithm = algorithm;
    return c;
}

inline std::string refusal(const Case& c) { return make_wafer()->supports(c, 1).reason; }

inline std::unique_ptr<Session> ready(const Case& c) {
    REQUIRE(refusal(c) == "");
    return make_wafer()->prepare(c, *single_process());
}

inline double seconds(const Case& c) { return ready(c)->run().elapsed.si(); }

inline double bound(const Case& c) { return make_roofline()->prepare(c, *single_process())->run().elapsed.si(); }

/// Relative: within(0.05) of a published value.
inline doctest::Approx about(double value, double tolerance) {
    return doctest::Approx(value).epsilon(tolerance).scale(0);
}

}  // namespace wafer_cases
}  // namespace wb
