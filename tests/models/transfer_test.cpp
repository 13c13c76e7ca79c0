#include "models/transfer.hpp"

#include <doctest/doctest.h>

#include <memory>

#include "core/tables.hpp"

using namespace wb;

namespace {

const std::string configs = std::string(WB_SOURCE_DIR) + "/configs";

System system_named(const std::string& id) { return load_system(configs + "/systems/" + id + ".toml"); }

Graph phase(const std::string& workload, const std::vector<std::pair<std::string, ParamValue>>& given,
            const std::string& name) {
    const Graph g = build_workload(workload, given, Files({configs}));
    if (g.phases().empty()) return g;
    for (const Phase& x : g.phases())
        if (x.name == name) return x.graph->resolved(DType::bf16, DType::int8);
    throw Error({name, "is no phase", "", ""});
}

Graph switched(std::int64_t experts) {
    return phase("coe",
                 {{"model", std::string("llama2-7b")},
                  {"router", std::string("llama2-7b")},
                  {"dtype", std::string("bf16")},
                  {"experts", experts},
                  {"seq", std::int64_t{128}},
                  {"tokens", std::int64_t{2}}},
                 "switch");
}

}  // namespace

TEST_CASE("staging is bytes over the storage of all nodes, then over the links of all units") {
    const Graph g = phase("stage", {{"tokens", std::int64_t{250'000'000}}}, "");
    const System s = system_named("h100-sxm");
    CHECK(only_moves(g));
    CHECK(missing_transfer(g, s).empty());
    const double storage = s.node.at("storage").value, link = s.node.at("host_link").value;
    CHECK(transfer(g, s, 8).seconds == doctest::Approx(1e9 / storage + 1e9 / (8 * link)).scale(0));
    CHECK(transfer(g, s, 9).seconds == doctest::Approx(1e9 / (2 * storage) + 1e9 / (9 * link)).scale(0));
    CHECK(transfer(g, s, 8, true).seconds <= transfer(g, s, 8).seconds);
}

TEST_CASE("what the fast memory holds is switched to for nothing, one expert more is not") {
    const System s = system_named("h100-sxm");
    const Graph one = switched(1);
    const double bytes = transfer(one, s, 1).loaded.si();
    CHECK(bytes == doctest::Approx(2 * 6.74e9).epsilon(0.01).scale(0));
    const auto fit = static_cast<std::int64_t>(s.memories.back().capacity->value / bytes);
    CHECK(transfer(switched(fit), s, 1).seconds == 0);
    CHECK(transfer(switched(fit + 1), s, 1).seconds > 0);
    CHECK(transfer(switched(150), s, 1).seconds < transfer(switched(1000), s, 1).seconds);
}

TEST_CASE("switching of experts: the published speed-ups over DGX A100 and H100, whose experts come over one link") {
    // Prabhakar et al. 2024 (arXiv:2405.07518): Llama 2 7B experts, one node of 8 sockets; 31x and 15x.
    const Graph g = switched(1'000'000);  // none of them resident
    const double rdu = transfer(g, system_named("sn40l"), 8).seconds;
    CHECK(transfer(g, system_named("a100-sxm-80g"), 1).seconds / rdu == doctest::Approx(31).epsilon(0.25).scale(0));
    CHECK(transfer(g, system_named("h100-sxm"), 1).seconds / rdu == doctest::Approx(15).epsilon(0.25).scale(0));
}

TEST_CASE("a machine that says nothing of its storage is told so") {
    System s = system_named("h100-sxm");
    s.node.erase("storage");
    const std::string why = missing_transfer(phase("stage", {{"tokens", std::int64_t{5}}}, ""), s);
    CHECK(why == "h100-sxm says nothing of its storage: [node] lacks \"storage\"");
}
