#include "tests/cli/sandbox.hpp"

#include <doctest/doctest.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <stdexcept>

#include "harness/environment.hpp"
#include "harness/host.hpp"
#include "harness/journal.hpp"
#include "harness/result.hpp"
#include "tests/host_toml.hpp"

namespace cli {
namespace {

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

std::string slurp(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
}

void spill(const fs::path& path, const std::string& bytes) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    if (!out.flush()) throw std::runtime_error("cannot write " + path.string());
}

void Child::send(int signal) const { ::kill(pid_, signal); }

Outcome Child::wait() {
    int status = 0;
    rusage use{};
    while (::wait4(pid_, &status, 0, &use) < 0 && errno == EINTR) {
    }
    Outcome o;
    o.wall_s = now_s() - begin_s_;
    o.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    const auto seconds = [](const timeval& t) {
        return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
    };
    o.cpu_s = seconds(use.ru_utime) + seconds(use.ru_stime);
    o.rss_bytes = 1024.0 * static_cast<double>(use.ru_maxrss);
    o.out = slurp(out_);
    o.err = slurp(err_);
    return o;
}

Sandbox::Sandbox() {
    std::string pattern = (fs::temp_directory_path() / "wb_cli_XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
    fs::permissions(path_, fs::perms::all);
    fs::create_directories(path_ / "cache/waferbench");
    fs::create_directories(path_ / "work");
    const fs::path cached = wb::host_cache_file(static_cast<int>(wb::allowed_cpus().size()));
    spill(path_ / "cache/waferbench" / cached.filename(), host_toml);
    path_ /= "work";
    fs::permissions(path_, fs::perms::all);
}

Sandbox::~Sandbox() {
    std::error_code ignored;
    fs::remove_all(path_.parent_path(), ignored);
}

void Sandbox::write(const std::string& name, const std::string& text) const {
    fs::create_directories((path_ / name).parent_path());
    spill(path_ / name, text);
}

std::string Sandbox::read(const std::string& name) const { return slurp(path_ / name); }

Child Sandbox::start(const std::vector<std::string>& arguments, const std::function<void()>& in_child) const {
    const fs::path out = path_.parent_path() / fmt::format("out.{}", calls_),
                   err = path_.parent_path() / fmt::format("err.{}", calls_);
    ++calls_;
    const double begin_s = now_s();
    const pid_t pid = ::fork();
    if (pid < 0) throw std::runtime_error("cannot fork");
    if (pid > 0) return {pid, out, err, begin_s};
    ::dup2(::open(out.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666), 1);
    ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0666), 2);
    if (::chdir(path_.c_str()) != 0) ::_exit(126);
    ::setenv("XDG_CACHE_HOME", (path_.parent_path() / "cache").c_str(), 1);
    for (const auto& [name, value] : environment) ::setenv(name.c_str(), value.c_str(), 1);
    if (in_child) in_child();
    std::vector<char*> argv{const_cast<char*>(WB_BINARY)};
    for (const std::string& a : arguments) argv.push_back(const_cast<char*>(a.c_str()));
    argv.push_back(nullptr);
    ::execv(WB_BINARY, argv.data());
    ::_exit(127);
}

Outcome Sandbox::run(const std::vector<std::string>& arguments, const std::function<void()>& in_child) const {
    return start(arguments, in_child).wait();
}

std::string small_experiment() {
    return R"([protocol]
min_time = "0"
[[workload]]
use = "gemm"
m = [32, 64]
n = 32
k = 32
dtype = "f32"
[[system]]
use = "h100-sxm"
backends = ["fake", "roofline"]
)";
}

std::string slow_experiment(int cases) {
    return fmt::format(R"toml(seed = 1905
[protocol]
warmup = 0
min_time = "0"
min_samples = 1
max_samples = 1
verify = false
[[workload]]
use = "gemm"
m = "range(1, {})"
n = 32
k = 32
dtype = "f32"
[[system]]
use = "h100-sxm"
backends = ["fake"]
)toml",
                       cases);
}

std::map<std::string, std::string> finished_cases(const fs::path& journal) {
    std::map<std::string, std::string> out;
    for (const wb::Result& r : wb::from_records(wb::read_journal(journal).payloads, journal.string()).results)
        if (r.m.status == wb::Status::ok || r.m.status == wb::Status::skipped) out[r.key] = wb::to_record(r);
    return out;
}

}  // namespace cli

TEST_CASE("help names every exit code and every verb; the version is one line") {
    const cli::Sandbox box;
    const cli::Outcome help = box.run({"--help"});
    CHECK(help.code == 0);
    for (const char* code : {"0 ok", "1 usage", "2 regression", "3 a case failed", "4 inconclusive", "5 baseline",
                             "6 environment", "7 results", "75 stopped", "124 budget", "130 interrupted"})
        CHECK_MESSAGE(help.out.find(code) != std::string::npos, code);
    for (const char* verb : {"run", "plan", "list", "describe", "show", "check", "compare", "rebuild"})
        CHECK_MESSAGE(help.out.find(std::string("\n  ") + verb + " ") != std::string::npos, verb);
    const cli::Outcome version = box.run({"--version"});
    CHECK(version.code == 0);
    CHECK(version.out.starts_with("waferbench "));
    CHECK(std::count(version.out.begin(), version.out.end(), '\n') == 1);
}
