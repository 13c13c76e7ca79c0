#include <dlfcn.h>
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/element.hpp"
#include "core/error.hpp"
#include "core/fill.hpp"
#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/kernels.hpp"
#include "kernels/cuda/launch.hpp"
#include "kernels/cuda/telemetry.hpp"

using namespace wb;

namespace {

/// Values at and between the steps of every format, of both signs.
std::vector<float> telling_values() {
    std::vector<float> out{0.0F, -0.0F};
    for (int e = -30; e < 20; ++e)
        for (int m = 0; m < 64; ++m) {
            const float x = std::ldexp(1.0F + static_cast<float>(m) / 64.0F, e);
            for (const float y : {x, std::nextafterf(x, 0.0F), std::nextafterf(x, 1e30F)}) {
                out.push_back(y);
                out.push_back(-y);
            }
        }
    return out;
}

std::uint32_t encoded(float value, DType type) {
    std::uint32_t bits = 0;
    encode(static_cast<double>(value), type, &bits);
    return bits;
}

/// Shared memory, a warp's vote and a barrier in a block that forgets the barrier if told to.
WB_KERNEL(64) shifted(const int* from, int* to, bool with_barrier) {
    int* const kept = reinterpret_cast<int*>(cuda::shared_memory());
    kept[cuda::thread_index()] = from[cuda::thread_index()];
    if (with_barrier) cuda::sync_block();
    to[cuda::thread_index()] = kept[(cuda::thread_index() + 1) % 64];
}

WB_KERNEL(64) uneven(int* to) {
    if (cuda::thread_index() < 10) return;
    cuda::sync_block();
    to[cuda::thread_index()] = 1;
}

}  // namespace

TEST_CASE("cuda: the host's arithmetic of narrow types is that of core, bit by bit") {
    for (const float x : telling_values()) {
        CAPTURE(x);
        REQUIRE(cuda::bf16_bits(x) == encoded(x, DType::bf16));
        REQUIRE(cuda::f16_bits(x) == encoded(x, DType::f16));
        REQUIRE(cuda::e4m3_bits(x) == encoded(x, DType::fp8_e4m3));
        REQUIRE(std::bit_cast<std::uint32_t>(cuda::tf32_value(x)) == encoded(x, DType::tf32));
        if (std::abs(x) <= 57344.0F) REQUIRE(cuda::e5m2_bits(x) == encoded(x, DType::fp8_e5m2));
    }
    for (std::uint32_t b = 0; b < 0x7c00U; ++b) {
        const auto bits = static_cast<std::uint16_t>(b);
        REQUIRE(static_cast<double>(cuda::f16_value(bits)) == decode(DType::f16, &bits));
        REQUIRE(cuda::f16_bits(cuda::f16_value(bits)) == bits);
    }
    CHECK(std::isnan(cuda::to_float(cuda::from_float<cuda::bf16>(std::numeric_limits<float>::quiet_NaN()))));
    CHECK(std::isnan(cuda::to_float(cuda::from_float<cuda::f16>(std::numeric_limits<float>::quiet_NaN()))));
    CHECK(std::isinf(cuda::to_float(cuda::from_float<cuda::f16>(std::numeric_limits<float>::infinity()))));
}

TEST_CASE("cuda: a fill on the device is the host's, element by element, of every type and of any piece") {
    const Fill uniform{Fill::Kind::uniform, 2.5, {}, {}}, integers{Fill::Kind::integers, 17, "shared", {}},
        constant{Fill::Kind::constant, 0.75, {}, {}};
    for (const Fill& f : {uniform, integers, constant})
        for (const DType type : {DType::f64, DType::f32, DType::bf16, DType::f16, DType::fp8_e4m3, DType::fp8_e5m2,
                                 DType::int8, DType::int32}) {
            constexpr std::int64_t count = 300;
            const FillStream wanted(f, 42, "weight", 3);
            const cuda::FillRule rule{f.kind, f.a, cuda::fill_key(f, 42, "weight", 3), 100, 7, 50};
            const cuda::Memory memory(count * stored_bytes(type));
            cuda::fill(nullptr, type, memory.data(), count, rule);
            for (std::int64_t i = 0; i < count; ++i) {
                std::uint64_t bits = 0, found = 0;
                encode(wanted(100 + i / 7 * 50 + i % 7), type, &bits);
                std::memcpy(&found, memory.data() + i * stored_bytes(type),
                            static_cast<std::size_t>(stored_bytes(type)));
                REQUIRE(found == bits);
            }
        }
}

