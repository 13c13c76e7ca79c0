#include <doctest/doctest.h>

#include <rapidcheck.h>
#include <array>
#include <cmath>
#include <filesystem>
#include <limits>

#include "core/backend.hpp"
#include "core/element.hpp"
#include "core/tables.hpp"
#include "models/bounds.hpp"

namespace wb {
std::unique_ptr<Backend> make_roofline();
}

using namespace wb;

namespace {

const std::string configs = std::string(WB_SOURCE_DIR) + "/configs";

System shipped(const std::string& id) { return load_system(configs + "/systems/" + id + ".toml"); }

/// Equal but for rounding. Times are small: Approx alone would add an absolute tolerance.
doctest::Approx near(double value) { return doctest::Approx(value).epsilon(1e-12).scale(0).scale(0); }

Fact si(double value) { return {value, "", "test", "", ""}; }

/// One level of memory, one peak, one switch without latency.
System plain(double flops, double bandwidth, double network = 1e9) {
    System s;
    s.id = "plain";
    s.peak[DType::f32] = si(flops);
    s.memories.push_back({"memory", si(1e15), si(bandwidth)});
    s.fabrics.push_back({"net", "switch", si(1024), si(network), std::nullopt, false});
    return s;
}

Graph gemm(std::int64_t m, std::int64_t n, std::int64_t k, DType type = DType::f32) {
    Graph g("gemm");
    const TensorId a = g.input("a", {m, k}, type), b = g.input("b", {k, n}, type);
    g.mark_output(g.add(OpKind::matmul, "c", {a, b}));
    return g;
}

Graph collective(CollectiveKind kind, std::int64_t elements, DType type = DType::f32) {
    Graph g("collective");
    Attributes a;
    a.collective = kind;
    g.mark_output(g.add(OpKind::collective, "y", {g.input("x", {elements}, type)}, a));
    return g;
}

Case one(Graph g, System s, int units = 1) {
    Case c;
    c.graph = std::make_shared<Graph>(std::move(g));
    c.system = std::make_shared<System>(std::move(s));
    c.units = units;
    return c;
}

Support asked(const Case& c) { return make_roofline()->supports(c, 1); }

double seconds(const Case& c) {
    REQUIRE(asked(c).reason == "");
    return make_roofline()->prepare(c, *single_process())->run().elapsed.si();
}

std::string detail(const Case& c) { return make_roofline()->prepare(c, *single_process())->usage().detail; }

Graph decode(const std::string& model, std::int64_t seq) {
    return build_workload("decode", {{"model", model}, {"seq", seq}, {"dtype", std::string("bf16")}}, Files({configs}));
}

}  // namespace

TEST_CASE("roofline: a product of matrices on one GPU by hand") {
    const Case c = one(gemm(8192, 8192, 8192, DType::bf16), shipped("h100-sxm"));
    CHECK(seconds(c) == near(2 * std::pow(8192.0, 3) / 989e12));
    CHECK(seconds(c) == doctest::Approx(1.1117e-3).epsilon(1e-4).scale(0).scale(0));
    CHECK(detail(c) == "compute: 1.10 TFLOP at 989 TFLOP/s bf16");
    const auto session = make_roofline()->prepare(c, *single_process());
    const Sample s = session->run();
    REQUIRE(s.spans.size() == 3);
    CHECK(s.spans[0].resource == "compute");
    CHECK(s.spans[0].duration == s.elapsed);
    CHECK(s.spans[1].resource == "memory");
    // Three matrices of 134.2 MB; 50 MB of L2 may keep inputs from the run before, and as much of the result after it.
    CHECK(s.spans[1].duration.si() == near((3 * 8192.0 * 8192 * 2 - 2 * 50e6) / 3350e9));
    CHECK(s.spans[2].duration.si() == 0);
    const ResourceUse use = session->usage();
    CHECK(use.useful.si() == c.graph->flops().si());
    CHECK(use.overhead.si() == 0);
    CHECK(use.mapping == "any");
    CHECK(use.band.low == 1);
    CHECK(use.band.high == 1);
    CHECK(use.band.source == "bound");
    CHECK(make_roofline()->kind() == Kind::bound);
    CHECK_FALSE(make_roofline()->collective());
}

