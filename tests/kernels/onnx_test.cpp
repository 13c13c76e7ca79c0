#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>

#include "core/error.hpp"
#include "core/tables.hpp"
#include "kernels/workloads/model/transformer.hpp"
#include "tests/temp_folder.hpp"
#ifdef ONNX_NAMESPACE
#include "kernels/reference/reference.hpp"
#include "tests/kernels/onnx_models.hpp"
#endif

using namespace wb;

namespace {

using Settings = std::vector<std::pair<std::string, ParamValue>>;

Graph import(const std::string& file, const Settings& settings = {}) {
    Settings all = settings;
    all.emplace_back("file", file);
    return build_workload("onnx", all, Files({}));
}

std::string problem(const std::function<void()>& action) {
    try {
        action();
    } catch (const Error& e) {
        return e.what();
    }
    return "";
}

}  // namespace

TEST_CASE("onnx: a file that is not there") {
    CHECK(problem([] { import("nowhere.onnx"); }) ==
          "file: there is no file \"nowhere.onnx\" (it is looked up beside the experiment file and in the working "
          "folder).");
}

#ifdef ONNX_NAMESPACE

namespace {

std::int64_t operator""_i(unsigned long long n) { return static_cast<std::int64_t>(n); }

struct File {
    Folder folder;
    std::string path = (folder.path / "model.onnx").string();
    explicit File(int opset, const std::function<void(OnnxWriter&)>& write) {
        OnnxWriter w(opset);
        write(w);
        w.save(path);
    }
};

Graph native(const ModelConfig& m, std::int64_t batch, std::int64_t seq) {
    Graph g("forward");
    build_transformer(g, m, Pass::forward, {batch, seq, DType::f32});
    return g;
}

/// An op with the sizes it works on, as text.
std::string line(const Graph& g, const Op& op) {
    std::string out(name(op.kind));
    for (const TensorId id : op.in) {
        out += " [";
        for (const std::int64_t extent : g.tensor(id).shape) out += std::to_string(extent) + " ";
        out += std::to_string(static_cast<int>(g.tensor(id).role)) + "]";
    }
    const Attributes& a = op.attributes;
    for (const std::int64_t n : {a.trans_b ? 1_i : 0_i, a.causal ? 1_i : 0_i, a.heads, a.kv_heads, a.head_dim, a.window,
                                 a.rotary_dim, a.interleaved ? 1_i : 0_i, a.tanh_form ? 1_i : 0_i})
        out += " " + std::to_string(n);
    if (op.kind == OpKind::attention) out += " scale " + std::to_string(a.scale);
    if (op.kind == OpKind::rope) out += " base " + std::to_string(a.theta);
    return out;
}

/// Operator by operator, block by block, the same graph: what it is called apart.
void check_equal(const Graph& imported, const Graph& wanted) {
    CHECK(imported.flops().si() == wanted.flops().si());
    CHECK(imported.matmul_flops().si() == wanted.matmul_flops().si());
    CHECK(imported.parameters() == wanted.parameters());
    CHECK(imported.compulsory_bytes().si() == wanted.compulsory_bytes().si());
    REQUIRE(imported.blocks().size() == wanted.blocks().size());
    for (std::size_t i = 0; i < wanted.blocks().size(); ++i) {
        CHECK(imported.blocks()[i].repeat == wanted.blocks()[i].repeat);
        CHECK(imported.blocks()[i].last == wanted.blocks()[i].last);
        CHECK(imported.blocks()[i].carries.size() == wanted.blocks()[i].carries.size());
    }
    REQUIRE(imported.ops().size() == wanted.ops().size());
    for (std::size_t i = 0; i < wanted.ops().size(); ++i)
        CHECK(line(imported, imported.ops()[i]) == line(wanted, wanted.ops()[i]));
}

const Files& files() {
    static const Files all({std::string(WB_SOURCE_DIR) + "/configs"});
    return all;
}

}  // namespace

