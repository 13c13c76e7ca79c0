// A user's own model through the real program: a folder and an ONNX file beside the experiment.
#include <doctest/doctest.h>

#include <cstdlib>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "harness/result_file.hpp"
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

TEST_CASE("own model: it answers a prompt in words, by its own tokeniser and with its own weights") {
    const Sandbox box;
    const std::string folder = (box / "mine").string();
    box.write("mine/tokenizer.json", R"({"normalizer": {"type": "NFC"}, "pre_tokenizer": {"type": "ByteLevel"},
        "added_tokens": [{"id": 60, "content": "<s>", "special": true}],
        "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}},
            {"Sequence": {"id": "A", "type_id": 0}}], "special_tokens": {"<s>": {"id": "<s>", "ids": [60]}}},
        "model": {"type": "BPE", "merges": ["t h", "th e"], "vocab": {"th": 26, "the": 27, "\u0120": 28, "a": 0, "b": 1,
            "c": 2, "d": 3, "e": 4, "f": 5, "g": 6, "h": 7, "i": 8, "j": 9, "k": 10, "l": 11, "m": 12, "n": 13, "o": 14,
            "p": 15, "q": 16, "r": 17, "s": 18, "t": 19, "u": 20, "v": 21, "w": 22, "x": 23, "y": 24, "z": 25}}})");
    // <s> the _ c a t; what follows NumPy says.
    const std::string command = "/usr/bin/python3 '" WB_SOURCE_DIR "/tests/kernels/tiny_models.py' llama '" + folder +
                                "' 60,27,28,2,0,19 5 >'" + (box / "wanted").string() + "'";
    REQUIRE(std::system(command.c_str()) == 0);
    std::vector<double> wanted;
    std::istringstream in(box.read("wanted"));
    for (double id = 0; in >> id;) wanted.push_back(id);
    REQUIRE(wanted.size() == 5);
    std::string words;
    for (const double id : wanted)
        words += id < 26    ? std::string(1, static_cast<char>('a' + static_cast<int>(id)))
                 : id == 26 ? "th"
                 : id == 27 ? "the"
                 : id == 28 ? " "
                 : id == 60 ? "<s>"
                            : "<" + std::to_string(static_cast<int>(id)) + ">";
    box.write("e.toml", std::string(R"([protocol]
min_samples = 1
max_samples = 1
[[workload]]
use = "generate"
model = "mine"
prompt = "the cat"
tokens = 5
batch = 2
dtype = "f32"
[[system]]
use = "host"
backends = ["cpu"]
threads = 1
)") + systems);
    const Outcome run = box.run({"run", "e.toml", "-o", "a.h5"});
    CAPTURE(run.err);
    CAPTURE(run.out);
    REQUIRE(run.code == 0);
    CHECK(run.says("prompt                \"<s>the cat\""));
    CHECK(run.says("answer                \"" + words + "\""));
    CHECK(run.says("answer of sequence 2  \"" + words + "\""));
    const wb::ResultSet set = wb::read_results((box / "a.h5").string());
    std::set<std::string> fingerprints;
    for (const wb::Result& r : set.results) {
        fingerprints.insert(r.fingerprint);
        CHECK(r.key.find(" seq=6 ") != std::string::npos);
        if (r.m.kind != wb::Kind::measured) continue;
        REQUIRE(r.m.series.size() == 2);
        CHECK(r.m.series[0].values == wanted);
        REQUIRE(r.m.texts.size() == 3);
        CHECK(r.m.texts[1].text == words);
    }
    CHECK(fingerprints.size() == 1);  // what models cost is the same work
    CHECK(set.results.size() > 3);
    const Outcome phases = box.run({"describe", "a.h5"});
    for (const char* words : {"decides: ", "least traffic", "counted", "h100-sxm"}) CHECK(phases.says(words));
    const Outcome wrong = box.run({"run", "e.toml", "--set", "workload.0.prompt=\"the Cat\""});
    CHECK(wrong.code == 1);
    CHECK(wrong.says("tokenizer.json: has no token for the byte 0x43 (the text holds it)."));
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
