#include "core/units.hpp"

#include <clocale>
#include <cmath>
#include <limits>
#include <locale>
#include <vector>

#include <doctest/doctest.h>
#include <rapidcheck.h>

using namespace wb;

namespace {

constexpr Dimension plain{}, duration{1, 0, 0, 0, 0}, size{0, 1, 0, 0, 0}, bandwidth{-1, 1, 0, 0, 0},
    work{0, 0, 1, 0, 0}, rate{-1, 0, 1, 0, 0}, frequency{-1, 0, 0, 0, 0}, power{-1, 0, 0, 1, 0}, energy{0, 0, 0, 1, 0},
    money{0, 0, 0, 0, 1}, energy_price{0, 0, 0, -1, 1}, running_cost{-1, 0, 0, 0, 1};

std::string complaint(std::string_view text, Dimension dimension) {
    try {
        parse_quantity(text, dimension);
    } catch (const UnitProblem& problem) {
        CHECK(problem.code() == Exit::usage);
        return problem.what();
    }
    return "accepted";
}

/// A foreign way to write numbers: 1.234,5.
struct GermanNumbers : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\3"; }
};

template <class Q>
bool round_trips(int lowest, int highest) {
    return rc::check([=] {
        const int exponent = *rc::gen::inRange(lowest, highest);
        const double mantissa = *rc::gen::inRange(100000, 1000000) / 100000.0;
        const Q amount(mantissa * std::pow(10.0, exponent));
        const std::string text = format(amount);
        RC_ASSERT(std::abs(parse<Q>(text).si() / amount.si() - 1) <= 0.005 + 1e-12);
    });
}

}  // namespace

TEST_CASE("amounts are read exactly") {
    struct Row {
        std::string_view text;
        Dimension dimension;
        double si;
    };
    for (const auto& [text, dimension, si] : std::vector<Row>{
             {"0.5 s", duration, 0.5},
             {"3 ms", duration, 0.003},
             {"7 us", duration, 7e-6},
             {"20 ns", duration, 20e-9},
             {"2 min", duration, 120},
             {"1.5 h", duration, 5400},
             {"1 day", duration, 86400},
             {"1 year", duration, 31536000},
             {"80 GB", size, 80e9},
             {"64 KiB", size, 65536},
             {"1 MiB", size, 1048576},
             {"2 GiB", size, 2147483648.0},
             {"1 TiB", size, 1099511627776.0},
             {"1 PiB", size, 1125899906842624.0},
             {"1 EiB", size, 1152921504606846976.0},
             {"12 kB", size, 12000},
             {"5EB", size, 5e18},
             {"1e3B", size, 1000},
             {"+3 B", size, 3},
             {"\t 3  B ", size, 3},
             {"900 GB/s", bandwidth, 900e9},
             {"1 GiB/s", bandwidth, 1073741824.0},
             {"400 Gb/s", bandwidth, 50e9},
             {"214 Pb/s", bandwidth, 26.75e15},
             {"8 b/s", bandwidth, 1},
             {"86.4 kB/day", bandwidth, 1},
             {"3 TFLOP", work, 3e12},
             {"1 YFLOP", work, 1e24},
             {"125 PFLOP/s", rate, 125e15},
             {"400 TOP/s", rate, 400e12},
             {"400 TOPS/s", rate, 400e12},
             {"1.1 GHz", frequency, 1.1e9},
             {"850 MHz", frequency, 850e6},
             {"23 kW", power, 23000},
             {"5 mW", power, 0.005},
             {"1 kWh", energy, 3.6e6},
             {"7 pJ", energy, 7e-12},
             {"12 USD", money, 12},
             {"-3 kUSD", money, -3000},
             {"0.09 USD/kWh", energy_price, 0.09 / 3.6e6},
             {"36 USD/h", running_cost, 0.01},
             {"70 %", plain, 0.7},
             {"70%", plain, 0.7},
             {"-5 %", plain, -0.05},
             {"0.7", plain, 0.7},
             {"1e-3", plain, 1e-3},
             {"2 pJ/B", {0, -1, 0, 1, 0}, 2e-12},
             {"3 GFLOP/s/W", {0, 0, 1, -1, 0}, 3e9},
             {"0", bandwidth, 0},
             {"-0.0", size, 0},
             {"0 GB", size, 0},
         }) {
        CAPTURE(text);
        CHECK(parse_quantity(text, dimension) == si);
    }
    CHECK_FALSE(std::signbit(parse_quantity("-0.0", size)));
    CHECK(parse<BytesPerSecond>("900 GB/s").si() == 900e9);
    CHECK(parse<double>("70 %") == 0.7);
}

