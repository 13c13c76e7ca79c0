#include <doctest/doctest.h>

#include <rapidcheck.h>
#include <cmath>
#include <filesystem>

#include "core/backend.hpp"
#include "core/tables.hpp"
#include "core/workload.hpp"
#include "models/bounds.hpp"
#include "models/device.hpp"

namespace wb {
std::unique_ptr<Backend> make_roofline();
std::unique_ptr<Backend> make_cluster();
}  // namespace wb

using namespace wb;

namespace {

const std::string configs = std::string(WB_SOURCE_DIR) + "/configs";

System shipped(const std::string& id, const std::map<std::string, std::string>& choices = {}) {
    return load_system(configs + "/systems/" + id + ".toml", choices);
}

std::vector<System> modelled_systems() {
    std::vector<System> out;
    for (const auto& entry : std::filesystem::directory_iterator(configs + "/systems")) {
        System s = load_system(entry.path().string());
        if (s.kind == SystemKind::cluster && cluster::missing_constant(s).empty()) out.push_back(std::move(s));
    }
    return out;
}

Graph gemm(std::int64_t m, std::int64_t n, std::int64_t k, DType type) {
    Graph g("gemm");
    const TensorId a = g.input("a", {m, k}, type), b = g.input("b", {k, n}, type);
    g.mark_output(g.add(OpKind::matmul, "c", {a, b}));
    return g;
}

Graph softmax(std::int64_t rows, std::int64_t columns, DType type) {
    Graph g("softmax");
    g.mark_output(g.add(OpKind::softmax, "y", {g.input("x", {rows, columns}, type)}));
    return g;
}

Graph attention(std::int64_t batch, std::int64_t heads, std::int64_t seq, std::int64_t dim, bool causal, DType type) {
    Attributes a;
    a.batch = batch;
    a.heads = a.kv_heads = heads;
    a.seq = a.seq_kv = seq;
    a.head_dim = a.v_head_dim = dim;
    a.causal = causal;
    a.scale = 1 / std::sqrt(static_cast<double>(dim));
    Graph g("attention");
    const auto in = [&](const char* name) { return g.input(name, {batch * seq, heads * dim}, type); };
    g.mark_output(g.apply(OpKind::attention, "o", {in("q"), in("k"), in("v")}, a).front());
    return g;
}

Graph allreduce(std::int64_t bytes, DType type) {
    Attributes a;
    a.collective = CollectiveKind::allreduce;
    Graph g("collective");
    g.mark_output(g.add(OpKind::collective, "y", {g.input("x", {bytes * 8 / bits(type)}, type)}, a));
    return g;
}

Case one(Graph g, const System& s, int units = 1) {
    Case c;
    c.graph = std::make_shared<Graph>(std::move(g));
    c.system = std::make_shared<System>(s);
    c.units = units;
    return c;
}

double seconds(const Backend& backend, const Case& c) {
    REQUIRE(backend.supports(c, 1).reason == "");
    return backend.prepare(c, *single_process())->run().elapsed.si();
}
bool fits(const Case& c) {
    const auto room = capacity(*c.system, c.units);
    return !room || resident_bytes(*c.graph, c.units) <= *room;
}
double modelled(const Case& c) { return seconds(*make_cluster(), c); }

}  // namespace

TEST_CASE("a device knows every constant of its file, and no other") {
    for (const System& s : modelled_systems()) {
        CAPTURE(s.id);
        const cluster::Device d(s);
        for (const auto& [key, fact] : s.fitted) {
            REQUIRE(d.has(key));
            REQUIRE(d.constant(key) == fact.value);
            REQUIRE_FALSE(d.has(key + "_"));
            REQUIRE_FALSE(d.has(key.substr(1)));
        }
        const auto own = s.fitted.find("gemm_compute_fraction_fp8_e4m3");
        const double expected = (own == s.fitted.end() ? s.fitted.at("gemm_compute_fraction") : own->second).value;
        CHECK(d.gemm(DType::fp8_e4m3).compute == expected);
        CHECK(d.constant("gemm_compute_fraction", DType::fp8_e4m3) == expected);
    }
}

