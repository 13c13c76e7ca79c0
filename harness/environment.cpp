// Reads and prints: compiled at -O1.
#include "harness/environment.hpp"

#include <fmt/format.h>
#include <omp.h>
#include <sched.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>

#include "core/error.hpp"
#include "core/huge_pages.hpp"

namespace wb {
namespace {

/// CPUs the calling thread alone may run on.
std::vector<int> thread_mask() {
    // The kernel refuses a set smaller than its own, so machines beyond 1024 CPUs need a second try.
    for (int room = 1024; room <= 1 << 20; room *= 4) {
        cpu_set_t* set = CPU_ALLOC(static_cast<std::size_t>(room));
        const std::size_t bytes = CPU_ALLOC_SIZE(static_cast<std::size_t>(room));
        std::vector<int> cpus;
        const bool known = set && sched_getaffinity(0, bytes, set) == 0;
        for (int cpu = 0; known && cpu < room; ++cpu)
            if (CPU_ISSET_S(static_cast<std::size_t>(cpu), bytes, set)) cpus.push_back(cpu);
        CPU_FREE(set);
        if (known) return cpus;
    }
    return {};
}

namespace fs = std::filesystem;

/// First line, or empty if there is no such file.
std::string first_line(const std::string& path) {
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

std::optional<double> number(const std::string& text) {
    std::istringstream in(text);
    in.imbue(std::locale::classic());
    double value;
    if (in >> value) return value;
    return std::nullopt;
}

std::optional<double> scaled(std::optional<double> value, double factor) {
    if (value) *value *= factor;
    return value;
}

/// Value behind `key` in "key: value" or "key value" lines; empty if there is none.
std::string field(const std::string& path, const std::string& key) {
    std::ifstream file(path);
    for (std::string line; std::getline(file, line);) {
        if (line.compare(0, key.size(), key) != 0) continue;
        const auto begin = line.find_first_not_of(" \t:", key.size());
        if (begin == key.size()) continue;  // a longer key
        return begin == std::string::npos ? "" : line.substr(begin);
    }
    return "";
}

/// The word in brackets of "always [madvise] never".
std::string chosen(const std::string& line) {
    const auto open = line.find('['), close = line.find(']');
    return open == std::string::npos || close < open ? line : line.substr(open + 1, close - open - 1);
}

void keep_smaller(std::optional<double>& known, std::optional<double> found) {
    if (found && (!known || *found < *known)) known = found;
}

/// cgroup v2 "200000 100000" or "max 100000"; v1 two files.
std::optional<double> quota_of(const fs::path& group) {
    std::istringstream v2(first_line(group / "cpu.max"));
    double quota, period;
    if (v2 >> quota >> period && period > 0) return quota / period;
    const auto v1 = number(first_line(group / "cpu.cfs_quota_us")),
               per = number(first_line(group / "cpu.cfs_period_us"));
    if (v1 && per && *v1 > 0 && *per > 0) return *v1 / *per;
    return std::nullopt;
}

std::optional<double> limit_of(const fs::path& group) {
    for (const char* name : {"memory.max", "memory.limit_in_bytes"})
        if (const auto bytes = number(first_line(group / name)); bytes && *bytes < 0x1p62)
            return bytes;  // v1: 2^63 is none
    return std::nullopt;
}

/// Limits hold for the whole path from the own group to the root, so each level is asked.
void read_control_groups(const std::string& root, Environment& e) {
    std::ifstream file(root + "/proc/self/cgroup");
    for (std::string line; std::getline(file, line);) {
        const auto first = line.find(':'), second = line.find(':', first + 1);
        if (second == std::string::npos) continue;
        const fs::path base = root + "/sys/fs/cgroup/" + line.substr(first + 1, second - first - 1);
        fs::path inside = fs::path(line.substr(second + 1)).relative_path();
        for (bool own = true;; own = false, inside = inside.parent_path()) {
            const fs::path group = base / inside;
            keep_smaller(e.cpu_quota, quota_of(group));
            keep_smaller(e.memory_limit_bytes, limit_of(group));
            if (const auto stopped = number(field(group / "cpu.stat", "nr_throttled")); stopped && own)
                e.quota_throttles = static_cast<long>(*stopped);
            if (inside.empty()) break;
        }
    }
}

std::string container_hint(const std::string& root) {
    if (fs::exists(root + "/.dockerenv")) return "docker";
    if (fs::exists(root + "/run/.containerenv")) return "podman";
    if (fs::exists(root + "/.singularity.d")) return "apptainer";
    if (!first_line(root + "/run/systemd/container").empty()) return first_line(root + "/run/systemd/container");
    return "";
}

std::optional<long> thermal_throttles(const std::string& root) {
    std::optional<long> sum;
    std::error_code ignored;
    for (const auto& cpu : fs::directory_iterator(root + "/sys/devices/system/cpu", ignored))
        for (const char* name : {"core_throttle_count", "package_throttle_count"})
            if (const auto n = number(first_line(cpu.path() / "thermal_throttle" / name)))
                sum = sum.value_or(0) + static_cast<long>(*n);
    return sum;
}

/// Eighth number of "cpu  user nice system idle iowait irq softirq steal".
std::optional<double> stolen_s(const std::string& root) {
    std::istringstream line(first_line(root + "/proc/stat"));
    std::string cpu;
    double ticks = 0;
    line >> cpu;
    for (int i = 0; i < 8; ++i)
        if (!(line >> ticks)) return std::nullopt;
    return ticks / static_cast<double>(sysconf(_SC_CLK_TCK));
}

void read_cpu(const std::string& root, Environment& e) {
    e.cpu_model = field(root + "/proc/cpuinfo", "model name");
    e.cpus_online = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
    const std::vector<int> allowed = allowed_cpus();
    e.cpus_allowed = static_cast<int>(allowed.size());
    const std::string cpu = root + "/sys/devices/system/cpu/";
    const std::string scaling = cpu + fmt::format("cpu{}/cpufreq/", allowed.empty() ? 0 : allowed.front());
    e.governor = first_line(scaling + "scaling_governor");
    e.frequency_hz = scaled(number(first_line(scaling + "scaling_cur_freq")), 1e3);
    e.max_frequency_hz = scaled(number(first_line(scaling + "cpuinfo_max_freq")), 1e3);
    if (const auto smt = number(first_line(cpu + "smt/active"))) e.smt = *smt != 0;
}

std::vector<std::vector<int>> masks_of_threads(int threads) {
    std::vector<std::vector<int>> masks(static_cast<std::size_t>(threads));
#pragma omp parallel num_threads(threads)
    masks[static_cast<std::size_t>(omp_get_thread_num())] = thread_mask();
    return masks;
}

std::string list(const std::vector<int>& cpus) {
    std::string out;
    for (int cpu : cpus) out += (out.empty() ? "" : ",") + std::to_string(cpu);
    return out;
}

/// Two threads pinned to one CPU, or fewer CPUs in all than threads; empty if neither.
std::string shared_cpu(const Environment& e) {
    std::vector<int> all;
    for (std::size_t i = 0; i < e.thread_cpus.size(); ++i) {
        const auto& mask = e.thread_cpus[i];
        all.insert(all.end(), mask.begin(), mask.end());
        for (std::size_t j = 0; j < i; ++j)
            if (mask.size() == 1 && e.thread_cpus[j] == mask)
                return fmt::format("threads {} and {} are both bound to CPU {}", j, i, mask[0]);
    }
    std::sort(all.begin(), all.end());
    all.erase(std::unique(all.begin(), all.end()), all.end());
    if (all.size() >= e.thread_cpus.size()) return "";
    return fmt::format("{} threads may use only CPU {}", e.thread_cpus.size(), list(all));
}

class Warnings {
public:
    void when(bool seen, std::string text) {
        if (seen) texts_.push_back(std::move(text));
    }
    std::vector<std::string> take() { return std::move(texts_); }

private:
    std::vector<std::string> texts_;
};

void warn_of_state(const Environment& before, Warnings& warn) {
    const int cpus = std::max(1, before.cpus_online);
    const auto threads = static_cast<double>(before.thread_cpus.size());
    warn.when(before.load > cpus / 2.0,
              fmt::format("load average {:.1f} on {} CPUs before the start: other programs take time from the samples. "
                          "Wait until the machine is idle.",
                          before.load, cpus));
    warn.when(before.governor == "powersave" || before.governor == "conservative",
              fmt::format("CPU governor \"{}\": the clock follows the load, so short samples look slow. "
                          "Ask for the governor \"performance\" (cpupower frequency-set -g performance).",
                          before.governor));
    const std::string shared = shared_cpu(before);
    warn.when(!shared.empty(),
              fmt::format("{}: they take turns, so times measure the scheduler. Use fewer threads, or bind with "
                          "OMP_PLACES=cores OMP_PROC_BIND=close and mpirun's PE=<threads>.",
                          shared));
    warn.when(
        before.cpu_quota && *before.cpu_quota < threads,
        fmt::format("the control group allows {:.3g} CPUs to {} threads: the kernel stops the process in every period. "
                    "Raise the quota or use fewer threads.",
                    before.cpu_quota.value_or(0), threads));
    warn.when(
        before.timer.overhead_s > 1e-6,
        fmt::format(
            "reading the clock takes {:.1f} us (clock source {}): that is over 1 % of any sample below {:.0f} us. "
            "Use the clock source tsc, or longer samples.",
            before.timer.overhead_s * 1e6, before.clock_source.empty() ? "unknown" : before.clock_source,
            before.timer.overhead_s * 1e8));
}

void warn_of_change(const Environment& before, const Environment& after, Warnings& warn) {
    warn.when(
        before.core_clock_hz > 0 && after.core_clock_hz < 0.9 * before.core_clock_hz,
        fmt::format(
            "the core clock fell from {:.2f} to {:.2f} GHz: late samples ran on a slower machine than early ones. "
            "Check cooling and power limits, then repeat.",
            before.core_clock_hz / 1e9, after.core_clock_hz / 1e9));
    const auto rise = [](const auto& a, const auto& b) { return a && b ? *b - *a : 0; };
    const long hot = rise(before.thermal_throttles, after.thermal_throttles);
    warn.when(hot > 0, fmt::format("{} thermal throttling events during the run: the processor slowed itself down. "
                                   "Improve cooling, then repeat.",
                                   hot));
    const long stopped = rise(before.quota_throttles, after.quota_throttles);
    warn.when(stopped > 0,
              fmt::format("the CPU quota stopped the process in {} periods: those samples contain waiting. "
                          "Raise the quota or use fewer threads.",
                          stopped));
    const double stolen = rise(before.stolen_s, after.stolen_s), elapsed = after.monotonic_s - before.monotonic_s;
    warn.when(
        stolen > std::max(0.05, 0.01 * elapsed * std::max(1, before.cpus_online)),  // counted in ticks of 10 ms
        fmt::format("the hypervisor gave {:.1f} s of CPU time to other guests in {:.1f} s: samples contain their work. "
                    "Use a dedicated host, or trust the minimum more than the median.",
                    stolen, elapsed));
}

template <class T>
nlohmann::ordered_json or_null(const std::optional<T>& value) {
    return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}
nlohmann::ordered_json or_null(const std::string& text) {
    return text.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(text);
}

}  // namespace

std::vector<int> allowed_cpus() {
    // OMP_PROC_BIND ties the first thread to one place; the places together are what the process may use.
    std::set<int> all;
    for (int place = 0; place < omp_get_num_places(); ++place) {
        std::vector<int> ids(static_cast<std::size_t>(omp_get_place_num_procs(place)));
        omp_get_place_proc_ids(place, ids.data());
        all.insert(ids.begin(), ids.end());
    }
    if (!all.empty()) return {all.begin(), all.end()};
    return thread_mask();
}

Environment take_environment(int threads, const std::string& root) {
    WB_EXPECT(threads >= 1);
    Environment e;
    e.monotonic_s = now_s();
    utsname system{};
    uname(&system);
    e.hostname = system.nodename;
    e.kernel = fmt::format("{} {}", system.sysname, system.release);
    read_cpu(root, e);
    e.load = number(first_line(root + "/proc/loadavg")).value_or(0);
    e.memory_total_bytes = 1024 * number(field(root + "/proc/meminfo", "MemTotal")).value_or(0);
    e.memory_available_bytes = 1024 * number(field(root + "/proc/meminfo", "MemAvailable")).value_or(0);
    e.transparent_huge_pages = chosen(first_line(root + "/sys/kernel/mm/transparent_hugepage/enabled"));
    if (const auto aslr = number(first_line(root + "/proc/sys/kernel/randomize_va_space")))
        e.address_randomisation = static_cast<int>(*aslr);
    read_control_groups(root, e);
    e.container = container_hint(root);
    e.thermal_throttles = thermal_throttles(root);
    e.stolen_s = stolen_s(root);
    e.clock_source = first_line(root + "/sys/devices/system/clocksource/clocksource0/current_clocksource");
    e.thread_cpus = masks_of_threads(threads);
    e.core_clock_hz = measured_core_clock_hz();
    e.timer = measured_timer_cost();
    return e;
}

std::vector<std::string> warnings(const Environment& before, const Environment& after) {
    Warnings warn;
    warn_of_state(before, warn);
    warn_of_change(before, after, warn);
    return warn.take();
}

std::string to_json(const Environment& e) {
    const nlohmann::ordered_json json{{"hostname", e.hostname},
                                      {"kernel", e.kernel},
                                      {"cpu_model", or_null(e.cpu_model)},
                                      {"cpus_online", e.cpus_online},
                                      {"cpus_allowed", e.cpus_allowed},
                                      {"governor", or_null(e.governor)},
                                      {"frequency_hz", or_null(e.frequency_hz)},
                                      {"max_frequency_hz", or_null(e.max_frequency_hz)},
                                      {"core_clock_hz", e.core_clock_hz},
                                      {"load", e.load},
                                      {"memory_total_bytes", e.memory_total_bytes},
                                      {"memory_available_bytes", e.memory_available_bytes},
                                      {"transparent_huge_pages", or_null(e.transparent_huge_pages)},
                                      {"huge_pages_wanted", huge_pages_wanted()},
                                      {"smt", or_null(e.smt)},
                                      {"address_randomisation", or_null(e.address_randomisation)},
                                      {"cpu_quota", or_null(e.cpu_quota)},
                                      {"memory_limit_bytes", or_null(e.memory_limit_bytes)},
                                      {"container", or_null(e.container)},
                                      {"thermal_throttles", or_null(e.thermal_throttles)},
                                      {"quota_throttles", or_null(e.quota_throttles)},
                                      {"stolen_s", or_null(e.stolen_s)},
                                      {"clock_source", or_null(e.clock_source)},
                                      {"timer_overhead_s", e.timer.overhead_s},
                                      {"timer_resolution_s", e.timer.resolution_s},
                                      {"thread_cpus", e.thread_cpus}};
    return json.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace);
}

void check_threads(int threads, int allowed_cpus, bool oversubscribe_allowed, const Launch& launch) {
    WB_EXPECT(threads >= 1 && allowed_cpus >= 0 && launch.ranks >= 1 && launch.nodes >= 1);
    if (threads <= allowed_cpus || oversubscribe_allowed) return;
    const int per_node = (launch.ranks + launch.nodes - 1) / launch.nodes;
    const std::string line = fmt::format(
        "mpirun -np {0} --map-by ppr:{1}:node:PE={2} --bind-to core --report-bindings -x OMP_NUM_THREADS={2} "
        "-x OMP_PLACES=cores -x OMP_PROC_BIND=close {3}",
        launch.ranks, per_node, threads, launch.program);
    throw Error({"thread placement",
                 fmt::format("{} thread{} but {} allowed CPU{}", threads, threads == 1 ? "" : "s", allowed_cpus,
                             allowed_cpus == 1 ? "" : "s"),
                 "threads would take turns on a CPU and times measure the scheduler; Open MPI binds up to two ranks to "
                 "one core each unless told otherwise",
                 fmt::format("Use OMP_NUM_THREADS={}, or start with: {}", std::max(1, allowed_cpus), line)},
                Exit::environment);
}

}  // namespace wb
