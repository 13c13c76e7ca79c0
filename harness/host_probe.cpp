#include "harness/host_probe.hpp"

#include <fmt/format.h>
#include <hwloc.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <limits>
#include <memory>
#include <sstream>
#include <vector>

#include "core/error.hpp"
#include "harness/environment.hpp"
#include "harness/host_bandwidth.hpp"
#include "harness/host_loops.hpp"

namespace wb {
namespace {

struct Cache {
    int level;
    double bytes;   ///< one instance
    int instances;  ///< those that the CPUs used can reach
};

struct Topology {
    std::string version;
    int sockets = 0, cores = 0, numa_nodes = 0;
    std::vector<Cache> caches;  ///< data and unified, from the core outwards
};

Topology topology_of(const std::vector<int>& cpus) {
    hwloc_topology_t raw = nullptr;
    if (hwloc_topology_init(&raw) != 0 || hwloc_topology_load(raw) != 0) {
        if (raw) hwloc_topology_destroy(raw);
        throw Error({"host probe", "hwloc cannot read this machine's topology", "", "Check that /sys is mounted."},
                    Exit::environment);
    }
    const std::unique_ptr<hwloc_topology, decltype(&hwloc_topology_destroy)> owner(raw, &hwloc_topology_destroy);
    const std::unique_ptr<hwloc_bitmap_s, decltype(&hwloc_bitmap_free)> used(hwloc_bitmap_alloc(), &hwloc_bitmap_free);
    for (int cpu : cpus) hwloc_bitmap_set(used.get(), static_cast<unsigned>(cpu));
    const auto count = [&](hwloc_obj_type_t type, double* bytes = nullptr) {
        int n = 0;
        for (hwloc_obj_t o = nullptr; (o = hwloc_get_next_obj_by_type(raw, type, o));) {
            if (!o->cpuset || !hwloc_bitmap_intersects(o->cpuset, used.get())) continue;
            ++n;
            if (bytes) *bytes = static_cast<double>(o->attr->cache.size);
        }
        return n;
    };
    Topology t;
    t.version = fmt::format("{}.{}", hwloc_get_api_version() >> 16, hwloc_get_api_version() >> 8 & 0xFF);
    t.sockets = std::max(1, count(HWLOC_OBJ_PACKAGE));
    t.cores = count(HWLOC_OBJ_CORE);
    if (t.cores == 0) t.cores = static_cast<int>(cpus.size());
    t.numa_nodes = std::max(1, count(HWLOC_OBJ_NUMANODE));
    int level = 0;
    for (hwloc_obj_type_t type : {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L2CACHE, HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L4CACHE}) {
        double bytes = 0;
        const int instances = count(type, &bytes);
        ++level;
        if (instances > 0 && bytes > 0) t.caches.push_back({level, bytes, instances});
    }
    return t;
}

struct Arithmetic {
    double clock_hz;
    int f64_lanes, units;        ///< per core
    double bf16_flop_per_cycle;  ///< 0: no such instruction
    std::string bf16_note;
    double f64() const { return 2.0 * f64_lanes * units; }
    double f32() const { return 2 * f64(); }
};

bool has_amx_bf16() {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);) {
        if (line.compare(0, 5, "flags") != 0) continue;
        std::istringstream words(line);
        for (std::string word; words >> word;)
            if (word == "amx_bf16") return true;
        return false;
    }
    return false;
}

Arithmetic measure_arithmetic(double listed_max_hz) {
    const VectorUnit unit = widest_vector_unit();
    const double chain = measured_core_clock_hz(9), rate = multiply_add_rate(unit, 9);
    Arithmetic a{};
    a.f64_lanes = register_bytes(unit) / 8;
    a.units = chain > 0 ? std::max(1, static_cast<int>(std::lround(rate / chain))) : 1;
    a.clock_hz = std::max({chain, rate / a.units, listed_max_hz});
    const double dots = bf16_dot_rate(9) / a.clock_hz;
    if (has_amx_bf16()) {
        a.bf16_flop_per_cycle = 1024;
        a.bf16_note = "AMX: TDPBF16PS does 16 x 16 x 32 multiply-adds in 16 cycles; documented, not measured";
    } else if (dots > 0) {
        const double own = 64 * std::max(0.5, std::round(2 * dots) / 2);
        a.bf16_flop_per_cycle = std::max(own, a.f32());
        a.bf16_note = fmt::format("vdpbf16ps measured at {:.2f} a cycle = {:.0f} FLOP/cycle{}", dots, own,
                                  own < a.f32() ? "; f32 is faster, so its rate is the bound" : "");
    }
    return a;
}

