#include "harness/ceilings.hpp"

#include <doctest/doctest.h>

#include "core/tables.hpp"
#include "harness/phase_table.hpp"
#include "harness/rank_use.hpp"
#include "harness/result.hpp"
#include "harness/show.hpp"
#include "harness/sweep_table.hpp"
#include "tests/host_toml.hpp"

using namespace wb;

namespace {

/// The host of tests with a cache before its memory.
std::string rates() {
    std::string text = host_toml;
    const std::string memory = "[[unit.memory]]\n";
    return text.replace(text.find(memory), 0, memory + R"(name = "L2"
capacity = { value = "1 MB", source = "test" }
bandwidth = { value = "50 GB/s", source = "test" }
)") + R"([measured]
DRAM_copy_bandwidth = { value = "8 GB/s", source = "test" }
)";
}
constexpr const char* products = R"(gemm_f32 = { value = "80 GFLOP/s", source = "test" }
storage_read_bandwidth = { value = "2 GB/s", source = "test" }
storage_write_bandwidth = { value = "1 GB/s", source = "test" }
mpi_latency = { value = "2 us", source = "test" }
mpi_bandwidth = { value = "5 GB/s", source = "test" }
)";

System host() { return parse_system(rates() + products, "test", "host"); }

const Backend& bound() {
    static const std::unique_ptr<Backend> made = [] {
        for (const BackendRow& row : all_backends())
            if (row.name == "roofline") return row.make();
        return std::unique_ptr<Backend>();
    }();
    return *made;
}

Case case_of_host(const char* workload, const ParamList& given) {
    Case c;
    c.system = std::make_shared<const System>(host());
    c.graph = c.small = std::make_shared<const Graph>(
        build_workload(workload, given, Files({std::string(WB_SOURCE_DIR) + "/configs"})));
    return c;
}

Case product(std::int64_t m, std::int64_t n, std::int64_t k) {
    return case_of_host("gemm", {{"m", m}, {"n", n}, {"k", k}});
}

Case pipeline() {
    return case_of_host("pipeline", {{"model", std::string("tiny-gpt2")},
                                     {"seq", std::int64_t{16}},
                                     {"steps", std::int64_t{4}},
                                     {"checkpoint_every", std::int64_t{2}}});
}

/// As a backend would have measured it: each phase took a second.
Measurement measured(const Case& c) {
    Measurement m;
    m.samples_s = {1};
    for (const Phase& p : c.graph->phases()) add_phase(m.phases, p.name, p.times, {}).time = Seconds(1);
    return m;
}

const PhaseUse& phase(const Measurement& m, const std::string& name) {
    for (const PhaseUse& p : m.phases)
        if (p.name == name) return p;
    throw ContractError("no such phase");
}

}  // namespace

TEST_CASE("a host at its ceilings has the rates that were measured, shared by its ranks") {
    const System one = at_its_ceilings(host(), 1).value(), two = at_its_ceilings(host(), 2).value();
    CHECK(one.peak.at(DType::f32).value == 80e9);
    CHECK(two.peak.at(DType::f32).value == 40e9);
    CHECK(one.memories[0].bandwidth->value + one.memories[1].bandwidth->value == 50e9);  // a bound adds them up
    CHECK(two.memories[1].bandwidth->value == 5e9);
    CHECK(two.memories[1].capacity->value == 32e9);
    CHECK(one.fabrics.empty());
    CHECK(two.fabrics.at(0).bandwidth->value == 5e9);
    CHECK(!at_its_ceilings(parse_system(rates(), "test", "host"), 1));  // an older description, or a user's own
}