TEST_CASE("no prediction lies below the bound of its machine") {
    for (const System& s : modelled_systems()) {
        CAPTURE(s.id);
        for (std::int64_t m : {1, 17, 512, 8192})
            for (std::int64_t k : {64, 4096, 16384}) {
                const Case c = one(gemm(m, 4096, k, *s.native16), s);
                if (fits(c)) CHECK(modelled(c) >= seconds(*make_roofline(), c));
            }
        for (std::int64_t seq : {128, 1000, 16384})
            for (bool causal : {false, true}) {
                const Case c = one(attention(2, 16, seq, 128, causal, *s.native16), s);
                if (fits(c)) CHECK(modelled(c) >= seconds(*make_roofline(), c));
            }
        for (std::int64_t rows : {1, 1024, 1 << 18}) {
            const Case c = one(softmax(rows, 4096, *s.native16), s);
            if (fits(c)) CHECK(modelled(c) >= seconds(*make_roofline(), c));
        }
    }
}

TEST_CASE("more work is never faster") {
    const System s = shipped("h100-sxm");
    CHECK(rc::check("twice the rows, columns, depth", [&] {
        const auto extent = [] { return *rc::gen::inRange<std::int64_t>(512, 6000); };
        const std::int64_t m = extent(), n = extent(), k = 64 * (1 + extent() / 64);
        const double t = modelled(one(gemm(m, n, k, DType::bf16), s));
        // More tiles keep more of the memory busy: a tiny product may gain a little.
        RC_ASSERT(modelled(one(gemm(2 * m, n, k, DType::bf16), s)) >= 0.98 * t);
        RC_ASSERT(modelled(one(gemm(m, 2 * n, k, DType::bf16), s)) >= 0.98 * t);
        RC_ASSERT(modelled(one(gemm(m, n, 2 * k, DType::bf16), s)) >= 0.98 * t);
    }));
    CHECK(rc::check("more bytes of an allreduce", [&] {
        const auto bytes = *rc::gen::inRange<std::int64_t>(64, 1 << 28) / 4 * 4;
        const int units = *rc::gen::inRange(2, 8);
        const double t = modelled(one(allreduce(bytes, DType::f32), s, units));
        RC_ASSERT(modelled(one(allreduce(2 * bytes, DType::f32), s, units)) >= t);
    }));
    // Around a ring only: what is added up in the switch is 4 % faster over 8 than over 5 (H200, ml-engineering).
    const System ring = shipped("a100-sxm-80g");
    CHECK(rc::check("more units of an allreduce around a ring", [&] {
        const auto bytes = *rc::gen::inRange<std::int64_t>(64, 1 << 28) / 4 * 4;
        const int units = *rc::gen::inRange(2, 8);
        const double t = modelled(one(allreduce(bytes, DType::f32), ring, units));
        RC_ASSERT(modelled(one(allreduce(bytes, DType::f32), ring, units + 1)) >= t);
    }));
}

TEST_CASE("published times: tolerance and source") {
    // LLMCompass artefact, A100, PyTorch wall clock, 8192^3: 0.90 of 312 TFLOP/s.
    const System wall = shipped("a100-sxm-80g", {{"timer", "wall"}});
    CHECK(modelled(one(gemm(8192, 8192, 8192, DType::f16), wall)) ==
          doctest::Approx(2 * std::pow(8192.0, 3) / (0.90 * 312e12)).epsilon(0.07).scale(0));
    // FlashAttention-3 (Shah et al. 2024, figure 5): forward, d 128, 16k tokens, no mask: about 650 to 660 TFLOP/s,
    // less than shorter sequences promise.
    const double flops = 4 * 16 * 16384.0 * 16384 * 128;
    CHECK(flops / modelled(one(attention(1, 16, 16384, 128, false, DType::f16), shipped("h100-sxm"))) ==
          doctest::Approx(655e12).epsilon(0.1).scale(0));
    // Independent measurements of 1 GiB over 8 A100 agree on 231 to 235 GB/s bus bandwidth.
    const double busbw = 1.75 * 1073741824 / modelled(one(allreduce(1 << 30, DType::f32), shipped("a100-sxm-80g"), 8));
    CHECK(busbw == doctest::Approx(231e9).epsilon(0.06).scale(0));
}