std::string in_quotes(const std::string& text) {
    std::string out = "\"";
    for (char c : text) {
        if (c == '"' || c == '\\') out += '\\';
        out += static_cast<unsigned char>(c) < 0x20 || c == 0x7F ? ' ' : c;
    }
    return out + "\"";
}

std::string quantity(const std::string& value, const std::string& source, const std::string& note = "") {
    return fmt::format("{{ value = {}, source = \"{}\"{} }}", in_quotes(value), source,
                       note.empty() ? "" : ", note = " + in_quotes(note));
}

/// Whole KiB, MiB or GiB, whichever is the largest that is exact; bytes of RAM to a tenth of a GiB, rounded down.
std::string size_text(double bytes) {
    if (bytes >= 0x1p30 && std::fmod(bytes, 0x1p30) != 0 && std::fmod(bytes, 0x1p20) != 0)
        return fmt::format("{:.1f} GiB", std::floor(bytes / 0x1p30 * 10) / 10);
    for (const auto& [unit, size] : {std::pair{"GiB", 0x1p30}, {"MiB", 0x1p20}, {"KiB", 0x1p10}})
        if (bytes >= size && std::fmod(bytes, size) == 0) return fmt::format("{:.0f} {}", bytes / size, unit);
    return fmt::format("{:.0f} B", bytes);
}

std::string rate_text(double per_s, const char* unit) {
    return per_s >= 1e12 ? fmt::format("{:.4g} T{}", per_s / 1e12, unit) : fmt::format("{:.4g} G{}", per_s / 1e9, unit);
}

std::string cpuinfo(const std::string& key) {
    std::ifstream file("/proc/cpuinfo");
    for (std::string line; std::getline(file, line);)
        if (line.compare(0, key.size(), key) == 0 && line.find(": ") != std::string::npos)
            return line.substr(line.find(": ") + 2);
    return "";
}

std::string vendor() {
    const std::string id = cpuinfo("vendor_id");
    return id == "GenuineIntel" ? "Intel" : id == "AuthenticAMD" ? "AMD" : id.empty() ? "unknown" : id;
}

const char* instruction_set(VectorUnit unit) {
    return unit == VectorUnit::avx512 ? "AVX-512" : unit == VectorUnit::avx2 ? "AVX2" : "128-bit vectors";
}

/// The load is that before the probe began its own.
std::string busy_note(const Environment& e) {
    if (e.load <= e.cpus_online / 2.0) return "";
    return fmt::format(" The machine was busy (load average {:.1f} on {} CPUs): bandwidths may be too low.", e.load,
                       e.cpus_online);
}

std::string head(const Topology& t, const Arithmetic& a, const Environment& e, int threads, const std::string& date) {
    const std::string model = e.cpu_model.empty() ? "unknown processor" : e.cpu_model;
    const auto plural = [](int n, const char* noun) { return fmt::format("{} {}{}", n, noun, n == 1 ? "" : "s"); };
    std::string out = fmt::format("title = {}\nvendor = {}\nkind = \"host\"\n", in_quotes(model), in_quotes(vendor()));
    out += "notes = " +
           in_quotes(fmt::format("{}, {}, {}; {} with {} a core (measured); probed with {}. Bandwidths are the best "
                                 "seen of several loops.",
                                 plural(t.sockets, "socket"), plural(t.cores, "core"),
                                 plural(t.numa_nodes, "NUMA node"), instruction_set(widest_vector_unit()),
                                 plural(a.units, "multiply-add unit"), plural(threads, "thread")) +
                     busy_note(e)) +
           "\n";
    out += fmt::format("\n[sources]\nhwloc = \"hwloc API {}, topology of the allowed CPUs\"\n", t.version);
    out += "kernel = \"Linux: /proc/meminfo and control groups\"\n";
    out += fmt::format("probe = {}\n", in_quotes(fmt::format("measured on this host, {}", date)));
    return out;
}

