#include "models/collective_time.hpp"

#include <doctest/doctest.h>

#include <rapidcheck.h>

#include <cmath>

#include "core/comm.hpp"
#include "core/error.hpp"
#include "models/emulation/engine.hpp"
#include "models/emulation/machine.hpp"

using namespace wb;
using namespace wb::cluster;

namespace {

using Kind = CollectiveKind;

System shipped(const std::string& id) {
    return load_system(std::string(WB_SOURCE_DIR) + "/configs/systems/" + id + ".toml");
}

std::string fabric(const std::string& name, const std::string& topology, int units, const std::string& rest) {
    return "[[fabric]]\nname = \"" + name + "\"\ntopology = \"" + topology +
           "\"\nunits = { value = " + std::to_string(units) + ", source = \"s\" }\n" + rest + "\n";
}
std::string rate(const std::string& text) { return "bandwidth = { value = \"" + text + "\", source = \"s\" }"; }

/// Units of given fabrics; one protocol of 2 us a hop inside, 10 us between, no launch, all of every bandwidth used.
System machine(const std::string& fabrics, const std::string& fitted = "") {
    const auto fact = [](const std::string& key, const std::string& value) {
        return key + " = { value = " + value + ", source = \"s\" }\n";
    };
    std::string text =
        "title = \"m\"\nkind = \"cluster\"\n[sources]\ns = \"stated\"\n[unit]\nname = \"unit\"\n"
        "[unit.peak]\n" +
        fact("f32", "\"1 TFLOP/s\"") +
        "[[unit.memory]]\nname = \"memory\"\ncapacity = { value = \"80 GB\", source = \"s\" }\n"
        "bandwidth = { value = \"1 TB/s\", source = \"s\" }\n" +
        fabrics + "[fitted]\n";
    for (const char* zero : {"launch_time", "gap_time", "collective_launch_time", "send_launch_time"})
        text += fact(zero, "\"0 us\"");
    for (const char* one : {"gemm_compute_fraction", "gemm_memory_fraction", "vector_memory_fraction",
                            "attention_fraction", "network_fraction", "node_network_fraction", "send_fraction",
                            "node_send_fraction", "switch_network_fraction"})
        text += fact(one, "1");
    text += fact("small_network_fraction", "0") + fact("large_hop_time", "\"2 us\"") +
            fact("node_ring_hop_time", "\"10 us\"") + fact("node_send_time", "\"10 us\"") +
            fact("node_hop_time", "\"10 us\"") + fitted;
    return parse_system(text, "m.toml", "m");
}

System switched(int units = 64) { return machine(fabric("inner", "switch", units, rate("100 GB/s"))); }
System two_levels(const std::string& outer = "", const std::string& topology = "fat_tree", int local = 8) {
    return machine(fabric("inner", "switch", local, rate("100 GB/s")) +
                   fabric("outer", topology, 4096, rate("10 GB/s") + "\n" + outer));
}

double seconds(const System& s, Kind kind, double bytes, int ranks, const std::string& algorithm = "", int local = 0) {
    return collective_time(Device(s), kind, bytes, ranks, local, algorithm);
}

std::string refusal(const System& s, Kind kind, int ranks, const std::string& algorithm) {
    try {
        seconds(s, kind, 1e6, ranks, algorithm);
    } catch (const Error& e) {
        return e.what();
    }
    return "";
}

doctest::Approx near(double value, double epsilon = 1e-9) { return doctest::Approx(value).epsilon(epsilon).scale(0); }

double emulated(const System& s, Kind kind, double bytes, int units, const std::string& algorithm) {
    const StageSteps steps = bare_collective(kind, bytes, units, algorithm);
    const auto program = emulation::Machine(s, steps.mapping).compile(steps, {}, "");
    return static_cast<double>(emulation::Engine(program, *single_process()).run().time) * 1e-12;
}

}  // namespace