TEST_CASE("cuda: the host that plays the device finds missing barriers and threads that wait for ever") {
    std::vector<int> from(64), to(64);
    for (int i = 0; i < 64; ++i) from[static_cast<std::size_t>(i)] = i;
    const auto run = [&](cuda::emulated::Order order, bool with_barrier) {
        cuda::emulated::set_order(order);
        cuda::launch(nullptr, {}, 64, 64 * sizeof(int), shifted, from.data(), to.data(), with_barrier);
        cuda::emulated::set_order(cuda::emulated::Order::forward);
        return to;
    };
    using cuda::emulated::Order;
    CHECK(run(Order::forward, true) == run(Order::backward, true));
    CHECK(run(Order::forward, true) == run(Order::drawn, true));
    CHECK(run(Order::forward, false) != run(Order::backward, false));
    CHECK_THROWS_AS(cuda::launch(nullptr, {}, 64, 0, uneven, to.data()), ContractError);
}

TEST_CASE_TEMPLATE("cuda: products of experts on matrix units are those of plain loops, experts without rows included",
                   T, cuda::bf16, cuda::f16) {
    const DType type = std::is_same_v<T, cuda::f16> ? DType::f16 : DType::bf16;
    constexpr std::int64_t k = 136, n = 72;
    const std::vector<std::int32_t> first{0, 3, 3, 140};  // three experts
    const std::int64_t rows = first.back(), experts = 3;
    const auto values = [](std::int64_t count, std::uint64_t key) {
        std::vector<T> out(static_cast<std::size_t>(count));
        cuda::fill(nullptr, type, out.data(), count, {Fill::Kind::uniform, 1.0, key, 0, count, count});
        return out;
    };
    const auto at = [](const std::vector<T>& x, std::int64_t i) {
        return cuda::to_float(x[static_cast<std::size_t>(i)]);
    };
    const auto expect = [&](const std::vector<T>& found, std::int64_t i, float wanted) {
        REQUIRE(at(found, i) == doctest::Approx(wanted).epsilon(0.01).scale(1));
    };
    const std::vector<T> x = values(rows * k, 1), w = values(experts * k * n, 2), g = values(rows * n, 3);
    for (const bool transposed : {false, true}) {
        std::vector<T> y(static_cast<std::size_t>(rows * n), T{0x7fff});
        cuda::grouped_product_units(nullptr, type, x.data(), w.data(), y.data(), first.data(),
                                    {rows, experts, k, n, transposed, false});
        for (std::int64_t r = 0; r < rows; ++r)
            for (std::int64_t j = 0; j < n; ++j) {
                const std::int64_t e = r < first[1] ? 0 : 2;
                float sum = 0;
                for (std::int64_t p = 0; p < k; ++p)
                    sum += at(x, r * k + p) * at(w, e * k * n + (transposed ? j * k + p : p * n + j));
                expect(y, r * n + j, sum);
            }
    }
    std::vector<T> y(static_cast<std::size_t>(experts * k * n), T{0x7fff});
    cuda::grouped_product_units(nullptr, type, x.data(), g.data(), y.data(), first.data(),
                                {rows, experts, k, n, false, true});
    for (std::int64_t e = 0; e < experts; ++e)
        for (std::int64_t i = 0; i < k; ++i)
            for (std::int64_t j = 0; j < n; ++j) {
                float sum = 0;
                for (std::int64_t r = first[static_cast<std::size_t>(e)]; r < first[static_cast<std::size_t>(e + 1)];
                     ++r)
                    sum += at(x, r * k + i) * at(g, r * n + j);
                expect(y, (e * k + i) * n + j, sum);
            }
}