TEST_CASE("roofline: decoding is bound by the bytes of weights and cache, and needs room for them") {
    const Graph g = decode("llama2-70b", 4096);
    const System h100 = shipped("h100-sxm");
    const Support one_gpu = asked(one(g, h100, 1));
    CHECK_FALSE(one_gpu.yes);
    CHECK(one_gpu.reason == "needs 139 GB and 1 x h100-sxm hold 80.0 GB");
    const Case c = one(g, h100, 2);
    const double weights = 2.0 * (68976648192.0 - 32000 * 8192.0 + 8192);  // of the table, one row
    const double cache_row = 80 * 2 * 1024 * 2.0;                          // layers, keys and values, width, bytes
    const double written = cache_row + 32000 * 2;
    const double bytes = weights + cache_row * 4097 + 4 + written;
    CHECK(seconds(c) == near((bytes - 100e6 - written) / 6.7e12));
    CHECK(detail(c) == "memory: 139 GB of HBM3 at 6.70 TB/s; network not bounded");
}

TEST_CASE("roofline: a level is spared what the levels inside it can hold") {
    System s = plain(1e12, 100);
    s.memories = {{"cache", si(1000), si(1e4)}, {"memory", si(1e9), si(100)}};
    const Graph g = gemm(10, 10, 10, DType::f32);  // reads 800 B, writes 400 B
    CHECK(crossing_bytes(g, s, 1).at(0).si() == 1200);
    CHECK(crossing_bytes(g, s, 1).at(1).si() == 0);
    CHECK(memory_limit(g, s, 1).time.si() == near(1200 / 10100.0));  // both levels read side by side
    s.memories[0].capacity = si(300);
    CHECK(crossing_bytes(g, s, 1).at(1).si() == 600);  // 300 kept for reading, 300 left unwritten
    s.memories[0].capacity = si(500);
    CHECK(crossing_bytes(g, s, 1).at(1).si() == 300);  // never more unwritten than is written
    CHECK(memory_limit(g, s, 1).time.si() == near(3.0));
    CHECK(crossing_bytes(g, s, 2).at(1).si() == 0);  // the caches of both units
    s.memories[0].capacity.reset();
    CHECK(crossing_bytes(g, s, 1).at(1).si() == 0);
    s.memories[0].bandwidth.reset();
    s.memories[0].capacity = si(300);
    CHECK(memory_limit(g, s, 1).time.si() == near(6.0));
}

TEST_CASE("roofline: what is bounded by nothing is declined") {
    System s = plain(1e12, 100);
    s.memories = {{"cache", si(1e6), std::nullopt}, {"memory", si(1e9), si(100)}};
    Graph g("copy");
    g.mark_output(g.add(OpKind::last_rows, "y", {g.input("x", {4, 4}, DType::f32)}, [] {
        Attributes a;
        a.seq = 4;
        return a;
    }()));
    CHECK(asked(one(g, s)).reason ==
          "nothing known of plain bounds it: all it moves may stay where no bandwidth is known");
}

TEST_CASE("roofline: a type runs on the fastest unit that loses nothing of it") {
    const System wse2 = shipped("wse2"), h100 = shipped("h100-sxm");
    CHECK(usable_peak(wse2, {DType::f32})->type == DType::f32);
    CHECK(usable_peak(wse2, {DType::bf16})->type == DType::f32);  // f16 has not its range
    CHECK(usable_peak(wse2, {DType::fp8_e4m3})->type == DType::f16);
    CHECK(usable_peak(h100, {DType::f32})->type == DType::f32);
    CHECK(usable_peak(h100, {DType::f32, DType::bf16})->type == DType::f32);
    CHECK(usable_peak(h100, {DType::bf16, DType::f16})->type == DType::tf32);
    CHECK_FALSE(usable_peak(wse2, {DType::f64}).has_value());
    CHECK_FALSE(holds(DType::f16, DType::bf16));
    CHECK_FALSE(holds(DType::bf16, DType::f16));
    CHECK_FALSE(holds(DType::bf16, DType::f32));
    CHECK_FALSE(holds(DType::tf32, DType::f32));
    CHECK_FALSE(holds(DType::fp8_e5m2, DType::fp8_e4m3));
    CHECK(asked(one(gemm(8, 8, 8, DType::f64), wse2)).reason == "wse2 has no peak for f64");
    CHECK(asked(one(gemm(8, 8, 8, DType::any8), wse2)).reason == "wse2 has no 8-bit type");
    CHECK(detail(one(gemm(4096, 4096, 4096, DType::bf16), wse2)) == "compute: 137 GFLOP of bf16 at 1.27 PFLOP/s f32");
}

