#include "harness/watchdog.hpp"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>

using namespace wb;

namespace {
void pause_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }
}  // namespace

TEST_CASE("watchdog: bites once what takes too long, and nothing else") {
    std::atomic<int> bites = 0;
    std::string bitten;
    {
        Watchdog dog([&](const std::string& what, double) {
            bitten = what;
            ++bites;
        });
        dog.watch("quick", 30);
        dog.watch("quick too", 30);
        dog.rest();
        pause_ms(30);
        CHECK(bites == 0);
        dog.watch("endless", 0.02);
        for (int i = 0; i < 200 && bites == 0; ++i) pause_ms(10);
        pause_ms(50);
    }
    CHECK(bites == 1);
    CHECK(bitten == "endless");
}

TEST_CASE("watchdog: a limit that passed while the next case runs does not hit it") {
    std::atomic<int> bites = 0;
    Watchdog dog([&](const std::string&, double) { ++bites; });
    for (int i = 0; i < 20; ++i) {
        dog.watch("case", 0.5);
        pause_ms(2);
    }
    dog.watch("last", 60);
    pause_ms(600);
    CHECK(bites == 0);
}