TEST_CASE("each mistake has its sentence") {
    struct Row {
        std::string_view text;
        Dimension dimension;
        std::string sentence;
    };
    const std::string is_bandwidth = " (a bandwidth is in bytes per second).", is_size = " (a size is in bytes).";
    const std::string is_rate = " (a compute rate is in FLOP per second).", is_time = " (a time is in seconds).";
    const std::string bits = "b is a bit, 8 times less than the byte B, and is for rates such as Gb/s only";
    for (const auto& [text, dimension, sentence] : std::vector<Row>{
             {"900", bandwidth, "\"900\" has no unit" + is_bandwidth + " Write \"900 GB/s\"."},
             {"1e9", frequency, "\"1e9\" has no unit (a frequency is in hertz). Write \"1e9 GHz\"."},
             {"3", money, "\"3\" has no unit (an amount of money is in US dollars). Write \"3 USD\"."},
             {"900 GB", bandwidth,
              "\"900 GB\" is a size, not a bandwidth" + is_bandwidth + " Did you mean \"900 GB/s\"?"},
             {"9 GB/s", size, "\"9 GB/s\" is a bandwidth, not a size" + is_size + " Did you mean \"9 GB\"?"},
             {"3 W", duration, "\"3 W\" is a power, not a time" + is_time + " Write it like \"1 s\"."},
             {"3 s/B", duration, "\"3 s/B\" is an amount in s/B, not a time" + is_time + " Did you mean \"3 s\"?"},
             {"80 Gb", size, "\"80 Gb\" is in bits (" + bits + "). Write \"80 GB\", or \"10 GB\" if bits are meant."},
             {"2 pJ/b", {0, -1, 0, 1, 0}, "\"2 pJ/b\" is in bits (" + bits + "). Give it per byte, in pJ/B."},
             {"80 Gb", bandwidth, "\"80 Gb\" is a size, not a bandwidth" + is_bandwidth + " Did you mean \"80 Gb/s\"?"},
             {"9 gb/s", bandwidth,
              "\"9 gb/s\" has the unknown unit \"gb/s\"" + is_bandwidth + " Did you mean \"9 GB/s\" or \"9 Gb/s\"?"},
             {"9 GBps", bandwidth,
              "\"9 GBps\" has the unknown unit \"GBps\"" + is_bandwidth + " Did you mean \"9 GB/s\"?"},
             {"4 KB", size, "\"4 KB\" has the unknown unit \"KB\"" + is_size + " Did you mean \"4 kB\" or \"4 KiB\"?"},
             {"4 kiB", size, "\"4 kiB\" has the unknown unit \"kiB\"" + is_size + " Did you mean \"4 KiB\"?"},
             {"4 bytes", size, "\"4 bytes\" has the unknown unit \"bytes\"" + is_size + " Did you mean \"4 B\"?"},
             {"1 TFLOPS", rate,
              "\"1 TFLOPS\" has the unknown unit \"TFLOPS\"" + is_rate + " Did you mean \"1 TFLOP/s\"?"},
             {"1 TOPS", rate, "\"1 TOPS\" has the unknown unit \"TOPS\"" + is_rate + " Did you mean \"1 TOP/s\"?"},
             {"1 OPS/h", rate, "\"1 OPS/h\" has the unknown unit \"OPS/h\"" + is_rate + " Did you mean \"1 OP/h\"?"},
             {"5 sec", duration, "\"5 sec\" has the unknown unit \"sec\"" + is_time + " Did you mean \"5 s\"?"},
             {"5 µs", duration, "\"5 µs\" has the unknown unit \"µs\"" + is_time + " Did you mean \"5 us\"?"},
             {"2 fortnights", duration,
              "\"2 fortnights\" has the unknown unit \"fortnights\"" + is_time + " Write it like \"1 s\"."},
             {"2 s/", duration, "\"2 s/\" has the unknown unit \"s/\"" + is_time + " Write it like \"1 s\"."},
             {"9 GB/s x", bandwidth,
              "\"9 GB/s x\" has the unknown unit \"GB/s x\"" + is_bandwidth + " Did you mean \"9 GB/s\"?"},
             {"", size, "the text is empty" + is_size + " Write it like \"1 GB\"."},
             {"  ", plain, "the text is empty (a plain number has no unit). Write it like \"0.7\" or \"70 %\"."},
             {"fast", duration, "\"fast\" is not a number with a unit" + is_time + " Write it like \"1 s\"."},
             {"+-3 s", duration, "\"+-3 s\" is not a number with a unit" + is_time + " Write it like \"1 s\"."},
             {"x", plain, "\"x\" is not a number (a plain number has no unit). Write it like \"0.7\" or \"70 %\"."},
             {"0.7 GB", plain,
              "\"0.7 GB\" is a size, not a plain number (a plain number has no unit)."
              " Write it like \"0.7\" or \"70 %\"."},
             {"7 %", size, "\"7 %\" is a plain number, not a size" + is_size + " Write it like \"1 GB\"."},
             {"1,5 s", duration,
              "\"1,5 s\" has a comma in its number (decimals start with a point). Write \"1.5\", not \"1,5\"."},
             {"nan s", duration, "\"nan s\" is not a finite number" + is_time},
             {"-inf s", duration, "\"-inf s\" is not a finite number" + is_time},
             {"1e999 s", duration,
              "\"1e999 s\" is a number too large or too small to keep (numbers reach from 1e-307 to 1e308)."},
             {"1e300 EB", size, "\"1e300 EB\" is too large to keep (numbers reach up to 1e308)."},
             {"-1 GB/s", bandwidth, "\"-1 GB/s\" is negative (a bandwidth is never below zero)."},
             {"-1 s", duration, "\"-1 s\" is negative (a time is never below zero)."},
         }) {
        CHECK(complaint(text, dimension) == sentence);
    }
}