TEST_CASE("roofline: a unit holds a type exactly if every one of its values survives there") {
    for (DType type : {DType::bf16, DType::f16, DType::fp8_e4m3, DType::fp8_e5m2, DType::fp4, DType::int8})
        for (DType unit : all_dtypes()) {
            if (is_class(unit)) continue;
            // Half of an integer has no place among integers: fp4 goes there doubled.
            const bool integers = unit == DType::int8 || unit == DType::int32;
            const double scale = integers && type == DType::fp4 ? 2 : 1;
            bool all = true;
            for (unsigned pattern = 0; pattern < 1U << bits(type); ++pattern) {
                const std::array<unsigned char, 2> bytes{static_cast<unsigned char>(pattern & 255U),
                                                         static_cast<unsigned char>(pattern >> 8U)};
                const double value = decode(type, bytes.data()) * scale;
                if (std::isfinite(value)) all = all && rounded(value, unit) == value;
            }
            CAPTURE(name(unit));
            CAPTURE(name(type));
            if (unit != DType::int32) CHECK(holds(unit, type) == all);  // no machine has a peak for int32
        }
    CHECK_FALSE(holds(DType::f32, DType::f64));
    CHECK_FALSE(holds(DType::f32, DType::int32));
    CHECK_FALSE(holds(DType::tf32, DType::f32));
}

TEST_CASE("roofline: all arithmetic counts, as often as its block runs") {
    const Graph g = decode("llama2-70b", 4096);
    CHECK(compute_limit(g, shipped("h100-sxm"), 2).flops.si() == near(g.flops().si()));
    Graph sum("sum");
    sum.mark_output(
        sum.add(OpKind::add, "y", {sum.input("x", {9, 4}, DType::f32), sum.input("u", {9, 4}, DType::f32)}));
    const System s = plain(18, 1e30);
    CHECK(seconds(one(sum, s)) == 2);
    CHECK(detail(one(sum, s)) == "compute: 36 FLOP of vector work at 18.0 FLOP/s f32");
}

TEST_CASE("roofline: the backward pass of attention need not make the scores again") {
    Graph g("attention");
    Attributes a;
    a.seq = a.seq_kv = 4;
    a.heads = a.kv_heads = 3;
    a.head_dim = a.v_head_dim = 16;
    a.causal = true;
    const auto rows = [&](const char* name) { return g.input(name, {4, 48}, DType::bf16); };
    const TensorId q = rows("q"), k = rows("k"), v = rows("v");
    const std::vector<TensorId> o = g.apply(OpKind::attention, "o", {q, k, v}, a);
    for (TensorId id : g.apply(OpKind::attention_backward, "d", {rows("d_o"), q, k, v, o[0], o[1]}, a))
        g.mark_output(id);
    const double product = 2.0 * 10 * 3 * 16;  // a multiplication and an addition, visible pairs, heads, features
    CHECK(g.matmul_flops().si() == 7 * product);
    CHECK(compute_limit(g, shipped("h100-sxm"), 1).time.si() == near(6 * product / 989e12));
}

TEST_CASE("roofline: more units than the fabrics join are declined") {
    System s = plain(1e12, 1e9);
    const Graph g = gemm(64, 64, 64);
    CHECK(asked(one(g, s, 1024)).yes);
    CHECK(asked(one(g, s, 1025)).reason == "1025 units are more than the 1024 that plain joins");
    s.fabrics.clear();
    CHECK(asked(one(g, s, 1)).yes);
    CHECK_FALSE(asked(one(g, s, 2)).yes);
}

TEST_CASE("roofline: every unit has a buffer of its own to hold") {
    System s = plain(1e12, 1e9);
    s.memories[0].capacity = si(4000);
    CHECK(asked(one(collective(CollectiveKind::allreduce, 1000), s, 8)).yes);
    CHECK(asked(one(collective(CollectiveKind::allreduce, 1001), s, 8)).reason ==
          "needs 32.0 kB and 8 x plain hold 32.0 kB");
}