TEST_CASE("onnx: GPT-2 as torch.onnx writes it is the native graph, operator by operator") {
    const File file(13, [](OnnxWriter& w) { exported::gpt2(w, {12, 768, 12, 12, 3072, 50257, 1024}); });
    for (const std::int64_t batch : {1, 3}) {
        const Graph g = import(file.path, {{"batch", batch}, {"seq", 128_i}});
        check_equal(g, native(load_model("gpt2", files()), batch, 128));
    }
    CHECK(import(file.path, {{"seq", 64_i}}).parameters() == 124439808);
    const Graph short_one = import(file.path, {{"seq", 64_i}, {"layers", 3_i}});
    check_equal(short_one, [] {
        ModelConfig m = load_model("gpt2", files());
        m.layers = 3;
        return native(m, 1, 64);
    }());
}

TEST_CASE("onnx: a Llama with grouped heads, angles from frequencies and a mask made at run time") {
    const File file(17, [](OnnxWriter& w) { exported::llama(w, {4, 64, 8, 2, 176, 211, 0}, 500000); });
    ModelConfig m = load_model("{hidden=64,layers=4,heads=8,kv_heads=2,ffn=176,vocab=211,gated=1}", files());
    m.rope_theta = 500000;
    const Graph g = import(file.path, {{"batch", 2_i}, {"seq", 24_i}});
    const Graph wanted = native(m, 2, 24);
    CHECK(g.flops().si() == wanted.flops().si());
    CHECK(g.parameters() == wanted.parameters());
    CHECK(g.blocks().size() == wanted.blocks().size());
    // The exporter's order (gate before up) is its own.
    const auto sorted = [](const Graph& of) {
        std::vector<std::string> lines;
        for (const Op& op : of.ops()) lines.push_back(line(of, op));
        std::sort(lines.begin(), lines.end());
        return lines;
    };
    const std::vector<std::string> a = sorted(g), b = sorted(wanted);
    std::vector<std::string> only_a, only_b;
    std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(only_a));
    std::set_difference(b.begin(), b.end(), a.begin(), a.end(), std::back_inserter(only_b));
    CHECK(a.size() == b.size());
    REQUIRE(only_a.size() == 1);  // the head: [hidden, vocab] in the file, [vocab, hidden] in the native graph
    CHECK(only_a[0].starts_with("matmul [48 64 3] [64 211 1] 0"));
    CHECK(only_b[0].starts_with("matmul [48 64 3] [211 64 1] 1"));
}

TEST_CASE("onnx: a decoder with its cache reads one token after many") {
    const File file(17, [](OnnxWriter& w) { exported::llama(w, {4, 64, 8, 2, 176, 211, 0}, 10000, true); });
    const Graph g = import(file.path, {{"batch", 3_i}, {"seq", 1_i}, {"past", 30_i}});
    Graph wanted("decode");
    build_transformer(wanted, load_model("{hidden=64,layers=4,heads=8,kv_heads=2,ffn=176,vocab=211,gated=1}", files()),
                      Pass::decode, {3, 30, DType::f32});
    CHECK(g.flops().si() == wanted.flops().si());
    CHECK(g.compulsory_bytes().si() == wanted.compulsory_bytes().si());
    CHECK(g.parameters() == wanted.parameters());
    CHECK(g.ops().size() == wanted.ops().size());
    CHECK(g.blocks().size() == wanted.blocks().size());
    CHECK(std::count_if(g.ops().begin(), g.ops().end(), [](const Op& op) { return op.kind == OpKind::cache_write; }) ==
          2);
    CHECK(problem([&] { import(file.path, {{ "seq", 1_i }}); }).find("Give past = 1 or more.") != std::string::npos);
}

TEST_CASE("onnx: BERT with erf, LayerNormalization nodes and a mask that is an input") {
    const File file(17, [](OnnxWriter& w) { exported::bert(w, {2, 48, 4, 4, 96, 101, 40}); });
    ModelConfig m;
    m.type = "bert";
    m.windows = {0};
    m.hidden = 48;
    m.layers = 2;
    m.heads = m.kv_heads = 4;
    m.head_dim = m.v_head_dim = 12;
    m.ffn = 96;
    m.vocab = 101;
    m.positions = 40;
    m.token_types = 2;
    m.learned_positions = m.qkv_bias = m.out_bias = m.mlp_bias = m.head_bias = m.post_norm = true;
    m.causal = m.gelu_tanh = false;
    const Graph g = import(file.path, {{"batch", 3_i}, {"seq", 20_i}}), wanted = native(m, 3, 20);
    CHECK(g.flops().si() == wanted.flops().si());
    CHECK(g.matmul_flops().si() == wanted.matmul_flops().si());
    CHECK(g.parameters() == wanted.parameters());
    CHECK(g.ops().size() == wanted.ops().size());
    CHECK(g.blocks().size() == wanted.blocks().size());
}