TEST_CASE("the ceiling of a product is the rate of products, of a product with a vector that of memory") {
    Measurement m;
    add_ceilings(product(1000, 1000, 1000), bound(), 1, m);
    CHECK(m.ceiling.time.si() == doctest::Approx(2e9 / 80e9).scale(0));
    CHECK(m.ceiling.compute == m.ceiling.time);
    CHECK(m.ceiling.limit == "compute");
    Measurement thin;
    add_ceilings(product(4000, 1, 4000), bound(), 2, thin);
    const double bytes = 4 * (4000.0 * 4000 + 2 * 4000), in_cache = 1e6 + 4 * 4000;  // before; after: no more than c
    CHECK(thin.ceiling.time.si() == doctest::Approx((bytes - in_cache) / 10e9).scale(0));
    CHECK(thin.ceiling.compute.si() == doctest::Approx(2 * 16e6 / 80e9).scale(0));
    CHECK(thin.ceiling.limit == "DRAM");
    REQUIRE(thin.memory.size() == 2);
    CHECK(thin.memory[1].level == "DRAM");
    CHECK(thin.memory[1].traffic.si() == doctest::Approx(bytes - in_cache).scale(0));  // of both ranks
    Measurement sum;
    add_ceilings(case_of_host("collective", {{"op", std::string("allreduce")}, {"bytes", std::string("8 KiB")}}),
                 bound(), 2, sum);
    CHECK(sum.ceiling.limit == "network");  // each rank sends its half and a half of the sum
    CHECK(sum.ceiling.time.si() == doctest::Approx(2e-6 + 2 * 8192 / (2 * 5e9)).scale(0));
}

TEST_CASE("every phase of a pipeline has a ceiling, its traffic and a limit; they survive the journal and are shown") {
    const Case c = pipeline();
    Result r;
    r.key = r.label = "pipeline";
    r.system = "host";
    r.backend = "cpu";
    r.m = measured(c);
    add_ceilings(c, bound(), 1, r.m);
    double saved = 0, trained = 0, all = 0;
    for (const Phase& p : c.graph->phases()) {
        if (p.name == "train") trained += p.graph->matmul_flops().si() * static_cast<double>(p.times);
        if (p.name == "checkpoint") saved += 3 * 4 * static_cast<double>(p.graph->parameters());  // and two moments
    }
    for (const PhaseUse& p : r.m.phases) all += p.ceiling.time.si();
    CHECK(r.m.ceiling.time.si() == doctest::Approx(all).scale(0));
    const PhaseUse &train = phase(r.m, "train"), &checkpoint = phase(r.m, "checkpoint");
    CHECK(train.ceiling.compute.si() > 0.5 * trained / 80e9);
    CHECK(train.ceiling.compute.si() <= 1.001 * trained / 80e9);
    CHECK(train.limit == train.ceiling.limit);
    CHECK(checkpoint.ceiling.time.si() == doctest::Approx(saved / 1e9).scale(0));
    CHECK(checkpoint.limit == "storage");
    REQUIRE(checkpoint.levels.size() == 1);
    CHECK(checkpoint.levels[0].traffic.si() == doctest::Approx(saved).scale(0));
    CHECK(phase(r.m, "compile").ceiling.time.si() == 0);

    r.m.kind = Kind::measured;
    r.m.phases[3].collectives = {{"an MPI", "allreduce", 8, Bytes(4096), Seconds(0.5), Seconds(0.25)}};
    r.m.phases[3].counted = Bytes(64e6);
    r.m.texts = {{"prompt", "In the"}, {"answer", " beginning\n\x01"}};
    const ResultSet set = from_records({to_record(r)}, "test");
    const PhaseUse& read = phase(set.results.at(0).m, "train");
    CHECK(read.ceiling.time == train.ceiling.time);
    CHECK(read.ceiling.compute == train.ceiling.compute);
    CHECK(read.levels.size() == train.levels.size());
    CHECK(set.results[0].m.ceiling.limit == r.m.ceiling.limit);
    CHECK(show_results(set, Format::terminal, false).find("of ceiling") != std::string::npos);
    const std::string phases = show_phase_details(set, Format::terminal, false);
    for (const char* column :
         {"MFU", "of ceiling", "least traffic", " of storage", "64.0 MB", "not counted", "allreduce", "4.10 kB",
          "512 B", "500 ms", "250 ms", "least traffic: what no cache can spare"})
        CHECK_MESSAGE(phases.find(column) != std::string::npos, column);
    CHECK(show_results(set, Format::terminal, false).find(R"(answer  " beginning\n\x01")") != std::string::npos);
    CHECK(show_phases(set, Format::terminal, false).find(" of its ceiling\ndecides: ") != std::string::npos);
}

