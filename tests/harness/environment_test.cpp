#include "harness/environment.hpp"

#include <doctest/doctest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/error.hpp"

using namespace wb;
namespace fs = std::filesystem;

namespace {

/// A /proc and /sys of our own.
class FakeRoot {
public:
    FakeRoot() : path_(fs::temp_directory_path() / ("wb_environment_test_" + std::to_string(getpid()))) {
        fs::remove_all(path_);
        fs::create_directories(path_);
    }
    ~FakeRoot() { fs::remove_all(path_); }
    void write(const std::string& name, std::string_view text) const {
        fs::create_directories((path_ / name).parent_path());
        std::ofstream(path_ / name) << text;
    }
    std::string string() const { return path_.string(); }

private:
    fs::path path_;
};

Environment calm() {
    Environment e;
    e.cpus_online = 4;
    e.core_clock_hz = 3e9;
    e.load = 0.1;
    e.governor = "performance";
    e.thermal_throttles = 7;
    e.quota_throttles = 3;
    e.stolen_s = 100;
    e.monotonic_s = 50;
    e.timer = {20e-9, 1e-9};
    e.thread_cpus = {{0, 1}, {0, 1}};
    return e;
}

bool mentions(const std::vector<std::string>& texts, const std::string& what) {
    return std::any_of(texts.begin(), texts.end(),
                       [&](const std::string& t) { return t.find(what) != std::string::npos; });
}

}  // namespace

TEST_CASE("the running machine is described") {
    const Environment e = take_environment(2);
    CHECK_FALSE(e.hostname.empty());
    CHECK(e.cpus_allowed >= 1);
    CHECK(e.cpus_online >= e.cpus_allowed);
    CHECK(e.memory_available_bytes > 0);
    CHECK(e.memory_available_bytes <= e.memory_total_bytes);
    CHECK(e.thread_cpus.size() == 2);
    for (const auto& mask : e.thread_cpus) CHECK_FALSE(mask.empty());
    CHECK(e.timer.overhead_s > 0);
    CHECK(e.timer.overhead_s < 1e-4);
    CHECK(e.timer.resolution_s > 0);
#if defined(__x86_64__) || defined(__aarch64__)
    CHECK(e.core_clock_hz > 0.2e9);
    CHECK(e.core_clock_hz < 10e9);
#endif
}

TEST_CASE("files of /proc and /sys are understood") {
    const FakeRoot root;
    root.write("proc/cpuinfo", "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\n");
    root.write("proc/loadavg", "3.25 1.00 0.50 1/90 5240\n");
    root.write("proc/meminfo", "MemTotal:       1000 kB\nMemFree: 1 kB\nMemAvailable:    250 kB\n");
    root.write("proc/stat", "cpu  1 2 3 4 5 6 7 800 9 10\ncpu0 1 1 1 1 1 1 1 1\n");
    root.write("proc/sys/kernel/randomize_va_space", "2\n");
    root.write("sys/kernel/mm/transparent_hugepage/enabled", "always [madvise] never\n");
    root.write("sys/devices/system/cpu/smt/active", "1\n");
    root.write("sys/devices/system/clocksource/clocksource0/current_clocksource", "tsc\n");
    const std::string cpu = "sys/devices/system/cpu/cpu" + std::to_string(allowed_cpus().front());
    root.write(cpu + "/cpufreq/scaling_governor", "powersave\n");
    root.write(cpu + "/cpufreq/scaling_cur_freq", "1200000\n");
    root.write(cpu + "/cpufreq/cpuinfo_max_freq", "3900000\n");
    root.write(cpu + "/thermal_throttle/core_throttle_count", "5\n");
    root.write(cpu + "/thermal_throttle/package_throttle_count", "6\n");
    root.write("proc/self/cgroup", "0::/outer/inner\n");
    root.write("sys/fs/cgroup/outer/cpu.max", "150000 100000\n");
    root.write("sys/fs/cgroup/outer/inner/cpu.max", "max 100000\n");
    root.write("sys/fs/cgroup/outer/inner/cpu.stat", "nr_periods 10\nnr_throttled 4\n");
    root.write("sys/fs/cgroup/outer/inner/memory.max", "max\n");
    root.write("sys/fs/cgroup/outer/memory.max", "1048576\n");
    root.write(".dockerenv", "");
    const Environment e = take_environment(1, root.string());
    CHECK(e.cpu_model == "Some CPU @ 2 GHz");
    CHECK(e.load == 3.25);
    CHECK(e.memory_total_bytes == 1024e3);
    CHECK(e.memory_available_bytes == 256e3);
    CHECK(e.stolen_s == 800.0 / static_cast<double>(sysconf(_SC_CLK_TCK)));
    CHECK(e.address_randomisation == 2);
    CHECK(e.transparent_huge_pages == "madvise");
    CHECK(e.smt == true);
    CHECK(e.clock_source == "tsc");
    CHECK(e.governor == "powersave");
    CHECK(e.frequency_hz == 1.2e9);
    CHECK(e.max_frequency_hz == 3.9e9);
    CHECK(e.thermal_throttles == 11);
    CHECK(e.cpu_quota == 1.5);
    CHECK(e.quota_throttles == 4);
    CHECK(e.memory_limit_bytes == 1048576);
    CHECK(e.container == "docker");

    root.write("proc/self/cgroup", "4:memory:/a\n1:cpu,cpuacct:/\n");
    root.write("sys/fs/cgroup/memory/a/memory.limit_in_bytes", "9223372036854771712\n");
    root.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "-1\n");
    root.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us", "100000\n");
    const Environment v1 = take_environment(1, root.string());
    CHECK_FALSE(v1.cpu_quota);
    CHECK_FALSE(v1.memory_limit_bytes);
    root.write("sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us", "50000\n");
    CHECK(take_environment(1, root.string()).cpu_quota == 0.5);
}