TEST_CASE("the laws of the literature, on one switch") {
    const System s = switched();
    const double hop = 2e-6, wire = 100e9;
    for (const int n : {2, 3, 7, 8, 64})
        for (const double b : {1e3, 1e9}) {
            CAPTURE(n);
            const double share = (n - 1.0) / n * b / wire, log = std::ceil(std::log2(n));
            CHECK(seconds(s, Kind::allreduce, b, n, "ring") == near(2 * (n - 1) * hop + 2 * share));
            CHECK(seconds(s, Kind::allgather, b, n, "ring") == near((n - 1) * hop + share));
            CHECK(seconds(s, Kind::allreduce, b, n, "halving-doubling") == near(2 * log * hop + 2 * share));
            // Whoever is told last heard of it by one message for each bit of its number.
            const double told = n == 7 ? 2 : n == 3 ? 1 : log, busy = hop / 4;
            CHECK(seconds(s, Kind::allreduce, b, n, "tree") ==
                  near(2 * (told * hop + (log - told) * busy + log * b / wire)));
            CHECK(seconds(s, Kind::allreduce, b, n, "dissemination") == near(log * (hop + b / wire)));
            const bool whole = (n & (n - 1)) == 0;
            CHECK(seconds(s, Kind::allreduce, b, n, "recursive-doubling") ==
                  near((whole ? log : std::floor(std::log2(n)) + 2) * (hop + b / wire) - (n == 3 ? hop / 2 : 0)));
            CHECK(seconds(s, Kind::alltoall, b, n) == near(std::max((n - 1) * hop / 2, hop + share)));
        }
    CHECK(seconds(s, Kind::send_recv, 1e6, 2) == near(1e6 / wire));
    CHECK(seconds(s, Kind::allreduce, 1e9, 1) == 0);
}

TEST_CASE("one rank needs no network, by any algorithm") {
    for (const std::string& algorithm : collective_algorithm_names())
        CHECK(seconds(switched(), Kind::allreduce, 1e9, 1, algorithm) == 0);
}

TEST_CASE("a torus of one dimension is a ring; of more it is shorter, and uses all its links") {
    const auto torus = [](const std::string& kind) { return machine(fabric("t", kind, 4096, rate("60 GB/s"))); };
    const System one = torus("ring"), two = torus("torus2d"), three = torus("torus3d");
    for (const double b : {1e3, 1e9})
        for (const int n : {2, 5, 64})
            CHECK(seconds(one, Kind::allreduce, b, n, "torus") == near(seconds(one, Kind::allreduce, b, n, "ring")));
    // 64 = 8 x 8 = 4 x 4 x 4; a cycle through all has the links of one dimension.
    CHECK(seconds(two, Kind::allreduce, 0, 64, "torus") == near(2 * 14 * 2e-6));
    CHECK(seconds(three, Kind::allreduce, 0, 64, "torus") == near(2 * 9 * 2e-6));
    CHECK(seconds(two, Kind::allreduce, 6e9, 64, "torus") == near(2 * 63 / 64.0 * 6e9 / 60e9 + 28 * 2e-6));
    CHECK(seconds(two, Kind::allreduce, 6e9, 64, "ring") == near(2 * 63 / 64.0 * 6e9 / 30e9 + 126 * 2e-6));
    CHECK(seconds(two, Kind::allreduce, 6e9, 64) == near(seconds(two, Kind::allreduce, 6e9, 64, "torus")));
    // 8 ranks along each dimension: a message goes 2 hops a dimension in the mean, over 4 links.
    CHECK(seconds(two, Kind::alltoall, 6e9, 64) == near(63 / 64.0 * 6e9 * 8 / 8 / (60e9 / 4) + 2e-6));
    CHECK(box(64, 3) == std::vector<int>{4, 4, 4});
    CHECK(box(12, 2) == std::vector<int>{4, 3});
    CHECK(box(7, 3) == std::vector<int>{7, 1, 1});
}

TEST_CASE("ranks of a full mesh have a link to each other one only") {
    const System s = machine(fabric("mesh", "full_mesh", 8, rate("70 GB/s")));
    CHECK(seconds(s, Kind::allreduce, 1e9, 2, "ring") == near(1e9 / 10e9 + 4e-6));
    CHECK(seconds(s, Kind::allreduce, 1e9, 8, "ring") == near(2 * 7 / 8.0 * 1e9 / 70e9 + 28e-6));
    CHECK(seconds(s, Kind::send_recv, 1e9, 2) == near(1e9 / 10e9));
}