TEST_CASE("roofline: memory is full at one byte too many") {
    System s = plain(1e12, 1e9);
    const Graph g = gemm(10, 10, 10);  // 1200 B
    s.memories[0].capacity = si(1200);
    CHECK(asked(one(g, s)).yes);
    s.memories[0].capacity = si(1199);
    CHECK(asked(one(g, s)).reason == "needs 1.20 kB and 1 x plain hold 1.20 kB");
    CHECK(asked(one(g, s, 2)).yes);
    s.memories[0].capacity.reset();
    CHECK(asked(one(g, s)).yes);
}

TEST_CASE("roofline: collectives over one switch, by the laws of their traffic") {
    const double n = 4e6, bw = 1e9;
    for (int p : {2, 3, 8, 100}) {
        CAPTURE(p);
        const auto time = [&](CollectiveKind kind, bool reduces = false) {
            System s = plain(1e12, 1e30, bw);
            s.fabrics[0].in_network_reduction = reduces;
            return seconds(one(collective(kind, 1000000), s, p));
        };
        const double part = (p - 1.0) / p * n / bw;
        CHECK(time(CollectiveKind::allreduce) == near(2 * part));
        CHECK(time(CollectiveKind::allreduce, true) == near(n / bw));
        CHECK(time(CollectiveKind::allgather) == near(part));
        CHECK(time(CollectiveKind::reduce_scatter) == near(part));
        CHECK(time(CollectiveKind::reduce_scatter, true) == near(part));
        CHECK(time(CollectiveKind::alltoall) == near(part));
        CHECK(time(CollectiveKind::broadcast) == near(n / bw));
        CHECK(time(CollectiveKind::send_recv) == near(n / bw));
    }
}

TEST_CASE("roofline: collectives over a hierarchy") {
    const System h100 = shipped("h100-sxm");
    const Graph g = collective(CollectiveKind::allreduce, 500'000'000, DType::bf16);  // 1 GB
    // Eight GPUs: the switch adds, so 1 GB leaves each, over NVLink and its InfiniBand port at once.
    CHECK(seconds(one(g, h100, 8)) == near(1e9 / 500e9 + 0.6e-6));
    // Two nodes: each sends its sum once over eight ports; InfiniBand does not add.
    CHECK(seconds(one(g, h100, 16)) == near(2 * 1e9 / (16 * 50e9) + 0.6e-6));
    CHECK(detail(one(g, h100, 16)) ==
          "network: 2.00 GB over InfiniBand NDR 400, one port per GPU or beyond at 800 GB/s");
    // One message into, or out of, a node of eight ports.
    for (CollectiveKind kind : {CollectiveKind::broadcast, CollectiveKind::send_recv}) {
        const Graph message = collective(kind, 500'000'000, DType::bf16);
        CHECK(seconds(one(message, h100, 16)) == near(1e9 / (8 * 50e9) + 0.6e-6));
        CHECK(seconds(one(message, h100, 8)) == near(1e9 / 500e9 + 0.6e-6));
    }
    // Each GPU reads its summand and writes the sum, but for what its 50 MB of L2 keep at either end.
    CHECK(memory_limit(g, h100, 8).time.si() == near((2e9 - 2 * 50e6) / 3350e9));
    // Published: 480 GB/s bus bandwidth of eight GPUs with in-switch reduction (the notes of the system file).
    CHECK(seconds(one(g, h100, 8)) < 2 * 7.0 / 8 * 1e9 / 480e9);
    CHECK(network_limit(g, h100, 1).time.si() == 0);
}

TEST_CASE("roofline: among the PEs of a wafer a word takes its way, and a buffer its ramp") {
    const System wse2 = shipped("wse2");
    const double clock = wse2.clock->value;
    const auto cycles = [&](CollectiveKind kind, Mapping region = {}) {
        return network_limit(collective(kind, 1024), wse2, 1, region).time.si() * clock;
    };
    CHECK(cycles(CollectiveKind::allreduce) == near(993 + 749 + 1024));
    CHECK(cycles(CollectiveKind::broadcast) == near(497 + 375 + 1024));
    CHECK(cycles(CollectiveKind::send_recv) == near(1 + 1024));
    Mapping region;
    region.rows = 4, region.columns = 2;
    CHECK(cycles(CollectiveKind::allgather, region) == near(4 + 1024 * 7.0 / 8));
}

