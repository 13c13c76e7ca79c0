#include <doctest/doctest.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <map>
#include <random>
#include <set>
#include <thread>

#include "core/error.hpp"
#include "harness/result_file.hpp"
#include "tests/cli/sandbox.hpp"

using cli::Outcome;
using cli::Sandbox;

namespace {

void pause_s(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

/// Waits until the journal holds some finished cases; false after 20 s.
bool some_finished(const cli::fs::path& journal) {
    for (int i = 0; i < 2000; ++i, pause_s(0.01)) try {
            if (cli::fs::exists(journal) && !cli::finished_cases(journal).empty()) return true;
        } catch (const wb::Error&) {
            continue;  // its first lines are still being written
        }
    return false;
}

std::string resumed(std::size_t there, int all) {
    return fmt::format("Resuming: {} of {} cases are there already.\n", there, all);
}

std::set<std::string> keys(const std::map<std::string, std::string>& cases) {
    std::set<std::string> out;
    for (const auto& [key, record] : cases) out.insert(key);
    return out;
}

/// Every case finished before is there, unchanged to the last bit.
void check_kept(const std::map<std::string, std::string>& before, const std::map<std::string, std::string>& after) {
    for (const auto& [key, record] : before) {
        const auto found = after.find(key);
        REQUIRE_MESSAGE(found != after.end(), key);
        CHECK(found->second == record);
    }
}

}  // namespace

TEST_CASE("Ctrl-C ends with 130, SIGTERM with 75; what was measured is kept and --resume does the rest, once") {
    const int cases = 60;
    for (const auto& [signal, code] : {std::pair{SIGINT, 130}, {SIGTERM, 75}}) {
        const Sandbox box;
        box.write("e.toml", cli::slow_experiment(cases));
        cli::Child child = box.start({"run", "e.toml", "-o", "r.h5"});
        REQUIRE(some_finished(box / "r.journal"));
        child.send(signal);
        const Outcome stopped = child.wait();
        CAPTURE(stopped.err);
        CHECK(stopped.code == code);
        CHECK(stopped.err.find("Stopped early; `--resume` goes on from here.\n") != std::string::npos);
        CHECK(box.run({"check", "r.h5"}).code == 0);
        const auto before = cli::finished_cases(box / "r.journal");
        CHECK(before.size() > 0);
        CHECK(before.size() < cases);

        const Outcome rest = box.run({"run", "e.toml", "-o", "r.h5", "--resume"});
        CHECK(rest.code == 0);
        CHECK(rest.err.find(resumed(before.size(), cases)) != std::string::npos);
        CHECK(rest.err.find(fmt::format("[{0}/{0}]", cases - static_cast<int>(before.size()))) != std::string::npos);
        const auto after = cli::finished_cases(box / "r.journal");
        CHECK(after.size() == cases);
        check_kept(before, after);
        CHECK(wb::read_results(box / "r.h5").results.size() == cases);

        const Outcome again = box.run({"run", "e.toml", "-o", "r.h5", "--resume"});
        CHECK(again.code == 0);
        CHECK(again.err.find(resumed(cases, cases)) != std::string::npos);
        CHECK(again.err.find("[1/") == std::string::npos);
        CHECK(cli::finished_cases(box / "r.journal") == after);
    }
}

TEST_CASE("a case that Ctrl-C cut short is repeated") {
    const Sandbox box;
    box.write("e.toml", cli::slow_experiment(1));
    const std::vector<std::string> call{
        "run", "e.toml", "-o", "r.h5", "--set", "protocol.min_samples=100", "--set", "protocol.max_samples=100"};
    cli::Child child = box.start(call);
    pause_s(1.0);
    child.send(SIGINT);
    const Outcome o = child.wait();
    CAPTURE(o.err);
    CHECK(o.code == 130);
    CHECK(o.out.find("stopped from outside after ") != std::string::npos);
    CHECK(cli::finished_cases(box / "r.journal").empty());
    std::vector<std::string> more = call;
    more.emplace_back("--resume");
    const Outcome rest = box.run(more);
    CHECK(rest.code == 0);
    CHECK(wb::read_results(box / "r.h5").results.at(0).m.samples_s.size() == 100);
}

TEST_CASE("a budget that is used up ends with 124") {
    const Sandbox box;
    box.write("e.toml", cli::slow_experiment(40));
    const Outcome o = box.run({"run", "e.toml", "-o", "r.h5", "--budget", "0.4 s"});
    CHECK(o.code == 124);
    const auto before = cli::finished_cases(box / "r.journal");
    CHECK(before.size() > 0);
    CHECK(before.size() < 10);
    CHECK(box.run({"run", "e.toml", "-o", "r.h5", "--resume"}).code == 0);
    CHECK(cli::finished_cases(box / "r.journal").size() == 40);
}

TEST_CASE("a changed protocol, seed or system file is another case: --resume runs it") {
    const Sandbox box;
    box.write("e.toml", cli::small_experiment());
    CHECK(box.run({"run", "e.toml", "-o", "r.h5", "-q"}).code == 0);
    CHECK(box.run({"run", "e.toml", "-o", "r.h5", "--resume"}).err.find(resumed(4, 4)) != std::string::npos);
    CHECK(box.run({"run", "e.toml", "-o", "r.h5", "--resume", "--set", "seed=2"}).err.find(resumed(0, 4)) !=
          std::string::npos);
    CHECK(box.run({"run", "e.toml", "-o", "r.h5", "--resume", "--set", "protocol.warmup=2", "--set", "seed=2"})
              .err.find(resumed(0, 4)) != std::string::npos);
    const std::string file = cli::slurp(cli::fs::path(WB_SOURCE_DIR) / "configs/systems/h100-sxm.toml");
    box.write("mine/systems/h100-sxm.toml", "# another text\n" + file);
    CHECK(box.run({"run", "e.toml", "-o", "r.h5", "--resume", "--configs", "mine", "--set", "protocol.warmup=2",
                   "--set", "seed=2"})
              .err.find(resumed(0, 4)) != std::string::npos);
}

TEST_CASE("two runs into one journal: the second is refused and the first is not disturbed") {
    const Sandbox box;
    box.write("e.toml", cli::slow_experiment(40));
    cli::Child first = box.start({"run", "e.toml", "-o", "r.h5"});
    REQUIRE(some_finished(box / "r.journal"));
    for (const bool resume : {false, true}) {
        std::vector<std::string> call{"run", "e.toml", "-o", "r.h5"};
        if (resume) call.emplace_back("--resume");
        const Outcome second = box.run(call);
        CHECK(second.code == 7);
        CHECK(second.err.find("another process is writing this journal") != std::string::npos);
    }
    CHECK(first.wait().code == 0);
    CHECK(cli::finished_cases(box / "r.journal").size() == 40);
}

namespace {

/// Kills runs at random moments until one gets through. Returns how many kills landed while it ran.
int kill_often(const Sandbox& box, int cases, int kills, unsigned seed) {
    std::mt19937 random(seed);
    std::map<std::string, std::string> before;
    int landed = 0;
    for (int i = 0; i < kills; ++i) {
        cli::Child child = box.start({"run", "e.toml", "-q", "-o", "r.h5", "--resume"});
        pause_s(std::uniform_real_distribution<>(0.02, 0.6)(random));
        child.send(SIGKILL);
        const Outcome o = child.wait();
        if (o.code == 137)
            ++landed;
        else
            CHECK(o.code == 0);
        if (!cli::fs::exists(box / "r.journal") || cli::fs::file_size(box / "r.journal") == 0) continue;
        const auto now = cli::finished_cases(box / "r.journal");
        check_kept(before, now);
        if (cli::fs::exists(box / "r.h5")) CHECK(box.run({"check", "r.h5"}).code == 0);
        before = now;
        if (static_cast<int>(now.size()) == cases) {  // begin another campaign
            cli::fs::remove(box / "r.journal");
            cli::fs::remove(box / "r.h5");
            before.clear();
        }
    }
    const Outcome last = box.run({"run", "e.toml", "-q", "-o", "r.h5", "--resume"});
    CHECK(last.code == 0);
    const auto after = cli::finished_cases(box / "r.journal");
    check_kept(before, after);
    CHECK(static_cast<int>(after.size()) == cases);

    CHECK(box.run({"run", "e.toml", "-q", "-o", "whole.h5"}).code == 0);
    const auto whole = cli::finished_cases(box / "whole.journal");
    CHECK(keys(whole) == keys(after));
    const auto one = wb::read_results(box / "r.h5").results, two = wb::read_results(box / "whole.h5").results;
    REQUIRE(one.size() == two.size());
    for (std::size_t i = 0; i < one.size(); ++i) {
        CHECK(one[i].key == two[i].key);
        CHECK(one[i].m.samples_s == two[i].m.samples_s);  // the fake clock repeats itself
    }
    return landed;
}

std::string quick_cases(int cases) {
    std::string text = cli::slow_experiment(cases);
    return "seed = 1" + text.substr(text.find('\n'));  // without the 50 ms
}

}  // namespace

TEST_CASE("kill -9 at eight random moments loses no finished case") {
    const Sandbox box;
    box.write("e.toml", cli::slow_experiment(40));
    CHECK(kill_often(box, 40, 8, 20261120) >= 4);
}

TEST_SUITE_BEGIN("nightly");

TEST_CASE("kill -9 at a hundred random moments loses no finished case") {
    const Sandbox box;
    box.write("e.toml", quick_cases(400));
    kill_often(box, 400, 50, 1);
    const Sandbox slow;
    slow.write("e.toml", cli::slow_experiment(200));
    CHECK(kill_often(slow, 200, 50, 2) >= 20);
}

TEST_CASE("20,000 cases in under ten seconds and 300 MB") {
    const Sandbox box;
    box.write("e.toml", R"toml([[workload]]
use = "gemm"
m = "range(1, 20000)"
n = 32
k = 32
dtype = "f32"
[[system]]
use = "h100-sxm"
backends = ["roofline"]
)toml");
    const Outcome run = box.run({"run", "e.toml", "-q", "-o", "r.h5"});
    MESSAGE("run: ", run.wall_s, " s wall, ", run.cpu_s, " s CPU, ", run.rss_bytes / 1e6, " MB");
    CHECK(run.code == 0);
    CHECK(run.cpu_s < 10);
    CHECK(run.rss_bytes < 300e6);
    double slowest = 0;
    for (const wb::Result& r : wb::read_results(box / "r.h5").results) slowest = std::max(slowest, r.m.harness_s);
    MESSAGE("slowest case of all: ", 1e3 * slowest, " ms in the harness");
    const Outcome again = box.run({"run", "e.toml", "-q", "-o", "r.h5", "--resume"});
    MESSAGE("resume: ", again.wall_s, " s wall, ", again.cpu_s, " s CPU, ", again.rss_bytes / 1e6, " MB");
    CHECK(again.cpu_s < 10);
    const Outcome plan = box.run({"plan", "e.toml", "--set", "workload.0.m=\"range(1, 10000)\""});
    MESSAGE("plan of 10,000: ", plan.wall_s, " s wall, ", plan.cpu_s, " s CPU");
    CHECK(plan.cpu_s < 1);
    const Outcome list = box.run({"list"});
    MESSAGE("list: ", list.wall_s, " s wall, ", list.cpu_s, " s CPU");
    CHECK(list.cpu_s < 1);
}

TEST_SUITE_END();