TEST_CASE("between domains each unit has its own port, and one message takes one") {
    const System s = two_levels();
    // 8 of 16 blocks leave the domain, 7 stay; the slower part is what shows.
    CHECK(seconds(s, Kind::alltoall, 1e9, 16) == near(3.5e-6 + 10e-6 + 0.5e9 / 10e9));
    CHECK(seconds(s, Kind::send_recv, 1e9, 16) == near(10e-6 + 1e9 / 10e9));
    CHECK(seconds(two_levels("ports = { value = 2, source = \"s\" }"), Kind::send_recv, 1e9, 16) ==
          near(10e-6 + 1e9 / 5e9));
    // A port that two units share is all of one message's while the other is silent.
    CHECK(seconds(two_levels("ports = { value = 0.5, source = \"s\" }"), Kind::send_recv, 1e9, 16) ==
          near(10e-6 + 1e9 / 20e9));
    // Rings are laid through all 8 ports of a domain.
    CHECK(seconds(s, Kind::allreduce, 16e9, 16, "ring") == near(30 * 1e9 / 80e9, 0.02));
    // As ranks that lie apart have it: one port for each.
    CHECK(seconds(s, Kind::allreduce, 16e9, 16, "ring", 1) == near(30 * 1e9 / 10e9, 0.02));
}

TEST_CASE("hierarchies: what a dragonfly and an oversubscribed fabric do to them") {
    const System s = two_levels(), thin = two_levels("oversubscription = { value = 4, source = \"s\" }"),
                 fly = two_levels("oversubscription = { value = 2, source = \"s\" }", "dragonfly");
    const double b = 8e9, inside = 2 * (7 * 2e-6 + 7 / 8.0 * b / 100e9), shard = 2 * 3 / 4.0 * 1e9 / 10e9;
    CHECK(seconds(s, Kind::allreduce, b, 32, "hierarchical") == near(inside + 4 * 10e-6 + shard));
    CHECK(seconds(thin, Kind::allreduce, b, 32, "hierarchical") == near(inside + 4 * 10e-6 + 4 * shard));
    CHECK(seconds(fly, Kind::allreduce, b, 32, "hierarchical") == near(inside + 4 * 10e-6 + 2 * shard));
    // Straight to all other groups: one hop a pass, whatever their number.
    CHECK(seconds(fly, Kind::allreduce, b, 32, "dragonfly") == near(inside + 2 * 10e-6 + 2 * shard));
    CHECK(seconds(fly, Kind::allreduce, 0, 4096, "dragonfly") == near(2 * 7 * 2e-6 + 2 * 10e-6));
    // A message alone is not slowed by what others would send.
    CHECK(seconds(thin, Kind::send_recv, b, 32) == near(seconds(s, Kind::send_recv, b, 32)));
}

