#include "models/message_law.hpp"

#include <doctest/doctest.h>

using namespace wb;
using namespace wb::cluster;

namespace {

Fact of(double value) { return {value, "", "test", "", ""}; }

/// Messages of start + bytes / 1 GB/s; adding and copying take as long as half of an exchange's bytes.
System straight(double start) {
    System s;
    s.id = "test";
    for (const double bytes : {8.0, 1048576.0}) {
        const auto put = [&](const char* name, double value) {
            s.fitted[std::string(name) + "_" + std::to_string(static_cast<long long>(bytes)) + "_time"] = of(value);
        };
        put("message", start + bytes * 1e-9);
        put("exchange", start + bytes * 1e-9);
        put("add", bytes * 0.5e-9);
        put("copy", bytes * 0.25e-9);
    }
    return s;
}

}  // namespace

TEST_CASE("message law: only a system with points of all four functions has one") {
    CHECK_FALSE(MessageLaw::of(System{}).has_value());
    System s = straight(1e-6);
    CHECK(MessageLaw::of(s).has_value());
    s.fitted.erase("add_8_time");
    CHECK_FALSE(MessageLaw::of(s).has_value());
}

TEST_CASE("message law: points are met, lines lie between, the last goes on and the first bounds from below") {
    System s = straight(1e-6);
    s.fitted["exchange_4096_time"] = of(10e-6);
    const MessageLaw law = *MessageLaw::of(s);
    CHECK(law.exchange(4096) == 10e-6);
    CHECK(law.exchange(1) == law.exchange(8));
    CHECK(law.exchange((8 + 4096) / 2.0) == doctest::Approx((1.008e-6 + 10e-6) / 2).epsilon(1e-12).scale(0));
    CHECK(law.message(1 << 22) == doctest::Approx(1e-6 + (1 << 22) * 1e-9).epsilon(1e-9).scale(0));
}

TEST_CASE("message law: collectives are the least of their algorithms") {
    const MessageLaw latency = *MessageLaw::of(straight(1)), bandwidth = *MessageLaw::of(straight(1e-15));
    const double m = 1 << 20, x = 1e-9;
    // Where starts cost: doubling, log2 n rounds.
    CHECK(latency.collective(CollectiveKind::allreduce, 64, 8) == doctest::Approx(3).epsilon(1e-5).scale(0));
    CHECK(latency.collective(CollectiveKind::allgather, 64, 8) == doctest::Approx(3).epsilon(1e-5).scale(0));
    CHECK(latency.collective(CollectiveKind::broadcast, 64, 8) == doctest::Approx(3).epsilon(1e-5).scale(0));
    CHECK(latency.collective(CollectiveKind::alltoall, 64, 8) == doctest::Approx(3).epsilon(1e-5).scale(0));
    CHECK(latency.collective(CollectiveKind::allreduce, 64, 6) == doctest::Approx(4).epsilon(1e-5).scale(0));
    // Where bytes cost: 2 (n - 1) / n of them sent, half as many added, all copied once.
    CHECK(bandwidth.collective(CollectiveKind::allreduce, m, 4) ==
          doctest::Approx(m * x * (1.5 + 0.375 + 0.25)).epsilon(1e-3).scale(0));
    CHECK(bandwidth.collective(CollectiveKind::reduce_scatter, m, 4) ==
          doctest::Approx(m * x * (0.75 + 0.375 + 0.25 + 0.0625)).epsilon(1e-3).scale(0));
    CHECK(bandwidth.collective(CollectiveKind::allgather, m, 4) ==
          doctest::Approx(m * x * (0.75 + 0.0625)).epsilon(1e-3).scale(0));
    CHECK(bandwidth.collective(CollectiveKind::alltoall, m, 4) ==
          doctest::Approx(m * x * (0.75 + 0.0625)).epsilon(1e-3).scale(0));
    CHECK(bandwidth.collective(CollectiveKind::send_recv, m, 4) == doctest::Approx(m * x).epsilon(1e-3).scale(0));
    // A chain of pieces moves a broadcast's bytes once, where the tree moves them log2 n times.
    CHECK(bandwidth.collective(CollectiveKind::broadcast, m, 4) < 1.1 * m * x);
}

TEST_CASE("message law: sums travel fresh, all else does not") {
    System s = straight(1e-15);
    const double m = 1 << 20, x = 1e-9;
    const MessageLaw plain = *MessageLaw::of(s);
    for (const double bytes : {8.0, 1048576.0}) {
        const std::string size = std::to_string(static_cast<long long>(bytes));
        s.fitted["fresh_exchange_" + size + "_time"] = of(bytes * 2e-9);
        s.fitted["fresh_copy_" + size + "_time"] = of(bytes * 1e-9);
    }
    const MessageLaw law = *MessageLaw::of(s);
    CHECK(plain.fresh_exchange(m) == plain.exchange(m));
    CHECK(law.collective(CollectiveKind::allreduce, m, 2) ==
          doctest::Approx(m * x * (2 + 0.25 + 1)).epsilon(1e-3).scale(0));
    CHECK(law.collective(CollectiveKind::reduce_scatter, m, 2) ==
          doctest::Approx(m * x * (1 + 0.25 + 1 + 0.125)).epsilon(1e-3).scale(0));
    for (const CollectiveKind kind : {CollectiveKind::allgather, CollectiveKind::broadcast, CollectiveKind::alltoall})
        CHECK(law.collective(kind, m, 2) == plain.collective(kind, m, 2));
}

TEST_CASE("message law: what was fitted of reductions says which way they go, and adds to each") {
    System s = straight(1);
    const MessageLaw least = *MessageLaw::of(s);
    s.fitted["allreduce_long_bytes"] = of(64);
    s.fitted["reduction_overhead_time"] = of(10);
    const MessageLaw law = *MessageLaw::of(s);
    // Starts cost 1 s: doubling among 8 takes 3 of them, the least of the ways in blocks 6.
    CHECK(law.collective(CollectiveKind::allreduce, 32, 8) == doctest::Approx(13).epsilon(1e-5).scale(0));
    CHECK(law.collective(CollectiveKind::allreduce, 64, 8) == doctest::Approx(16).epsilon(1e-5).scale(0));
    CHECK(law.collective(CollectiveKind::reduce_scatter, 64, 8) ==
          doctest::Approx(10 + least.collective(CollectiveKind::reduce_scatter, 64, 8)).epsilon(1e-9).scale(0));
    CHECK(law.collective(CollectiveKind::broadcast, 64, 8) == least.collective(CollectiveKind::broadcast, 64, 8));
}
