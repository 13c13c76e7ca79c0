#include "harness/host.hpp"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <set>

#include "core/error.hpp"
#include "harness/environment.hpp"
#include "harness/host_probe.hpp"
#include "harness/host_rates.hpp"

namespace wb {
namespace {

namespace fs = std::filesystem;

constexpr int probe_version = 3;  // what an older probe stored lacks figures, or was seen with slower libraries

std::string today() {
    const std::time_t t = std::time(nullptr);
    std::tm parts{};
    gmtime_r(&t, &parts);
    return fmt::format("{:%Y-%m-%d}", parts);
}

/// Runs `waferbench probe` in a process of its own: the measurement needs all CPUs of the job, whatever this rank is
/// bound to.
std::string measure(const std::vector<int>& cpus) {
    cpu_set_t all, mine;
    CPU_ZERO(&all);
    for (int c : cpus) CPU_SET(c, &all);
    sched_getaffinity(0, sizeof mine, &mine);
    sched_setaffinity(0, sizeof all, &all);
    const std::string exe = fs::read_symlink("/proc/self/exe").string();
    const std::string command =
        fmt::format("env -u OMP_NUM_THREADS -u OMP_PLACES -u OMP_PROC_BIND '{}' probe {}", exe, cpus.size());
    std::string out;
    FILE* pipe = popen(command.c_str(), "r");
    if (pipe) {
        std::array<char, 4096> buffer;
        while (const std::size_t n = fread(buffer.data(), 1, buffer.size(), pipe)) out.append(buffer.data(), n);
    }
    const int code = pipe ? pclose(pipe) : -1;
    sched_setaffinity(0, sizeof mine, &mine);
    if (code != 0)
        throw Error({"host", "this machine could not be measured", "its bound needs its clock and bandwidths",
                     "Give a configs/systems/host.toml."},
                    Exit::environment);
    return out;
}

std::vector<int> cpus_of_job(Comm& comm) {
    std::string mine;
    for (int c : allowed_cpus()) mine += fmt::format("{} ", c);
    std::set<int> all;
    std::string joined;
    for (const std::string& s : comm.gather(mine)) joined += s;
    joined = comm.share(joined);
    for (std::size_t at = 0; at < joined.size();) {
        const std::size_t end = joined.find(' ', at);
        all.insert(std::stoi(joined.substr(at, end - at)));
        at = end + 1;
    }
    return {all.begin(), all.end()};
}

std::string read_file(const std::string& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

/// Whole or not at all; a folder that cannot be written costs a measurement each time, no more.
void store(const std::string& path, const std::string& text) {
    std::error_code ignored;
    fs::create_directories(fs::path(path).parent_path(), ignored);
    const std::string aside = fmt::format("{}.{}", path, getpid());
    std::ofstream(aside, std::ios::binary) << text;
    fs::rename(aside, path, ignored);
}

/// What messages between the ranks of this job reach, measured once for each number of them. Collective.
std::string messages(Comm& comm, const std::string& host_file, bool measure_again) {
    if (comm.size() < 2) return "";
    const std::string path = fs::path(host_file).replace_extension(fmt::format(".{}ranks.toml", comm.size())).string();
    std::string text = comm.share(comm.rank() == 0 && !measure_again ? read_file(path) : "");
    if (!text.empty()) return text;
    text = message_rates(comm, today());
    if (comm.rank() == 0) store(path, text);
    return text;
}

}  // namespace

std::string host_cache_file(int cpus) {
    const char* cache = std::getenv("XDG_CACHE_HOME");
    const char* home = std::getenv("HOME");
    const fs::path root = cache && *cache ? fs::path(cache)
                          : home && *home ? fs::path(home) / ".cache"
                                          : fs::temp_directory_path();
    std::array<char, 256> host{};
    gethostname(host.data(), host.size() - 1);
    return (root / "waferbench" / fmt::format("host-{}-{}cpus-{}.toml", host.data(), cpus, probe_version)).string();
}

int job_cpus(Comm& comm) { return static_cast<int>(cpus_of_job(comm).size()); }

std::shared_ptr<const System> host_system(const Files& files, Comm& comm,
                                          const std::map<std::string, std::string>& choices, bool measure_again) {
    const std::vector<int> cpus = cpus_of_job(comm);
    std::string text, path, problem;
    if (comm.rank() == 0) {
        try {
            path = files.find("systems/host.toml");
            if (path.empty()) path = host_cache_file(static_cast<int>(cpus.size()));
            text = measure_again ? "" : read_file(path);
            if (text.empty()) {
                fmt::print(stderr, "Measuring this host once ({} cores, some ten seconds) ...\n", cpus.size());
                text = measure(cpus);
                store(path, text);
            }
        } catch (const Error& e) {
            problem = e.what();
        }
    }
    problem = comm.share(problem);
    if (!problem.empty()) throw Error({"host", problem, "", ""}, Exit::environment);
    text = comm.share(text);
    path = comm.share(path);
    if (text.rfind("\n[") == text.rfind("\n[measured]\n")) text += messages(comm, path, measure_again);
    return std::make_shared<const System>(parse_system(text, path, "host", choices));
}

int probe_main(int cpus) {
    std::string text = probe_host(cpus, today());  // ends with the block that the rest belongs to
    const System host = parse_system(text, "probe", "host");
    text += product_rates(host, cpus);
    text += storage_rates(fs::current_path().string());
    std::fputs(text.c_str(), stdout);
    return 0;
}

}  // namespace wb