TEST_CASE("onnx: an imported graph is computed as any other") {
    const File file(13, [](OnnxWriter& w) { exported::gpt2(w, {3, 32, 4, 4, 128, 61, 40}); });
    const Graph g = import(file.path, {{"batch", 2_i}, {"seq", 9_i}});
    const Outputs out = reference::execute(g, 5);
    REQUIRE(out.size() == 1);
    CHECK(out[0].values.size() == 2 * 9 * 61);
    double sum = 0;
    for (const double x : out[0].values) sum += x * x;
    CHECK(sum > 0);
    CHECK(std::isfinite(sum));
}

TEST_CASE("onnx: operators without counterpart are named and counted, all of them") {
    const File file(13, [](OnnxWriter& w) {
        w.input("pixels", onnx::TensorProto::FLOAT, {"batch", "3", "32", "32"});
        std::string x = "pixels";
        for (int i = 0; i < 3; ++i) {
            const std::int64_t in = i == 0 ? 3 : 8;
            x = w.node("Relu", {w.node("Conv", {x, w.weight("conv" + std::to_string(i), {8, in, 3, 3})})});
        }
        w.node("GlobalAveragePool", {x});
        w.rename_last("y");
        w.output("y");
    });
    CHECK(problem([&] { import(file.path); })
              .starts_with(file.path + ": 7 of its 7 nodes have no counterpart: Conv x3, GlobalAveragePool, Relu x3 "
                                       "(their work would be missing "
                                       "from every figure)."));
    const File tanh(13, [](OnnxWriter& w) {
        w.input("x", onnx::TensorProto::FLOAT, {"batch", "seq", "16"});
        w.node("Tanh", {w.node("MatMul", {"x", w.weight("w", {16, 16})})});
        w.rename_last("y");
        w.output("y");
    });
    CHECK(problem([&] { import(tanh.path); }).find("1 of its 2 nodes have no counterpart: Tanh (") !=
          std::string::npos);
    const File unknown(13, [](OnnxWriter& w) {
        w.input("x", onnx::TensorProto::FLOAT, {"batch", "seq", "16"});
        w.node("MyOwnAttention", {"x"});
        w.rename_last("y");
        w.output("y");
    });
    CHECK(problem([&] { import(unknown.path); }).find("no counterpart: MyOwnAttention (") != std::string::npos);
}

TEST_CASE("onnx: files and sizes that cannot be") {
    const Folder folder;
    const std::string path = (folder.path / "text.onnx").string();
    std::ofstream(path) << "this is no model";
    CHECK(problem([&] { import(path); }) == path + ": is no ONNX model (its bytes are no message of that form).");
    const File fixed(13, [](OnnxWriter& w) {
        w.input("input_ids", onnx::TensorProto::INT64, {"1", "8"});
        w.node("Gather", {w.weight("table", {61, 16}), "input_ids"});
        w.rename_last("y");
        w.output("y");
    });
    CHECK(import(fixed.path).tensors().size() == 3);
    CHECK(problem([&] {
              import(fixed.path, {{ "seq", 16_i }});
          }) ==
          fixed.path +
              ": its input \"input_ids\" has 8 tokens, fixed in the file, not 16 (what follows is computed for that "
              "size). Export with dynamic axes, or ask for the file's size.");
    const File strange(13, [](OnnxWriter& w) {
        w.input("x", onnx::TensorProto::FLOAT, {"batch", "seq", "width"});
        w.node("Identity", {"x"});
        w.rename_last("y");
        w.output("y");
    });
    CHECK(problem([&] { import(strange.path); }).find("has a dimension \"width\" that nobody sizes") !=
          std::string::npos);
}

#else

TEST_CASE("onnx: without the library it says what to install") {
    const Folder folder;
    const std::string path = (folder.path / "model.onnx").string();
    std::ofstream(path) << "any";
    CHECK(problem([&] { import(path); }).find("Install libonnx-dev and libprotobuf-dev") != std::string::npos);
}

#endif