TEST_CASE("a place can be put before a mistake") {
    try {
        parse<BytesPerSecond>("900");
        FAIL("accepted");
    } catch (const UnitProblem& problem) {
        CHECK(std::string(problem.at("x.toml:7:13").what()) ==
              "x.toml:7:13: \"900\" has no unit (a bandwidth is in bytes per second). Write \"900 GB/s\".");
        CHECK(problem.parts().place == "");
        CHECK(problem.parts().problem == "\"900\" has no unit");
    }
}

TEST_CASE("dimensions have names and examples that parse") {
    CHECK(describe(bandwidth) == "a bandwidth in bytes per second");
    CHECK(describe(plain) == "a plain number");
    CHECK(describe({2, -1, 0, 0, 0}) == "an amount in s s/B");
    CHECK(describe({-2, 0, 0, 0, 0}) == "an amount in 1/s/s");
    CHECK(dimension_of<Watts> == power);
    CHECK(dimension_of<decltype(Usd{} / Joules{})> == energy_price);
    for (const auto& dimension : {plain, duration, size, bandwidth, work, rate, frequency, power, energy, money,
                                  energy_price, running_cost, Dimension{1, 0, 0, -1, 1}, Dimension{0, -1, 0, 0, 1},
                                  Dimension{0, -1, 0, 1, 0}, Dimension{0, 0, -1, 1, 0}, Dimension{0, -1, 1, 0, 0}}) {
        CHECK(parse_quantity(example(dimension), dimension) > 0);
    }
}