TEST_CASE("a system that tells nothing leaves gaps, not zeros") {
    const FakeRoot root;
    const Environment e = take_environment(1, root.string());
    CHECK_FALSE(e.stolen_s);
    CHECK_FALSE(e.thermal_throttles);
    const auto json = nlohmann::json::parse(to_json(e));
    CHECK(json["governor"].is_null());
    CHECK(json["cpu_quota"].is_null());
    CHECK(json["thread_cpus"].size() == 1);
    CHECK(json["core_clock_hz"] == e.core_clock_hz);
}

TEST_CASE("a calm run warns of nothing, each disturbance of itself") {
    const Environment before = calm();
    Environment after = calm();
    after.monotonic_s += 10;
    after.core_clock_hz = 2.71e9;
    CHECK(warnings(before, after).empty());
    after.core_clock_hz = 2.69e9;
    CHECK(
        warnings(before, after) ==
        std::vector<std::string>{"the core clock fell from 3.00 to 2.69 GHz: late samples ran on a slower machine than "
                                 "early ones. Check cooling and power limits, then repeat."});
    after.core_clock_hz = 3e9;
    after.thermal_throttles = 9;
    CHECK(mentions(warnings(before, after), "2 thermal throttling events"));
    after = before;
    after.monotonic_s += 10;
    after.quota_throttles = 4;
    CHECK(mentions(warnings(before, after), "quota stopped the process in 1 periods"));
    after = before;
    after.monotonic_s += 10;
    after.stolen_s = 101;
    CHECK(mentions(warnings(before, after), "1.0 s of CPU time to other guests in 10.0 s"));
}

TEST_CASE("warnings about the state before the start") {
    Environment e = calm();
    e.load = 2;
    CHECK(warnings(e, e).empty());
    e.load = 2.1;
    CHECK(mentions(warnings(e, e), "load average 2.1 on 4 CPUs"));
    e = calm();
    e.governor = "powersave";
    CHECK(mentions(warnings(e, e), "governor \"powersave\""));
    e = calm();
    e.cpu_quota = 1.5;
    CHECK(mentions(warnings(e, e), "allows 1.5 CPUs to 2 threads"));
    e = calm();
    e.timer.overhead_s = 2e-6;
    CHECK(mentions(warnings(e, e), "over 1 % of any sample below 200 us"));
    e = calm();
    e.thread_cpus = {{0}, {1}};
    CHECK(warnings(e, e).empty());
    e.thread_cpus = {{0}, {1}, {0}};
    CHECK(mentions(warnings(e, e), "threads 0 and 2 are both bound to CPU 0"));
    e.thread_cpus = {{0, 1}, {0, 1}, {0, 1}};
    CHECK(mentions(warnings(e, e), "3 threads may use only CPU 0,1"));
}

TEST_CASE("too many threads: the error names the launch line") {
    CHECK_NOTHROW(check_threads(2, 2, false));
    CHECK_NOTHROW(check_threads(8, 2, true));
    try {
        check_threads(4, 1, false, {4, 2, "waferbench run x.toml"});
        FAIL("no error");
    } catch (const Error& error) {
        CHECK(error.code() == Exit::environment);
        CHECK(
            std::string(error.what()) ==
            "thread placement: 4 threads but 1 allowed CPU (threads would take turns on a CPU and times measure the "
            "scheduler; Open MPI binds up to two ranks to one core each unless told otherwise). Use OMP_NUM_THREADS=1, "
            "or start with: mpirun -np 4 --map-by ppr:2:node:PE=4 --bind-to core --report-bindings -x "
            "OMP_NUM_THREADS=4 -x OMP_PLACES=cores -x OMP_PROC_BIND=close waferbench run x.toml");
    }
}
