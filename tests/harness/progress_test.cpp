#include "harness/progress.hpp"

#include <doctest/doctest.h>
#include <pty.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cmath>
#include <limits>
#include <sstream>

#include "core/error.hpp"
#include "harness/text_table.hpp"

using namespace wb;

namespace {

struct Fake {
    std::ostringstream out;
    double now = 50;

    ProgressSink sink(bool redraw, int width = 80, bool colour = false) {
        return {&out, width, redraw, colour, [this] { return now; }};
    }
    std::string taken() {
        std::string text = out.str();
        out.str("");
        return text;
    }
};

/// stderr_sink() while stderr is a terminal 123 columns wide, with these variables set.
ProgressSink sink_on_terminal(const char* term, const char* no_color) {
    setenv("TERM", term, 1);
    setenv("NO_COLOR", no_color, 1);
    int mine = -1, theirs = -1;
    winsize size{};
    size.ws_col = 123;
    REQUIRE(openpty(&mine, &theirs, nullptr, nullptr, &size) == 0);
    const int kept = dup(STDERR_FILENO);
    dup2(theirs, STDERR_FILENO);
    ProgressSink sink = stderr_sink();
    dup2(kept, STDERR_FILENO);
    for (int fd : {mine, theirs, kept}) close(fd);
    unsetenv("NO_COLOR");
    return sink;
}

}  // namespace

TEST_CASE("a terminal redraws, in colour unless told otherwise; a dumb one does not") {
    int mine = -1, theirs = -1;
    if (openpty(&mine, &theirs, nullptr, nullptr, nullptr) != 0) {
        MESSAGE("not tested: this environment has no pseudo-terminals (a container without /dev/pts)");
        return;
    }
    close(mine);
    close(theirs);
    const ProgressSink full = sink_on_terminal("xterm", "");
    CHECK(full.redraw);
    CHECK(full.colour);
    CHECK(full.width == 123);
    const ProgressSink plain = sink_on_terminal("xterm", "1");
    CHECK(plain.redraw);
    CHECK_FALSE(plain.colour);
    const ProgressSink dumb = sink_on_terminal("dumb", "");
    CHECK_FALSE(dumb.redraw);
    CHECK_FALSE(dumb.colour);
    const double earlier = full.now_s();
    CHECK(full.now_s() >= earlier);
}

TEST_CASE("plain output: one line per finished item, no control characters") {
    Fake fake;
    {
        Progress progress({1, 3, 2}, fake.sink(false));
        progress.start("gemm");
        progress.tick();
        CHECK(fake.taken() == "");
        fake.now += 2;
        progress.finish("1.25 ms");
        CHECK(fake.taken() == "[1/3] gemm: 1.25 ms  (ETA 10 s)\n");  // twice as slow as estimated: (3 + 2) * 2
        progress.start("attention");
        fake.now += 6;
        progress.finish("");
        CHECK(fake.taken() == "[2/3] attention  (ETA 4.0 s)\n");
        progress.start("allreduce");
        progress.finish("skipped: no network");
    }
    CHECK(fake.taken() == "[3/3] allreduce: skipped: no network\n");
}

TEST_CASE("share and ETA are weighted by cost and corrected by what items took") {
    Fake fake;
    Progress progress({10, 30}, fake.sink(false));
    CHECK(progress.eta_s() == 40);
    CHECK(progress.share() == 0);
    progress.start("a");
    fake.now += 5;
    CHECK(progress.share() == 0.125);
    CHECK(progress.eta_s() == 35);
    fake.now += 995;
    CHECK(progress.share() < 0.25);
    progress.finish("");
    CHECK(progress.share() == 0.25);
    CHECK(progress.eta_s() == 3000);
    progress.start("b");
    fake.now += 1e9;
    CHECK(progress.share() < 1);
    CHECK(progress.eta_s() >= 0);
    progress.finish("");
    CHECK(progress.share() == 1);
    CHECK(progress.eta_s() == 0);
}

TEST_CASE("a terminal line is redrawn at most ten times a second and fits the width") {
    Fake fake;
    Progress progress({4, 4}, fake.sink(true, 60));
    progress.start("gemm 波 4096");
    CHECK(fake.taken() == "\r[1/2]   0 %                 ETA 8.0 s  gemm 波 4096\x1b[K");
    progress.tick();
    fake.now += 0.09;
    progress.tick();
    CHECK(fake.taken() == "");
    fake.now += 1.91;
    progress.tick("noise 3 %");
    CHECK(fake.taken() == "\r[1/2]  25 % ███▊            ETA 6.0 s  gemm 波 4096  noise…\x1b[K");
    fake.now += 2;
    progress.finish("ok");
    CHECK(fake.taken() == "\r\x1b[K[1/2] gemm 波 4096: ok\n");
    progress.start("x");
    fake.taken();
    progress.clear();
    progress.clear();
    CHECK(fake.taken() == "\r\x1b[K");

    for (int width = 1; width < 100; ++width) {
        Fake narrow;
        Progress bar({1}, narrow.sink(true, width));
        bar.start("a rather long name of a case, longer than any terminal here is wide, one would think");
        const std::string line = narrow.taken();
        CHECK(display_width(line.substr(1, line.size() - 4)) <= static_cast<std::size_t>(std::max(1, width - 1)));
    }
}

TEST_CASE("colour only when asked") {
    Fake fake;
    Progress progress({1}, fake.sink(true, 60, true));
    progress.start("a");
    CHECK(fake.taken().find("\x1b[36m") != std::string::npos);
}

TEST_CASE("the line is cleared when the run is left early") {
    Fake fake;
    {
        Progress progress({1}, fake.sink(true));
        progress.start("a");
        fake.taken();
    }
    CHECK(fake.taken() == "\r\x1b[K");
}

TEST_CASE("unknown costs count as typical, none at all is done") {
    Fake fake;
    const double nan = std::numeric_limits<double>::quiet_NaN();
    CHECK(Progress({2, nan, 0, -1}, fake.sink(false)).eta_s() == 8);
    CHECK(Progress({nan, 0}, fake.sink(false)).eta_s() == 2);
    Progress none({}, fake.sink(false));
    CHECK(none.share() == 1);
    CHECK(none.eta_s() == 0);
    CHECK_THROWS_AS(none.start("a"), ContractError);
    Progress instant({1, 1}, fake.sink(false));
    instant.start("a");
    instant.finish("");
    instant.start("b");
    CHECK(std::isfinite(instant.share()));
    CHECK(instant.eta_s() == 0);
}

TEST_CASE("durations for people") {
    CHECK(rough_duration(0.42) == "0.4 s");
    CHECK(rough_duration(9.96) == "10 s");
    CHECK(rough_duration(59.6) == "1 min 00 s");
    CHECK(rough_duration(65) == "1 min 05 s");
    CHECK(rough_duration(3599.7) == "1 h 00 min");
    CHECK(rough_duration(7620) == "2 h 07 min");
    CHECK(rough_duration(273600) == "3 d 04 h");
    CHECK(rough_duration(std::nan("")) == "?");
    CHECK(rough_duration(1e300) == "years");
}