TEST_CASE("roofline: an all-to-all crosses least where the groups are full") {
    System s = plain(1e12, 1e30, 1e30);
    s.fabrics[0].units = si(4);
    s.fabrics.push_back({"outer", "switch", si(64), si(1e9), std::nullopt, false});
    const Graph g = collective(CollectiveKind::alltoall, 1000000);
    // 6 units in groups of 4 and 2: 2 * 4 * 2 / 6 of a buffer cross, over 6 ports.
    CHECK(seconds(one(g, s, 6)) == near(16.0 / 6 * 4e6 / 6e9));
}

TEST_CASE("roofline: laws") {
    const auto size = [] { return *rc::gen::inRange<std::int64_t>(1, 3000); };
    const auto rate = [] { return static_cast<double>(*rc::gen::inRange(1, 1000000)) * 1e6; };
    CHECK(rc::check("twice of anything is never slower, and at most twice as fast", [&] {
        const Graph g = gemm(size(), size(), size());
        const double flops = rate(), memory = rate();
        const double base = seconds(one(g, plain(flops, memory)));
        for (const System& faster : {plain(2 * flops, memory), plain(flops, 2 * memory)}) {
            const double t = seconds(one(g, faster));
            RC_ASSERT(t <= base && t >= base / 2 * (1 - 1e-12));
        }
    }));
    CHECK(rc::check("infinite bandwidth leaves the arithmetic, infinite peaks the memory", [&] {
        const std::int64_t m = size(), n = size(), k = size();
        const double r = rate(), infinite = std::numeric_limits<double>::infinity();
        const double flop = 2.0 * static_cast<double>(m * n * k),
                     bytes = 4.0 * static_cast<double>(m * k + k * n + m * n);
        RC_ASSERT(std::abs(seconds(one(gemm(m, n, k), plain(r, infinite))) * r / flop - 1) < 1e-12);
        RC_ASSERT(std::abs(seconds(one(gemm(m, n, k), plain(infinite, r))) * r / bytes - 1) < 1e-12);
    }));
    CHECK(rc::check("more units are never slower for a graph without collectives", [&] {
        const Graph g = gemm(size(), size(), size());
        const System s = plain(rate(), rate());
        const int p = *rc::gen::inRange(1, 1000);
        RC_ASSERT(seconds(one(g, s, p + 1)) <= seconds(one(g, s, p)));
    }));
    CHECK(rc::check("a network that adds, or is faster, is never slower", [&] {
        const Graph g = collective(CollectiveKind::allreduce, size());
        const double network = rate();
        System s = plain(1e12, 1e30, network);
        const int p = *rc::gen::inRange(2, 1000);
        const double base = seconds(one(g, s, p));
        RC_ASSERT(seconds(one(g, plain(1e12, 1e30, 2 * network), p)) <= base);
        s.fabrics[0].in_network_reduction = true;
        RC_ASSERT(seconds(one(g, s, p)) <= base * (1 + 1e-12));
    }));
}

TEST_CASE("roofline: no product of matrices that was measured beats the peak") {
    int compared = 0;
    for (const auto& entry : std::filesystem::directory_iterator(configs + "/systems")) {
        const System s = load_system(entry.path().string());
        for (const auto& [key, fact] : s.measured)
            if (const auto type = key.starts_with("gemm_") ? dtype_from_name(key.substr(5)) : std::nullopt) {
                CAPTURE(s.id);
                CAPTURE(key);
                const auto peak = usable_peak(s, {*type});
                REQUIRE(peak.has_value());
                CHECK(fact.value <= peak->rate.si());
                ++compared;
            }
        if (const auto at = s.measured.find("memory_bandwidth"); at != s.measured.end()) {
            CAPTURE(s.id);
            double best = 0;
            for (const Memory& m : s.memories)
                if (m.bandwidth) best = std::max(best, m.bandwidth->value);
            CHECK(at->second.value <= best);
            ++compared;
        }
    }
    CHECK(compared >= 10);
}
