#include <doctest/doctest.h>

#include <cmath>
#include <fstream>
#include <map>
#include <sstream>

#include "core/tables.hpp"

using namespace wb;

namespace {

const std::string configs = std::string(WB_SOURCE_DIR) + "/configs";

Graph build(const std::string& workload, const std::string& model, std::int64_t seq, std::int64_t layers = 0,
            std::int64_t batch = 1) {
    return build_workload(workload, {{"model", model}, {"seq", seq}, {"layers", layers}, {"batch", batch}},
                          Files({configs}));
}

struct Published {
    std::string model;
    double parameters, computed, tolerance;
};

std::vector<Published> published() {
    std::ifstream file(configs + "/models/published.csv");
    std::vector<Published> rows;
    std::string line;
    std::getline(file, line);
    while (std::getline(file, line)) {
        std::istringstream cells(line);
        std::string cell[4];
        for (std::string& c : cell) std::getline(cells, c, ',');
        rows.push_back({cell[0], std::stod(cell[1]), std::stod(cell[2]), std::stod(cell[3])});
    }
    return rows;
}

/// Parameters the graph has beyond those counted in published.csv.
const std::map<std::string, double> beyond{
    // the masked-word head (dense, norm, bias of the tied output) instead of the pooler
    {"bert-large", -(1024.0 * 1024 + 1024) + (1024.0 * 1024 + 1024) + 2 * 1024 + 30522},
    // no correction bias of the router in its 58 mixture layers
    {"deepseek-v3", -58.0 * 256},
    // no biases of 128 experts (gate, up and down) and no 64 attention sinks, in 36 layers
    {"gpt-oss-120b", -36.0 * (128 * (2 * 2880 + 2880) + 64)},
    {"gpt-oss-20b", -24.0 * (32 * (2 * 2880 + 2880) + 64)},
    // no correction bias of the router
    {"deepseek-r1", -58.0 * 256},
    {"kimi-k2", -60.0 * 384},
    {"kimi-k2.6", -60.0 * 384},
    {"glm-4.5", -89.0 * 160},
    {"glm-4.5-air", -45.0 * 128},
};

std::vector<std::string> all_models() { return Files({configs}).names("models", ""); }

/// The fewest layers that hold every kind of layer the model has.
std::int64_t fewest_layers(const std::string& model) {
    if (model.starts_with("llama-4")) return 4;
    for (const char* kind : {"deepseek", "gpt-oss", "kimi", "glm", "tiny-mla"})
        if (model.starts_with(kind)) return 2;
    return 1;
}

}  // namespace

TEST_CASE("models: parameters as published") {
    const std::vector<Published> rows = published();
    CHECK(rows.size() >= 40);
    for (const Published& row : rows) {
        CAPTURE(row.model);
        CHECK(std::abs(row.computed / row.parameters - 1) <= row.tolerance);
        const auto more = beyond.find(row.model);
        const double expected = row.computed + (more == beyond.end() ? 0 : more->second);
        CHECK(static_cast<double>(build("train", row.model, 8).parameters()) == expected);
    }
}

TEST_CASE("models: every one of them is a graph for training, prefill and decode, as small for all layers as for few") {
    const std::vector<std::string> models = all_models();
    CHECK(models.size() >= 42);
    for (const std::string& model : models)
        for (const char* workload : {"train", "prefill", "decode"}) {
            CAPTURE(model);
            CAPTURE(workload);
            const Graph all = build(workload, model, 32), few = build(workload, model, 32, fewest_layers(model));
            CHECK(all.flops() >= all.matmul_flops());
            CHECK(all.matmul_flops() > Flops(0));
            CHECK(all.ops().size() == few.ops().size());
            CHECK(all.tensors().size() == few.tensors().size());
            CHECK(all.parameters() >= few.parameters());
        }
}

TEST_CASE("models: a training step of GPT-3 175B against the formula of Megatron-LM") {
    // Narayanan et al. 2021, eq. 3, without recomputation: 72 B s L h^2 (1 + s/(6h) + V/(12 L h)). Its attention term
    // 12 B L h s^2 counts all pairs and 2 products forward, 4 backward. A causal mask leaves s (s + 1)/2 pairs, and the
    // backward pass here makes the scores again: 7 products, 14 h flop a pair.
    const double B = 2, s = 2048, L = 96, h = 12288, V = 51200;
    const double megatron = 72 * B * s * L * h * h * (1 + s / (6 * h) + V / (12 * L * h));
    const double expected = megatron - 12 * B * L * h * s * s + 14 * h * B * L * s * (s + 1) / 2;
    const double found = build("train", "gpt3-175b", 2048, 0, 2).matmul_flops().si();
    CHECK(found == doctest::Approx(expected).epsilon(1e-12).scale(0));
    CHECK(found == doctest::Approx(megatron).epsilon(0.02).scale(0));
}

TEST_CASE("models: a token costs two flop for each parameter it meets") {
    const Graph g = build("decode", "llama2-7b", 16);
    const double met =
        static_cast<double>(g.parameters()) - 32000.0 * 4096;  // of the embedding table a row is looked up
    CHECK(g.flops().si() == doctest::Approx(2 * met).epsilon(0.01).scale(0));
    const Graph train = build("train", "llama2-7b", 16);
    CHECK(train.matmul_flops().si() / 16 == doctest::Approx(6 * met).epsilon(0.01).scale(0));
}

TEST_CASE("models: a step of low-rank adapters has no gradients of what is frozen") {
    // Frozen matrices: a product forward and one for the gradient of their input, 4 flop a weight and token; adapters
    // [h, r] and [r, h] beside q, k, v and the output of attention: 6. Causal attention: 14 h a pair, as above.
    const double B = 2, s = 256, L = 32, h = 4096, f = 11008, V = 32000, r = 16;
    const double frozen = L * (4 * h * h + 3 * h * f) + V * h, adapters = L * 4 * 2 * h * r;
    const double expected = (4 * frozen + 6 * adapters) * B * s + 14 * h * B * L * s * (s + 1) / 2;
    const Graph g = build("finetune", "llama2-7b", 256, 0, 2);
    CHECK(g.matmul_flops().si() == doctest::Approx(expected).epsilon(1e-12).scale(0));
    double updated = 0, gradients = 0;
    for (const Block& block : g.blocks())
        for (int i = block.first; i < block.last; ++i) {
            const Op& op = g.ops()[static_cast<std::size_t>(i)];
            if (op.kind != OpKind::adamw) continue;
            updated += static_cast<double>(block.repeat * g.elements(op.in[0]));
            gradients += static_cast<double>(block.repeat * g.elements(op.in[1]));
        }
    CHECK(updated == adapters);
    CHECK(gradients == adapters);
    CHECK(static_cast<double>(g.parameters()) ==
          static_cast<double>(build("train", "llama2-7b", 256).parameters()) + adapters);
}