std::string unit_table(const Topology& t, const Arithmetic& a) {
    const auto peak = [&](const char* type, double flop_per_cycle, const std::string& note) {
        const std::string how =
            fmt::format("{} cores x {:.0f} FLOP/cycle x {:.3f} GHz", t.cores, flop_per_cycle, a.clock_hz / 1e9);
        return fmt::format("{} = {}\n", type,
                           quantity(rate_text(t.cores * flop_per_cycle * a.clock_hz, "FLOP/s"), "probe",
                                    note.empty() ? how : how + "; " + note));
    };
    std::string out = fmt::format(
        "\n[unit]\nname = \"host\"\nparts = {{ value = {}, of = \"core\", source = \"hwloc\" }}\n", t.cores);
    out += "clock = " + quantity(fmt::format("{:.0f} MHz", a.clock_hz / 1e6), "probe") + "\n\n[unit.peak]\n";
    out += peak("f64", a.f64(), "") + peak("f32", a.f32(), "");
    if (a.bf16_flop_per_cycle > 0) out += peak("bf16", a.bf16_flop_per_cycle, a.bf16_note);
    return out + "\n[unit.native]\n16-bit = \"bf16\"\n";
}

struct Level {
    std::string name, capacity;  ///< capacity as TOML
    Bandwidths seen;
    double bandwidth;
    std::string note;
};

std::string best_loop(const Bandwidths& b) {
    return b.best() == b.read ? "read" : b.best() == b.copy ? "copy" : "triad";
}

std::vector<Level> cache_levels(const Topology& t, const PinnedTeam& team) {
    std::vector<Level> levels;
    for (const Cache& cache : t.caches) {
        const std::string many = fmt::format("{} x {}", cache.instances, size_text(cache.bytes));
        const Bandwidths seen = cache_bandwidths(team, cache.bytes * cache.instances);
        levels.push_back({fmt::format("L{}", cache.level),
                          quantity(size_text(cache.bytes * cache.instances), "hwloc", many), seen, seen.best(),
                          best_loop(seen) + ", half of the level"});
    }
    return levels;
}

std::string memory_tables(std::vector<Level>& levels) {
    // What comes from further out passes the nearer levels, so none of them is slower; a disturbed loop may say so.
    for (std::size_t i = levels.size(); i-- > 1;) {
        if (levels[i - 1].bandwidth >= levels[i].bandwidth) continue;
        levels[i - 1].note = fmt::format("seen at {}; {}: {}", levels[i].name, levels[i - 1].note,
                                         rate_text(levels[i - 1].bandwidth, "B/s"));
        levels[i - 1].bandwidth = levels[i].bandwidth;
    }
    std::string out;
    for (const Level& level : levels)
        out += fmt::format("\n[[unit.memory]]\nname = \"{}\"\ncapacity = {}\nbandwidth = {}\n", level.name,
                           level.capacity, quantity(rate_text(level.bandwidth, "B/s"), "probe", level.note));
    return out;
}

std::string measured_table(const std::vector<Level>& levels, const TimerCost& timer, double launch_s) {
    std::string out = "\n[measured]\n";
    for (const Level& level : levels)
        for (const auto& [loop, rate] :
             {std::pair{"read", level.seen.read}, {"copy", level.seen.copy}, {"triad", level.seen.triad}})
            out += fmt::format("{}_{}_bandwidth = {}\n", level.name, loop,
                               quantity(rate_text(rate, "B/s"), "probe",
                                        fmt::format("arrays of {:.3g} MB", level.seen.array_bytes / 1e6)));
    out += fmt::format("parallel_launch = {}\n",
                       quantity(fmt::format("{:.3g} us", launch_s * 1e6), "probe", "an empty OpenMP region"));
    return out +
           fmt::format("timer_overhead = {}\n", quantity(fmt::format("{:.3g} ns", timer.overhead_s * 1e9), "probe"));
}

}  // namespace

std::string probe_host(int cpus, const std::string& date) {
    WB_EXPECT(cpus >= 1);
    std::vector<int> used = allowed_cpus();
    check_threads(cpus, static_cast<int>(used.size()), false);
    used.resize(static_cast<std::size_t>(cpus));
    const Environment e = take_environment(1);
    const Topology t = topology_of(used);
    const PinnedTeam team(used);
    const Arithmetic a = measure_arithmetic(e.max_frequency_hz.value_or(0));

    std::vector<Level> levels = cache_levels(t, team);
    const double limit = e.memory_limit_bytes.value_or(std::numeric_limits<double>::infinity());
    const Bandwidths memory = memory_bandwidths(team, std::min(e.memory_available_bytes, limit));
    const bool limited = limit < e.memory_total_bytes;
    levels.push_back({"DRAM",
                      quantity(size_text(std::min(e.memory_total_bytes, limit)), "kernel",
                               limited ? "limit of the control group" : "MemTotal"),
                      memory, memory.best(), best_loop(memory)});
    const std::string described = head(t, a, e, cpus, date) + unit_table(t, a) + memory_tables(levels);
    return described + measured_table(levels, e.timer, parallel_launch_s(team));
}

}  // namespace wb