TEST_CASE("amounts are written with three digits") {
    CHECK(format(Bytes(1.5e9)) == "1.50 GB");
    CHECK(format(Bytes(12)) == "12 B");
    CHECK(format(Bytes(999)) == "999 B");
    CHECK(format(Bytes(1000)) == "1.00 kB");
    CHECK(format(Bytes(0.25)) == "0.250 B");
    CHECK(format(Bytes(999400)) == "999 kB");
    CHECK(format(Bytes(999600)) == "1.00 MB");
    CHECK(format(Bytes(5e21)) == "5000 EB");
    CHECK(format(Bytes(0)) == "0 B");
    CHECK(format(FlopsPerSecond(321e9)) == "321 GFLOP/s");
    CHECK(format(Flops(7)) == "7 FLOP");
    CHECK(format(BytesPerSecond(26.75e15)) == "26.8 PB/s");
    CHECK(format(Hertz(1.1e9)) == "1.10 GHz");
    CHECK(format(Watts(23000)) == "23.0 kW");
    CHECK(format(Watts(0)) == "0 W");
    CHECK(format(Joules(7e-12)) == "7.00 pJ");
    CHECK(format(Usd(-2.5e6)) == "-2.50 MUSD");
    CHECK(format(Usd(0.012)) == "0.0120 USD");
    CHECK(format(Usd(1e-9)) == "1.00e-09 USD");
}

TEST_CASE("times are written in the unit people think in") {
    CHECK(format(Seconds(0)) == "0 s");
    CHECK(format(Seconds(3e-13)) == "0.300 ps");
    CHECK(format(Seconds(1.234e-6)) == "1.23 us");
    CHECK(format(Seconds(0.9996)) == "1.00 s");
    CHECK(format(Seconds(119)) == "119 s");
    CHECK(format(Seconds(120)) == "2.00 min");
    CHECK(format(Seconds(7200)) == "2.00 h");
    CHECK(format(Seconds(2 * 86400.0)) == "2.00 day");
    CHECK(format(Seconds(3 * 365 * 86400.0)) == "3.00 year");
    CHECK(format(Seconds(-0.5)) == "-500 ms");
}

TEST_CASE("what is no number is written without inventing one") {
    const double nan = std::numeric_limits<double>::quiet_NaN(), inf = std::numeric_limits<double>::infinity();
    CHECK(format(Seconds(nan)) == "-");
    CHECK(format(Bytes(nan)) == "-");
    CHECK(format(Watts(nan)) == "-");
    CHECK(format(Usd(nan)) == "-");
    CHECK(format(BytesPerSecond(inf)) == "inf B/s");
    CHECK(format(Bytes(-inf)) == "-inf B");
    CHECK(format(Watts(inf)) == "inf W");
    CHECK(format(Seconds(inf)) == "inf s");
}

TEST_CASE("what is written is read back within half a percent") {
    CHECK(round_trips<Seconds>(-14, 12));
    CHECK(round_trips<Bytes>(-3, 24));
    CHECK(round_trips<BytesPerSecond>(-6, 24));
    CHECK(round_trips<Flops>(0, 30));
    CHECK(round_trips<FlopsPerSecond>(0, 26));
    CHECK(round_trips<Hertz>(-2, 14));
    CHECK(round_trips<Watts>(-10, 12));
    CHECK(round_trips<Joules>(-17, 18));
    CHECK(round_trips<Usd>(-5, 15));
}

TEST_CASE("the locale changes nothing") {
    const std::locale before = std::locale::global(std::locale(std::locale::classic(), new GermanNumbers));
    const bool german = std::setlocale(LC_ALL, "de_DE.UTF-8") != nullptr;  // where it is installed
    CAPTURE(german);
    CHECK(parse<Seconds>("1234.5 s").si() == 1234.5);
    CHECK(complaint("1,5 s", duration).find("has a comma") != std::string::npos);
    CHECK(format(Bytes(1.5e9)) == "1.50 GB");
    CHECK(format(Bytes(5e21)) == "5000 EB");
    std::locale::global(before);
    std::setlocale(LC_ALL, "C");
}

TEST_CASE("any text is either read as a finite amount or refused with a sentence") {
    CHECK(rc::check([](const std::string& text) {
        try {
            RC_ASSERT(std::isfinite(parse_quantity(text, bandwidth)));
        } catch (const UnitProblem& problem) {
            RC_ASSERT(!problem.parts().problem.empty());
        }
    }));
}
