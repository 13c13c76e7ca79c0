#include "harness/loggp_fit.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "harness/host_network.hpp"
#include "harness/reduction_fit.hpp"
#include "tests/host_toml.hpp"

using namespace wb;

namespace {

std::vector<double> doubling(double from, double to) {
    std::vector<double> out;
    for (double b = from; b <= to; b *= 2) out.push_back(b);
    return out;
}

/// A network whose parameters are known: eager below 8 KiB, then a handshake and twice the rate.
double message_s(double bytes) { return bytes < 8192 ? 400e-9 + bytes * 0.2e-9 : 2e-6 + bytes * 0.1e-9; }

NetworkFigures known_network() {
    NetworkFigures f{4, "an MPI", {}};
    for (const double b : doubling(8, 4 << 20)) {
        for (const char* pattern : {"latency", "one_way", "exchange"}) f.points.push_back({pattern, b, {message_s(b)}});
        f.points.push_back({"bandwidth", b, {100e-9 + b * 0.1e-9}});
        f.points.push_back({"bidirectional", b, {200e-9 + b * 0.1e-9}});
        f.points.push_back({"add", b, {20e-9 + b * 0.05e-9}});
        f.points.push_back({"copy", b, {20e-9 + b * 0.03e-9}});
    }
    f.points.push_back({"send_overhead", 8, {150e-9}});
    f.points.push_back({"receive_overhead", 8, {100e-9}});
    return f;
}

}  // namespace

TEST_CASE("loggp: a point is its least disturbed round") {
    CHECK(NetworkPoint{"latency", 8, {5, 3, 4, 100}}.seconds() == 3);
    CHECK(NetworkPoint{"latency", 8, {2}}.seconds() == 2);
}

TEST_CASE("loggp: one line is fitted where one is enough, two and where they meet where there are two") {
    const std::vector<double> x = doubling(8, 1 << 20);
    std::vector<double> one, two;
    for (const double b : x) one.push_back((1e-6 + b * 1e-9) * (1 + 0.01 * std::sin(b)));
    for (const double b : x) two.push_back(message_s(b) * (1 + 0.001 * std::sin(b)));
    const auto single = fit_pieces(x, one);
    REQUIRE(single.size() == 1);
    CHECK(single[0].start_s == doctest::Approx(1e-6).epsilon(0.02).scale(0));
    CHECK(single[0].byte_s == doctest::Approx(1e-9).epsilon(0.02).scale(0));
    const auto pieces = fit_pieces(x, two);
    REQUIRE(pieces.size() == 2);
    CHECK(pieces[1].from_bytes == 8192);
    CHECK(pieces[0].byte_s == doctest::Approx(0.2e-9).epsilon(0.02).scale(0));
    CHECK(pieces[1].start_s == doctest::Approx(2e-6).epsilon(0.02).scale(0));
    CHECK(pieces[1].byte_s == doctest::Approx(0.1e-9).epsilon(0.02).scale(0));
}

TEST_CASE("loggp: the parameters of a network whose times follow from them are found again, and stored") {
    const NetworkFigures figures = known_network();
    const LogGP fit = fit_loggp(figures);
    CHECK(fit.latency_s == doctest::Approx(message_s(8) - 250e-9).epsilon(1e-9).scale(0));
    CHECK(fit.overhead_s() == doctest::Approx(125e-9).epsilon(1e-9).scale(0));
    CHECK(fit.gap_s == doctest::Approx(100.8e-9).epsilon(1e-9).scale(0));
    REQUIRE(fit.pieces.size() == 2);
    const System host = parse_system(host_toml, "host.toml", "host");
    const System s = parse_system(host_network_toml(figures, fit, host, "2026-01-01"), "network.toml", "host-network");
    CHECK(s.kind == SystemKind::cluster);
    CHECK(s.fabrics.at(0).units->value == 4);
    CHECK(s.peak.at(DType::f32).value == doctest::Approx(25e9).epsilon(1e-5).scale(0));
    CHECK(s.fitted.at("loggp_rendezvous_bytes").value == 8192);
    CHECK(s.fitted.at("loggp_rendezvous_bandwidth").value == doctest::Approx(1e10).epsilon(1e-4).scale(0));
    CHECK(s.fitted.at("exchange_4096_time").value == doctest::Approx(message_s(4096)).epsilon(1e-5).scale(0));
    CHECK(s.fitted.at("loggp_latency").source.find("4 ranks") != std::string::npos);
    CHECK(s.fitted.at("loggp_latency").source.find("not to be trusted") == std::string::npos);
    const System crowded =
        parse_system(host_network_toml(figures, fit, host, "2026-01-01", "4 ranks on 2 CPUs"), "", "x");
    CHECK(crowded.fitted.at("loggp_latency").source.find("not to be trusted: 4 ranks on 2 CPUs") != std::string::npos);
}

TEST_CASE("loggp: what reductions take besides their messages is found again, over all sizes at once") {
    // A library that changes its way at 8 KiB and spends 50 ns a call; one point is disturbed.
    const auto predict = [](const System& s, const std::string& op, double bytes) {
        const auto get = [&s](const char* key) {
            const auto at = s.fitted.find(key);
            return at == s.fitted.end() ? 0 : at->second.value;
        };
        const double ways =
            op != "allreduce" || bytes < get("allreduce_long_bytes") ? 300e-9 + bytes * 1e-9 : 2e-6 + bytes * 0.5e-9;
        return get("reduction_overhead_time") + ways;
    };
    System truth;
    truth.fitted["allreduce_long_bytes"].value = 8192;
    truth.fitted["reduction_overhead_time"].value = 50e-9;
    NetworkFigures f{2, "an MPI", {}};
    for (const char* op : {"allreduce", "reduce_scatter"})
        for (const double b : doubling(8, 4 << 20))
            f.points.push_back({op, b, {predict(truth, op, b) * (b == 64 ? 1.5 : 1)}});
    const ReductionFit fit = fit_reductions(f, System{}, predict);
    CHECK(fit.long_bytes == 8192);
    CHECK(fit.overhead_s == doctest::Approx(50e-9).epsilon(1e-6).scale(0));
    CHECK(fit.toml().find("allreduce_long_bytes = { value = \"8192 B\"") == 0);
}
