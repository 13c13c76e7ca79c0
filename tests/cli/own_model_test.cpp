// A user's own model through the real program: a folder and an ONNX file beside the experiment.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <set>

#include "tests/cli/sandbox.hpp"
#ifdef ONNX_NAMESPACE
#include "tests/kernels/onnx_models.hpp"
#endif

using cli::Outcome;
using cli::Sandbox;

namespace {

constexpr const char* config = R"({"model_type": "gpt2", "n_embd": 64, "n_head": 4, "n_layer": 2, "n_positions": 128,
    "vocab_size": 256})";

constexpr const char* systems = R"(
[[system]]
use = "h100-sxm"
[[system]]
use = "wse3"
)";

/// The FLOPs of every case, and how many backends answered.
struct Table {
    std::set<std::string> backends;
    nlohmann::json rows;
};

Table table_of(const Outcome& o) {
    Table t{{}, nlohmann::json::parse(o.out)["rows"]};
    for (const auto& row : t.rows) t.backends.insert(row["backend"].get<std::string>());
    return t;
}

}  // namespace

TEST_CASE("own model: a folder beside the experiment is costed wherever the experiment lies") {
    const Sandbox box;
    cli::fs::create_directories(box / "work/models/mine");
    box.write("work/models/mine/config.json", config);
    box.write("work/e.toml",
              std::string("[[workload]]\nuse = \"prefill\"\nmodel = \"models/mine\"\nseq = 32\n") + systems);
    const Outcome run = box.run({"run", "work/e.toml", "-o", "a.h5", "--format", "json"});
    CAPTURE(run.err);
    REQUIRE(run.code == 0);
    const Table t = table_of(run);
    CHECK(t.backends.contains("roofline"));
    CHECK(t.backends.contains("cluster"));
    CHECK(t.backends.contains("wafer"));
    const Outcome what = box.run({"describe", "work/models/mine"});
    CAPTURE(what.err);
    CHECK(what.code == 0);
    CHECK(what.says("hashed: no safetensors beside config.json"));
    CHECK(what.says("4 heads of 16, causal, biases"));
}

TEST_CASE("own model: what is wrong with it is said once, and nothing is run") {
    const Sandbox box;
    cli::fs::create_directories(box / "mine");
    box.write("mine/config.json", R"({"model_type": "gpt2", "n_embd": 64, "n_head": 4, "n_positions": 128})");
    box.write("e.toml", std::string("[[workload]]\nuse = \"prefill\"\nmodel = \"mine\"\nseq = 32\n") + systems);
    const Outcome run = box.run({"run", "e.toml", "-o", "a.h5"});
    CHECK(run.code == 1);
    CHECK(
        run.says("mine/config.json: \"n_layer\" is missing (or \"num_hidden_layers\") (the architecture is not known "
                 "without it). The file has: model_type, n_embd, n_head, n_positions"));
    CHECK(!cli::fs::exists(box / "a.h5"));
    const Outcome none = box.run({"describe", "your/model"});
    CHECK(none.code == 1);
    CHECK(none.says("there is no folder \"your/model\""));
}

#ifdef ONNX_NAMESPACE

TEST_CASE("own model: an ONNX graph is costed on every system, or its operators are named") {
    const Sandbox box;
    OnnxWriter gpt2(13);
    exported::gpt2(gpt2, {2, 64, 4, 4, 256, 211, 128});
    gpt2.save((box / "gpt2.onnx").string());
    box.write("e.toml",
              std::string("[[workload]]\nuse = \"onnx\"\nfile = \"gpt2.onnx\"\nseq = 32\nbatch = [1, 4]\n") + systems);
    const Outcome run = box.run({"run", "e.toml", "-o", "a.h5", "--format", "json"});
    CAPTURE(run.err);
    REQUIRE(run.code == 0);
    const Table t = table_of(run);
    CHECK(t.backends.contains("roofline"));
    CHECK(t.backends.contains("cluster"));
    CHECK(t.backends.contains("wafer"));
    const Outcome what = box.run({"describe", "gpt2.onnx"});
    CHECK(what.says("2 equal ones of 12 operators"));
    OnnxWriter other(13);
    other.input("x", onnx::TensorProto::FLOAT, {"batch", "seq", "16"});
    other.node("Relu", {other.node("MatMul", {"x", other.weight("w", {16, 16})})});
    other.rename_last("y");
    other.output("y");
    other.save((box / "gpt2.onnx").string());
    const Outcome refused = box.run({"run", "e.toml", "-o", "b.h5"});
    CHECK(refused.code == 1);
    CHECK(refused.says(
        "gpt2.onnx: 1 of its 2 nodes have no counterpart: Relu (their work would be missing from every figure)"));
}

#endif
