// Published measurements that the constants of the system files must reproduce, each with its tolerance and source.

#include "tests/models/wafer_cases.hpp"

using namespace wb;
using namespace wb::wafer_cases;

namespace {

struct Row {
    const char* model;
    int side;
    double tokens_per_s;
};

}  // namespace

TEST_CASE("wafer: decoding on one WSE-2 (He et al., OSDI 2025, table 4)") {
    // The 72B row is in no fit: it shows that the constants carry over to another model.
    for (const Row& r : {Row{"llama3-8b", 420, 2699.9}, Row{"llama3-8b", 660, 2243.3}, Row{"llama2-13b", 540, 1899.4},
                         Row{"codellama-34b", 420, 1450.8}, Row{"qwen2-72b", 420, 840}}) {
        INFO(r.model, " on ", r.side);
        CHECK(1 / seconds(on(model("decode", r.model, 4096), waferllm(), r.side, "partial")) ==
              about(r.tokens_per_s, 0.03));
    }
}

TEST_CASE("wafer: prefill on one WSE-2 (He et al., table 3)") {
    for (const Row& r :
         {Row{"llama3-8b", 600, 25037.2}, Row{"llama3-8b", 720, 27686.5}, Row{"llama2-13b", 480, 13685.1},
          Row{"codellama-34b", 480, 5471.4}, Row{"codellama-34b", 720, 8526}}) {
        INFO(r.model, " on ", r.side);
        CHECK(4096 / seconds(on(model("prefill", r.model, 4096), waferllm(), r.side, "partial")) ==
              about(r.tokens_per_s, 0.08));
    }
}

TEST_CASE("wafer: a whole request is prefill, move and decoding (He et al., table 2)") {
    const auto backend = make_wafer();
    const auto request = [&](const char* name, int input, int output, int before, int after) {
        const Case prefill = on(model("prefill", name, input), waferllm(), before),
                   decode = on(model("decode", name, input + output / 2), waferllm(), after);
        const auto move = backend->transition(prefill, decode);
        REQUIRE(move.has_value());
        CHECK(move->si() > 0);
        return output / (seconds(prefill) + move->si() + output * seconds(decode));
    };
    CHECK(request("llama3-8b", 4096, 128, 660, 360) == about(604.4, 0.08));
    CHECK(request("llama3-8b", 4096, 4096, 660, 360) == about(2459.0, 0.08));
    CHECK(request("llama2-13b", 2048, 2048, 750, 375) == about(1690.3, 0.08));
}

TEST_CASE("wafer: how many tokens a cache holds beside the weights (He et al., table 5)") {
    const auto tokens = [](const char* name, const char* manager, int side) {
        return *make_wafer()->cache_tokens(on(model("decode", name, 4096), waferllm(), side, manager));
    };
    CHECK(tokens("llama3-8b", "shift", 360) == about(137548, 0.05));
    CHECK(tokens("llama3-8b", "concat", 360) == about(382, 0.05));
    CHECK(tokens("llama2-13b", "shift", 375) == about(6168, 0.05));
    CHECK(tokens("llama2-13b", "concat", 375) == about(16, 0.05));
    CHECK(tokens("qwen2-72b", "shift", 375) == 0);  // the weights alone are larger than the wafer
}

TEST_CASE("wafer: one product of a vector and a matrix (He et al., table 6)") {
    CHECK(seconds(on(product(1, 16384, 16384), waferllm(), 0, "meshgemv")) == about(1.20e-6, 0.05));
    CHECK(seconds(on(product(1, 32768, 32768), waferllm(), 0, "meshgemv")) == about(2.03e-6, 0.05));
}

TEST_CASE("wafer: products of matrices on a WSE-2 (lingzhi227/MIMD_dataflow, SUMMA; SDK simulator, one PE)") {
    CHECK(seconds(on(product(256, 256, 256, "f32"), shipped("wse2"), 64, "summa")) == about(68.827e-6, 0.08));
    CHECK(seconds(on(product(16384, 16384, 16384, "f32"), shipped("wse2"), 512, "summa")) == about(58.714e-3, 0.08));
    CHECK(seconds(on(product(34500, 34500, 34500, "f32"), shipped("wse2"), 750, "summa")) == about(264.18e-3, 0.08));
    CHECK(seconds(on(product(90, 1, 90, "f32"), shipped("wse2"), 1, "single-tile-gemv")) * 0.85e9 ==
          about(8412.8, 0.02));
}

TEST_CASE("wafer: training steps with streamed weights (argonne-lcf/user-guides, logs)") {
    CHECK(seconds(on(model("train", "bert-large", 128, 512), shipped("wse2"))) == about(512 / 2938.0, 0.12));
    CHECK(seconds(on(model("train", "bert-large", 128, 2048), shipped("wse2"))) == about(2048 / 6728.0, 0.10));
    CHECK(seconds(on(model("train", "llama2-7b", 4096, 512), shipped("wse3"))) == about(15.38, 0.10));
    CHECK(seconds(on(model("train", "gptj-6b", 2048, 120), shipped("wse3"))) == about(2.682, 0.10));
}