TEST_CASE("laws of libraries and layouts") {
    // Decode over a cache that eight query heads share: a library whose heads read it one by one pays for each of them,
    // one whose groups read it together does not; without groups there is no difference.
    const auto decode = [](std::int64_t kv_heads) {
        Graph g("decode");
        Attributes a;
        a.batch = 64, a.heads = 64, a.kv_heads = kv_heads, a.seq = 1, a.seq_kv = 4096;
        a.head_dim = a.v_head_dim = 128;
        a.scale = 0.1;
        const TensorId q = g.input("q", {64, 64 * 128}, DType::bf16);
        const auto cache = [&](const char* n) { return g.input(n, {64 * 4096, kv_heads * 128}, DType::fp8_e4m3); };
        g.mark_output(g.apply(OpKind::attention, "o", {q, cache("k"), cache("v")}, a).front());
        return g;
    };
    const System together = shipped("h100-sxm"), each = shipped("h100-sxm", {{"library", "trtllm"}});
    CHECK(modelled(one(decode(8), each)) > 4 * modelled(one(decode(8), together)));
    CHECK(modelled(one(decode(64), each)) ==
          doctest::Approx(modelled(one(decode(64), together))).epsilon(0.02).scale(0));
    // The cache is read in its own type: 2 x 64 x 4096 x 64 x 128 bytes, at less than 3350 GB/s.
    const double bytes = 2.0 * 64 * 4096 * 64 * 128;
    CHECK(modelled(one(decode(64), together)) > bytes / 3350e9);
    CHECK(modelled(one(decode(64), together)) < 1.5 * bytes / 3350e9);

    // Rows too wide to keep are read twice: the same bytes in wider rows take longer, by half at most.
    const System mi210 = shipped("mi210");
    const double narrow = modelled(one(softmax(1 << 16, 4096, DType::f16), mi210));
    const double wide = modelled(one(softmax(1 << 10, 1 << 18, DType::f16), mi210));
    CHECK(wide > 1.4 * narrow);
    CHECK(wide < 1.5 * narrow);

    // A matrix that lies along the depth is read more slowly where that was seen (DeepBench on V100).
    Graph thin("thin");
    const TensorId a = thin.input("a", {8448, 2816}, DType::f16), b = thin.input("b", {2816, 16}, DType::f16);
    thin.mark_output(thin.add(OpKind::matmul, "c", {a, b}));
    Graph turned("turned");
    Attributes by_columns;
    by_columns.trans_a = true;
    const TensorId at = turned.input("a", {2816, 8448}, DType::f16), bt = turned.input("b", {2816, 16}, DType::f16);
    turned.mark_output(turned.add(OpKind::matmul, "c", {at, bt}, by_columns));
    const System v100 = shipped("v100-sxm2");
    CHECK(modelled(one(thin, v100)) > 1.3 * modelled(one(turned, v100)));

    // The best shape of a search loses less to its tiles.
    Case typical = one(gemm(4096, 4096, 4096, DType::bf16), shipped("h100-sxm")), searched = typical;
    searched.mapping.algorithm = "searched";
    CHECK(modelled(searched) < 0.95 * modelled(typical));
}

TEST_CASE("cases it cannot model are declined with a reason") {
    const auto backend = make_cluster();
    CHECK(backend->supports(one(gemm(8, 8, 8, DType::f32), shipped("wse2")), 1).reason ==
          "wse2 is no cluster of discrete units");
    CHECK(backend->supports(one(allreduce(1024, DType::f32), shipped("h100-sxm")), 1).reason ==
          "a collective needs two units or more");
    Case c = one(gemm(8, 8, 8, DType::bf16), shipped("h100-sxm"), 4);
    c.mapping.data = 3;
    CHECK(backend->supports(c, 1).reason == "mapping dp3 takes 3 units, the case has 4; dp4 would take them all");
}