TEST_CASE("what several ranks used: work and bytes add up, times are of the slowest, unknown is unknown") {
    ResourceUse use;
    use.useful = Flops(10);
    use.overhead = Flops(1);
    use.memory = {{"weights", Bytes(0), Bytes(100), Bytes(5)}};
    use.communication = {{"an MPI", "allreduce", 3, Bytes(30), Seconds(2), Seconds(1)}};
    PhaseUse& p = add_phase(use.phases, "train", 4, use.communication);
    p.time = p.fastest = Seconds(7);
    p.counted = Bytes(640);
    ResourceUse other = use;
    other.useful = Flops(5);
    other.memory[0].peak = Bytes(300);
    other.communication[0].time = Seconds(9);
    other.phases[0].time = other.phases[0].fastest = Seconds(6);
    other.phases[0].collectives[0].exposed = Seconds(4);
    Measurement m;
    m.useful = use.useful;
    m.overhead = use.overhead;
    m.memory = use.memory;
    m.communication = use.communication;
    m.phases = use.phases;
    const Measurement mine = m;
    REQUIRE(merge_ranks({numbers_of(use), numbers_of(other)}, m));
    CHECK(m.useful == Flops(15));
    CHECK(m.overhead == Flops(2));
    CHECK(m.memory[0].peak == Bytes(300));
    CHECK(m.memory[0].traffic == Bytes(5));
    CHECK(m.communication[0].calls == 6);
    CHECK(m.communication[0].bytes == Bytes(60));
    CHECK(m.communication[0].time == Seconds(9));
    CHECK(m.phases[0].time == Seconds(7));
    CHECK(m.phases[0].fastest == Seconds(6));
    CHECK(m.phases[0].calls == 6);
    CHECK(m.phases[0].counted == Bytes(1280));
    CHECK(m.phases[0].collectives[0].exposed == Seconds(4));
    CHECK(m.phases[0].collectives[0].bytes == Bytes(60));
    other.phases[0].counted.reset();
    Measurement partly = mine;
    REQUIRE(merge_ranks({numbers_of(use), numbers_of(other)}, partly));
    CHECK(!partly.phases[0].counted);
    other.phases.clear();
    CHECK(!merge_ranks({numbers_of(use), numbers_of(other)}, m));
}

TEST_CASE("a parameter that takes three values is shown as a table of its own, ascending, machines side by side") {
    ResultSet set;
    const auto add = [&](const char* system, const char* params, double time) {
        Result r;
        r.key = std::string(system) + params;
        r.workload = "decode";
        r.label = std::string("decode ") + params;
        r.params = params;
        r.system = system;
        r.backend = "cluster";
        r.m.kind = Kind::modelled;
        r.m.samples_s = {time};
        set.results.push_back(r);
    };
    add("b", "seq=1000 batch=1", 4);
    add("b", "seq=20 batch=1", 2);
    CHECK(show_sweeps(set, Format::terminal, false).empty());
    add("b", "seq=300 batch=1", 3);
    add("a", "seq=20 batch=1", 0.001);
    add("a", "seq=20 batch=8", 0.002);
    CHECK(show_sweeps(set, Format::terminal, false) ==
          "system  backend  kind           20     300    1000  last / first\n\n"
          "decode batch=1: time by seq\n"
          "b       cluster  modelled   2.00 s  3.00 s  4.00 s            2x\n"
          "a       cluster  modelled  1.00 ms       -       -\n");
}