TEST_CASE("rails: only what goes to other rails is ever shared, and neighbours hand it over") {
    const auto outer = [](const std::string& topology, int factor, const std::string& inner = "switch") {
        return machine(fabric("inner", inner, 8, rate("100 GB/s")) +
                       fabric("outer", topology, 4096,
                              rate("10 GB/s") + "\nlatency = { value = \"1.5 us\", source = \"s\" }\n" +
                                  "oversubscription = { value = " + std::to_string(factor) + ", source = \"s\" }"));
    };
    const System whole = outer("fat_tree", 1), thin = outer("fat_tree", 4), rails = outer("rail_optimised", 4);
    // Rings and shards of a hierarchy stay on their rail.
    for (const char* way : {"ring", "hierarchical", "halving-doubling"})
        CHECK(seconds(rails, Kind::allreduce, 8e9, 32, way) == near(seconds(whole, Kind::allreduce, 8e9, 32, way)));
    CHECK(seconds(thin, Kind::allreduce, 8e9, 32, "ring") > 3 * seconds(rails, Kind::allreduce, 8e9, 32, "ring"));
    CHECK(crossing_message_time(Device(rails), 1e9, 8) == near(crossing_message_time(Device(whole), 1e9, 8)));
    // 24 of 32 blocks leave, each by the port of its rail: one hop inside more (NCCL 2.12, PXN).
    const double b = 32e9;
    CHECK(seconds(whole, Kind::alltoall, b, 32) == near(3.5e-6 + 10e-6 + 24e9 / 10e9));
    CHECK(seconds(rails, Kind::alltoall, b, 32) == near(3.5e-6 + 12e-6 + 24e9 / 10e9));
    CHECK(seconds(thin, Kind::alltoall, b, 32) == near(3.5e-6 + 10e-6 + 4 * 24e9 / 10e9));
    // Ring domains cannot hand over: 7 of 8 messages share the spine, three switches for one.
    const System direct = outer("rail_optimised", 4, "ring");
    CHECK(seconds(direct, Kind::alltoall, b, 32) == near(3.5e-6 + 13e-6 + 24e9 * 7 / 8 * 4 / 10e9, 1e-6));
    CHECK(seconds(outer("rail_optimised", 1, "ring"), Kind::alltoall, b, 32) == near(3.5e-6 + 13e-6 + 24e9 / 10e9));
    // One message from the last of a node to the first of the next; ranks that lie apart share a rail.
    CHECK(seconds(rails, Kind::send_recv, 1e9, 16) == near(12e-6 + 0.1));
    CHECK(seconds(direct, Kind::send_recv, 1e9, 16) == near(13e-6 + 0.1));
    CHECK(seconds(rails, Kind::send_recv, 1e9, 16, "", 1) == near(10e-6 + 0.1));
    CHECK(seconds(rails, Kind::alltoall, b, 32, "", 1) == near(seconds(whole, Kind::alltoall, b, 32, "", 1)));
    // A domain hardly faster than its ports would be held up by what it hands over: a whole spine is taken, a thin not.
    const System slow = machine(fabric("inner", "switch", 8, rate("11 GB/s")) +
                                fabric("outer", "rail_optimised", 4096, rate("10 GB/s")));
    CHECK(seconds(slow, Kind::alltoall, b, 32) == near(3.5e-6 + 10e-6 + 24e9 / 10e9));
    const System held = machine(fabric("inner", "switch", 8, rate("11 GB/s")) +
                                fabric("outer", "rail_optimised", 4096,
                                       rate("10 GB/s") + "\noversubscription = { value = 4, source = \"s\" }"));
    CHECK(seconds(held, Kind::alltoall, b, 32) == near(2e-6 + (7e9 + 24e9 * 7 / 8) / 11e9, 1e-5));
    for (const double bytes : {1e5, 64e6, 4e9}) {
        CHECK(emulated(rails, Kind::alltoall, bytes, 32, "") / seconds(rails, Kind::alltoall, bytes, 32) ==
              near(1, 0.05));
        CHECK(emulated(rails, Kind::send_recv, bytes, 32, "") / seconds(rails, Kind::send_recv, bytes, 32) ==
              near(1, 0.05));
    }
}

