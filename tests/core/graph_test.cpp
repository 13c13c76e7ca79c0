#include <doctest/doctest.h>

#include <functional>
#include <set>

#include "core/error.hpp"
#include "core/tables.hpp"

using namespace wb;

namespace {

const std::string configs = std::string(WB_SOURCE_DIR) + "/configs";
using Settings = std::vector<std::pair<std::string, ParamValue>>;

ParamValue word(const char* s) { return std::string(s); }
ParamValue whole(std::int64_t n) { return n; }

Graph build(const std::string& workload, const Settings& settings) {
    return build_workload(workload, settings, Files({configs}));
}

Graph gemm(std::int64_t m, std::int64_t n, std::int64_t k, const char* dtype = "f32") {
    return build("gemm", {{"m", m}, {"n", n}, {"k", k}, {"dtype", word(dtype)}});
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

TEST_CASE("graph: flop of a product") {
    CHECK(gemm(3, 5, 7).flops().si() == 2.0 * 3 * 5 * 7);
    CHECK(gemm(3, 5, 7).matmul_flops() == gemm(3, 5, 7).flops());
    CHECK(build("gemm", {{"m", whole(3)}, {"n", whole(5)}, {"k", whole(7)}, {"batch", whole(4)}}).flops().si() == 840);
}

TEST_CASE("graph: flop of attention count visible pairs only") {
    const auto attention = [](std::int64_t q, std::int64_t kv, bool causal, std::int64_t window = 0) {
        return build("attention", {{"batch", whole(2)},
                                   {"heads", whole(3)},
                                   {"seq_q", q},
                                   {"seq_kv", kv},
                                   {"head_dim", whole(16)},
                                   {"causal", causal},
                                   {"window", window}});
    };
    const auto matmul = [](double pairs) { return 2 * 3 * pairs * 2 * (16 + 16.0); };  // batch, heads, two products
    CHECK(attention(4, 4, false).matmul_flops().si() == matmul(16));
    CHECK(attention(4, 4, true).matmul_flops().si() == matmul(1 + 2 + 3 + 4));
    CHECK(attention(2, 5, true).matmul_flops().si() == matmul(4 + 5));  // the last query sees the last key
    CHECK(attention(4, 4, true, 2).matmul_flops().si() == matmul(1 + 2 + 2 + 2));
    CHECK(attention(4, 4, true).flops().si() == matmul(10) + 2 * 3 * 4 * 10.0);
}

TEST_CASE("graph: a repeated block counts as often as it runs") {
    const auto chain = [](std::int64_t n) {
        Graph g("chain");
        const TensorId x = g.input("x", {4, 8}, DType::f32);
        const auto last = g.repeat(n, {x}, [&](const std::vector<TensorId>& in) {
            const TensorId w = g.weight("w", {8, 8}, DType::f32, {Fill::Kind::uniform, 1.0});
            return std::vector<TensorId>{g.add(OpKind::matmul, "y", {in[0], w})};
        });
        g.mark_output(last.front());
        return g;
    };
    CHECK(chain(126).flops().si() == 126 * chain(1).flops().si());
    CHECK(chain(126).parameters() == 126 * 64);
    CHECK(chain(126).ops().size() == chain(1).ops().size());
    CHECK(chain(126).tensors().size() == chain(1).tensors().size());
    CHECK(chain(3).compulsory_bytes().si() == 4 * (4 * 8 + 3 * 64 + 4 * 8));
    CHECK(chain(3).fingerprint() != chain(4).fingerprint());
    CHECK(problem([&] { chain(0); }) == "chain: repeats a block 0 times (the count must be at least 1).");
}

TEST_CASE("graph: 126 layers are as small as one") {
    const auto layers = [](std::int64_t n) {
        return build("train", {{"model", word("llama3.1-405b")}, {"seq", whole(128)}, {"layers", n}});
    };
    CHECK(layers(126).ops().size() == layers(1).ops().size());
    CHECK(layers(126).tensors().size() == layers(1).tensors().size());
    CHECK(layers(126).fingerprint() == layers(0).fingerprint());
}

TEST_CASE("graph: compulsory bytes by hand") {
    CHECK(gemm(3, 5, 7, "bf16").compulsory_bytes().si() == 2 * (3 * 7 + 7 * 5 + 3 * 5));
    const double batch = 2, seq = 10, hidden = 4096, vocab = 32000, layers = 32, bytes = 2;
    const Graph g = build(
        "decode", {{"model", word("llama2-7b")}, {"batch", whole(2)}, {"seq", whole(10)}, {"dtype", word("bf16")}});
    const double table_row = hidden;  // both tokens may be the same
    const double weights = static_cast<double>(g.parameters()) - vocab * hidden + table_row;
    const double cache_read = layers * 2 * batch * (seq + 1) * hidden, cache_written = layers * 2 * batch * hidden;
    const double tokens = batch * 4, logits = batch * vocab;
    CHECK(g.compulsory_bytes().si() == bytes * (weights + cache_read + cache_written + logits) + tokens);
}

TEST_CASE("graph: fingerprints are the same on every machine and in every release") {
    CHECK(gemm(1024, 512, 256).fingerprint() == "000c839e6112fd9fa148254172bd343b");
    CHECK(build("attention", {{"heads", whole(8)}, {"seq_q", whole(128)}, {"causal", true}}).fingerprint() ==
          "93e296f37e4644bc5e5ffa978d8eaa02");
    CHECK(build("train", {{"model", word("tiny-llama")}, {"seq", whole(16)}}).fingerprint() ==
          "dcbcca0e409fcc6a17ef23e20a60b543");
}

TEST_CASE("graph: every parameter changes the fingerprint") {
    struct Row {
        std::string workload;
        Settings base, changes;
    };
    const std::vector<Row> rows{
        {"gemm",
         {{"m", whole(8)}, {"n", whole(8)}, {"k", whole(8)}},
         {{"m", whole(9)},
          {"n", whole(9)},
          {"k", whole(9)},
          {"batch", whole(2)},
          {"trans_a", true},
          {"trans_b", true},
          {"dtype", word("f64")}}},
        {"gemv", {{"m", whole(8)}, {"k", whole(8)}}, {{"m", whole(9)}, {"k", whole(9)}, {"dtype", word("bf16")}}},
        {"attention",
         {{"heads", whole(4)}, {"seq_q", whole(8)}},
         {{"batch", whole(2)},
          {"heads", whole(8)},
          {"kv_heads", whole(2)},
          {"seq_q", whole(9)},
          {"seq_kv", whole(16)},
          {"head_dim", whole(32)},
          {"causal", true},
          {"window", whole(3)},
          {"pass", word("forward_backward")},
          {"dtype", word("f16")}}},
        {"vector",
         {{"op", word("rope")}, {"rows", whole(4)}, {"cols", whole(16)}},
         {{"op", word("gelu")},
          {"rows", whole(5)},
          {"cols", whole(32)},
          {"heads", whole(2)},
          {"dtype", word("16-bit")}}},
        {"collective",
         {{"op", word("allreduce")}, {"bytes", word("1 KiB")}},
         {{"op", word("broadcast")}, {"bytes", word("2 KiB")}, {"dtype", word("bf16")}}},
        {"train",
         {{"model", word("gpt2")}, {"seq", whole(8)}},
         {{"model", word("gpt2-xl")},
          {"seq", whole(9)},
          {"batch", whole(2)},
          {"layers", whole(3)},
          {"shrunk", true},
          {"dtype", word("bf16")}}},
    };
    for (const Row& row : rows) {
        std::set<std::string> seen{build(row.workload, row.base).fingerprint()};
        for (const auto& change : row.changes) {
            Settings settings = row.base;
            settings.push_back(change);
            CAPTURE(row.workload);
            CAPTURE(change.first);
            CHECK(seen.insert(build(row.workload, settings).fingerprint()).second);
        }
    }
}

TEST_CASE("graph: a resolved class is the same workload, a type of one's own is another") {
    const Graph any = gemm(8, 8, 8, "16-bit");
    const Graph bf16 = any.resolved(DType::bf16, DType::fp8_e4m3), f16 = any.resolved(DType::f16, DType::int8);
    CHECK(bf16.fingerprint() == any.fingerprint());
    CHECK(f16.fingerprint() == any.fingerprint());
    CHECK(bf16.tensors()[0].dtype == DType::bf16);
    CHECK(f16.tensors()[2].dtype == DType::f16);
    CHECK(gemm(8, 8, 8, "bf16").fingerprint() != any.fingerprint());
    CHECK(bf16.compulsory_bytes().si() == 3 * 64 * 2);
}

TEST_CASE("graph: sizes that cannot be are refused") {
    CHECK(problem([] {
              Graph("g").input("x", {0, 4}, DType::f32);
          }) == "tensor \"x\": has shape [0, 4] (every extent must be at least 1).");
    CHECK(problem([] { Graph("g").input("x", {-1}, DType::f32); }) ==
          "tensor \"x\": has shape [-1] (every extent must be at least 1).");
    CHECK(problem([] {
              Graph("g").input("x", {std::int64_t{1} << 32, std::int64_t{1} << 32}, DType::f32);
          }) ==
          "tensor \"x\": shape [4294967296, 4294967296] overflows (its elements cannot be counted in 64 bits). Use a "
          "smaller size.");
    CHECK(problem([] { gemm(0, 4, 4); }) == "m: is 0 (a size must be at least 1).");
    CHECK(problem([] { gemm(std::int64_t{1} << 40, 4, std::int64_t{1} << 40); }) ==
          "tensor \"a\": shape [1099511627776, 1099511627776] overflows (its elements cannot be counted in 64 bits). "
          "Use a smaller size.");
    Graph g("g");
    const TensorId a = g.input("a", {2, 3}, DType::f32), b = g.input("b", {4, 5}, DType::f32);
    CHECK(problem([&] {
              g.add(OpKind::matmul, "c", {a, b});
          }) == "matmul \"c\": k of the second matrix is 4, must be 3 (shapes do not match).");
}