TEST_CASE("cuda: decoding by splits sees of a cache that grows what one warp a query sees, window or not") {
    using cuda::bf16;
    constexpr std::int64_t batch = 2, heads = 6, kv = 2, d = 64, most = 300;
    const auto values = [](std::int64_t count, std::uint64_t key) {
        std::vector<bf16> out(static_cast<std::size_t>(count));
        cuda::fill(nullptr, DType::bf16, out.data(), count, {Fill::Kind::uniform, 1.0, key, 0, count, count});
        return out;
    };
    const std::vector<bf16> q = values(batch * heads * d, 1), k = values(batch * most * kv * d, 2),
                            v = values(batch * most * kv * d, 3);
    for (const std::int64_t window : {0, 50})
        for (const std::int64_t missing : {0, 123, 290, 299}) {
            cuda::Attention how{batch, 1, most, heads, kv, d, d, d, window, true, 0.125F};
            how.missing = &missing;
            REQUIRE(cuda::has_decode(DType::bf16, how));
            const std::int64_t splits = cuda::decode_splits(how, 4);
            CHECK((window > 0 ? splits == 1 : splits > 1));
            std::vector<float> parts(static_cast<std::size_t>(cuda::decode_scratch(how, splits)), NAN);
            std::vector<bf16> found(q.size(), bf16{0x7fff}), wanted = found;
            std::vector<float> found_sums(batch * heads, NAN), wanted_sums = found_sums;
            cuda::attention_decode(nullptr, DType::bf16,
                                   {q.data(), k.data(), v.data(), found.data(), found_sums.data()}, parts.data(),
                                   splits, how);
            cuda::attention_general(nullptr, DType::bf16,
                                    {q.data(), k.data(), v.data(), wanted.data(), wanted_sums.data()}, how);
            for (std::size_t i = 0; i < q.size(); ++i)
                REQUIRE(std::abs(cuda::to_float(found[i]) - cuda::to_float(wanted[i])) < 0.01F);
            for (std::size_t i = 0; i < found_sums.size(); ++i)
                REQUIRE(found_sums[i] == doctest::Approx(wanted_sums[i]).epsilon(1e-5).scale(1));
        }
}

TEST_CASE("cuda: what a device says of clocks, of what holds them back and of energy is kept") {
    void* const library = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    REQUIRE(library != nullptr);
    const auto say =
        reinterpret_cast<int (*)(unsigned, unsigned long long, unsigned long long)>(dlsym(library, "fake_nvml_set"));
    REQUIRE(static_cast<bool>(say));
    cuda::Telemetry telemetry("0000:19:00.0");
    CHECK(telemetry.text() == "");
    say(1980, 0, 5000);
    telemetry.start();
    telemetry.look();
    CHECK(telemetry.text() == "SM clock 1980 MHz, memory 3201 MHz");
    say(1755, 0x4 | 0x1, 9000);  // power cap; idle, which is no hindrance
    telemetry.look();
    CHECK(telemetry.text() == "SM clock 1755 to 1980 MHz, memory 3201 MHz, held back by power cap in 1 of 2 looks");
    CHECK(telemetry.joules().value() == doctest::Approx(9).epsilon(1e-12).scale(0));
    CHECK(telemetry.watts().value() > 0);
    cuda::Telemetry elsewhere("1000:19:00.0");
    elsewhere.look();
    CHECK(elsewhere.text() == "");
    CHECK(!elsewhere.joules().has_value());
    dlclose(library);
}