TEST_CASE("laws that hold for any size") {
    CHECK(rc::check("more bytes, slower fabrics or more ranks around a ring are never faster", [] {
        const int n = *rc::gen::inRange(2, 300);
        const double b = *rc::gen::inRange<std::int64_t>(1, 1 << 30);
        const auto with = [](int factor) {
            return machine(fabric("inner", "switch", 8, rate(std::to_string(100 * factor) + " GB/s")) +
                           fabric("outer", "fat_tree", 4096, rate(std::to_string(10 * factor) + " GB/s")));
        };
        const System slow = with(1), fast = with(2);
        const auto kind = *rc::gen::element(Kind::allreduce, Kind::allgather, Kind::reduce_scatter);
        for (const char* way : {"ring", "halving-doubling", "hierarchical", ""}) {
            if (way == std::string("hierarchical") && n <= 8) continue;
            const double t = seconds(slow, kind, b, n, way);
            RC_ASSERT(seconds(slow, kind, 2 * b, n, way) >= t);
            RC_ASSERT(seconds(fast, kind, b, n, way) <= t);
            RC_ASSERT(2 * seconds(fast, kind, b, n, way) >= t);
        }
        RC_ASSERT(seconds(slow, kind, b, n + 1, "ring") >= 0.999 * seconds(slow, kind, b, n, "ring"));
    }));
    CHECK(rc::check("either phase of a hierarchy moves no more, in no more hops, than the flat ring", [] {
        const int domains = *rc::gen::inRange(2, 64);
        const double b = *rc::gen::inRange<std::int64_t>(1, 1 << 30);
        const System s = two_levels();
        RC_ASSERT(seconds(s, Kind::allreduce, b, 8 * domains, "hierarchical") <=
                  2 * seconds(s, Kind::allreduce, b, 8 * domains, "ring") * (1 + 1e-9));
    }));
    CHECK(rc::check("unforced is the fastest of what the library knows", [] {
        const System s = shipped("h200-sxm");
        const double b = *rc::gen::inRange<std::int64_t>(1, std::int64_t{1} << 34);
        const int n = *rc::gen::inRange(2, 9);
        const double ring = seconds(s, Kind::allreduce, b, n, "ring"), nvls = seconds(s, Kind::allreduce, b, n, "nvls");
        RC_ASSERT(seconds(s, Kind::allreduce, b, n) == std::min(ring, nvls));
    }));
}

TEST_CASE("what a library chooses, by size") {
    const System s = shipped("h200-sxm");
    const auto choice = [&](double bytes, int n) { return collective_choice(Device(s), Kind::allreduce, bytes, n); };
    CHECK(choice(1 << 10, 8).protocol == "LL");
    CHECK(choice(1 << 30, 8).algorithm == CollectiveAlgorithm::nvls);
    CHECK(choice(1 << 30, 4).protocol == "Simple");
    CHECK(choice(1 << 30, 64).algorithm == CollectiveAlgorithm::nvlstree);
    const System ring = shipped("a100-sxm-80g");
    CHECK(collective_choice(Device(ring), Kind::allreduce, 1e9, 64).algorithm == CollectiveAlgorithm::double_tree);
}

TEST_CASE("what ranks wait for, and what hidden collectives take from kernels") {
    const System s = machine(fabric("inner", "switch", 64, rate("100 GB/s")),
                             "collective_floor_time = { value = \"40 us\", source = \"s\" }\n"
                             "large_buffer_bytes = { value = \"1 GB\", source = \"s\" }\n"
                             "large_buffer_time = { value = \"5 ms\", source = \"s\" }\n"
                             "stolen_fraction = { value = 0.15, source = \"s\" }\n"
                             "node_stolen_fraction = { value = 0.02, source = \"s\" }\n");
    CHECK(seconds(s, Kind::allreduce, 8, 2) == near(40e-6));
    CHECK(seconds(s, Kind::allreduce, 1e9, 2) == near(4e-6 + 0.01));
    CHECK(seconds(s, Kind::allreduce, 1.1e9, 2) == near(4e-6 + 0.011 + 0.005));
    CHECK(stolen_seconds(Device(s), 2, false) == near(0.3));
    CHECK(stolen_seconds(Device(s), 2, true) == near(0.04));
    CHECK(stolen_seconds(Device(switched()), 2, true) == 0);
}

