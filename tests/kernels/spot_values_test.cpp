#include "kernels/reference/spot_values.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "core/tables.hpp"
#include "kernels/reference/reference.hpp"

using namespace wb;

namespace {

Graph build(const std::string& workload, const std::vector<std::pair<std::string, ParamValue>>& asked) {
    return build_workload(workload, asked, Files({std::string(WB_SOURCE_DIR) + "/configs"}));
}

std::int64_t n(std::int64_t v) { return v; }

/// Every spot is what the whole execution holds at that element.
void agrees(const Graph& g, std::size_t fewest) {
    const Outputs whole = reference::execute(g, 3);
    const std::vector<SpotValue> spots = reference::spot_values(g, 3, 64);
    CHECK(spots.size() >= fewest);
    for (const SpotValue& s : spots) {
        REQUIRE(s.tensor == whole.front().tensor);
        const double wanted = whole.front().values.at(static_cast<std::size_t>(s.element));
        CHECK(std::abs(s.value - wanted) <= 1e-12 * std::max(1.0, std::abs(wanted)));
    }
}

}  // namespace

TEST_CASE("spot values: elements of products, in every layout") {
    for (const bool a : {false, true})
        for (const bool b : {false, true})
            for (const std::int64_t batch : {1, 3})
                agrees(
                    build("gemm",
                          {{"m", n(7)}, {"n", n(11)}, {"k", n(5)}, {"batch", batch}, {"trans_a", a}, {"trans_b", b}}),
                    64);
    agrees(build("gemv", {{"m", n(9)}, {"k", n(6)}}), 64);
}

TEST_CASE("spot values: queries of attention, masked, windowed and with shared keys") {
    for (const bool causal : {false, true})
        for (const std::int64_t kv : {1, 2, 4})
            agrees(build("attention", {{"batch", n(2)},
                                       {"heads", n(4)},
                                       {"kv_heads", kv},
                                       {"seq_q", n(5)},
                                       {"seq_kv", n(9)},
                                       {"head_dim", n(8)},
                                       {"causal", causal}}),
                   64);
    agrees(
        build("attention", {{"heads", n(2)}, {"seq_q", n(12)}, {"head_dim", n(4)}, {"causal", true}, {"window", n(3)}}),
        64);
}

TEST_CASE("spot values: rows of every row-wise operator; nothing of larger graphs") {
    for (const char* op : {"softmax", "layernorm", "rmsnorm", "gelu", "silu_mul", "rope", "add"})
        agrees(build("vector", {{"op", std::string(op)}, {"rows", n(10)}, {"cols", n(12)}, {"heads", n(2)}}), 4 * 12);
    CHECK(
        reference::spot_values(build("prefill", {{"model", std::string("tiny-gpt2")}, {"seq", n(4)}}), 3, 64).empty());
}