TEST_CASE("algorithms that are unknown, or that a fabric cannot do, are refused in one sentence") {
    const System s = two_levels();
    CHECK(refusal(s, Kind::allreduce, 8, "rign") ==
          "algorithm: \"rign\" is no way to do a collective (its time is not known). Did you mean \"ring\"?");
    CHECK(
        refusal(s, Kind::allreduce, 8, "zzzzzz")
            .starts_with("algorithm: \"zzzzzz\" is no way to do a collective (its time is not known). Known: ring, "));
    CHECK(refusal(s, Kind::alltoall, 8, "ring") ==
          "algorithm: \"ring\" does no alltoall (its time is not known). Known: pairwise.");
    CHECK(
        refusal(s, Kind::allreduce, 8, "nvls") ==
        "algorithm: \"nvls\" adds up in the switch, which the fabric \"inner\" of m does not (the units would have to "
        "add). Use \"ring\".");
    CHECK(refusal(shipped("h100-sxm"), Kind::allreduce, 16, "nvls") ==
          "algorithm: \"nvls\" adds up in one switch, and 16 units are beyond that of h100-sxm (it joins 8). Use "
          "\"nvlstree\".");
    CHECK(
        refusal(shipped("h100-sxm"), Kind::allreduce, 8, "nvlstree") ==
        "algorithm: \"nvlstree\" goes between domains, and 8 units are one domain of h100-sxm (there is no hierarchy). "
        "Use \"nvls\".");
    CHECK(refusal(s, Kind::allreduce, 8, "torus") ==
          "algorithm: \"torus\" goes along the dimensions of a torus, and 8 units of m are joined by \"inner\" (its "
          "topology is switch). Use \"ring\".");
    CHECK(refusal(s, Kind::allreduce, 32, "dragonfly") ==
          "algorithm: \"dragonfly\" goes between the groups of a dragonfly, and 32 units of m are joined by \"outer\" "
          "(its topology is fat_tree). Use \"hierarchical\".");
    for (const char* way : {"ring", "halving-doubling", "hierarchical", "double-tree"})
        CHECK(refusal(s, Kind::allreduce, 32, way) == "");
}

TEST_CASE("a fabric that does not reach is refused, naming how many its outermost level joins") {
    CHECK(
        refusal(two_levels(), Kind::allreduce, 5000, "") ==
        "m.toml: no fabric joins 5000 units (a collective over them cannot be timed). The outermost, \"outer\", joins "
        "4096.");
    CHECK(refusal(two_levels(), Kind::allreduce, 4096, "") == "");
    CHECK(refusal(machine(""), Kind::allreduce, 2, "") ==
          "m.toml: no fabric joins 2 units (a collective over them cannot be timed). It states no fabric.");
    CHECK(refusal(machine(fabric("dark", "switch", 8, "")), Kind::allreduce, 2, "") ==
          "m.toml: the fabric \"dark\" has no bandwidth (a collective through it cannot be timed). State it with its "
          "source.");
}

TEST_CASE("every algorithm that is also played message by message takes the time played, within 5 %") {
    struct Way {
        Kind kind;
        std::vector<std::string> algorithms;
    };
    const std::vector<Way> ways{
        {Kind::allreduce, {"ring", "recursive-doubling", "halving-doubling", "dissemination", "tree"}},
        {Kind::allgather, {"ring", "halving-doubling"}},
        {Kind::reduce_scatter, {"ring", "halving-doubling"}},
        {Kind::alltoall, {"pairwise"}},
        {Kind::broadcast, {"tree", "chain"}}};
    const auto compare = [](const System& s, Kind kind, const std::string& algorithm, std::vector<int> all) {
        for (const int n : all)
            for (const double b : {1e4, 64e6, 4e9}) {
                CAPTURE(s.id);
                CAPTURE(name(kind));
                CAPTURE(algorithm);
                CAPTURE(n);
                CAPTURE(b);
                CHECK(emulated(s, kind, b, n, algorithm) / seconds(s, kind, b, n, algorithm) == near(1, 0.05));
            }
    };
    for (const char* id : {"h100-sxm", "a100-sxm-80g"})
        for (const Way& way : ways)
            for (const std::string& algorithm : way.algorithms) {
                compare(shipped(id), way.kind, algorithm, {2, 3, 8});
                compare(shipped(id), way.kind, algorithm, {16, 64});
            }
    for (const Kind kind : {Kind::allreduce, Kind::allgather, Kind::reduce_scatter}) {
        compare(shipped("h100-sxm"), kind, "hierarchical", {16, 64});
        compare(two_levels("", "dragonfly"), kind, "dragonfly", {16, 64, 512});
    }
}
