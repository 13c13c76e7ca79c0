#include "kernels/cpu/counter.hpp"

#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>

namespace wb::cpu {
namespace {

constexpr double line = 64;  // bytes, on every x86-64 and nearly every 64-bit Arm; where sysconf does not say

/// What a read of one descriptor yields with the format asked for below.
struct Reading {
    std::uint64_t value = 0, enabled = 0, running = 0;
};

perf_event_attr attributes(std::uint32_t type, std::uint64_t event) {
    perf_event_attr a{};
    a.size = sizeof a;
    a.type = type;
    a.config = event;
    a.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
    a.inherit = 1;
    a.exclude_kernel = a.exclude_hv = 1;  // allowed to all up to perf_event_paranoid = 2
    return a;
}

std::vector<pid_t> threads_of_process() {
    std::vector<pid_t> out;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/task", ignored)) {
        const std::string name = entry.path().filename();
        pid_t id = 0;
        if (std::from_chars(name.data(), name.data() + name.size(), id).ec == std::errc()) out.push_back(id);
    }
    return out;
}

}  // namespace

EventCounter::EventCounter(std::uint32_t type, std::uint64_t event) {
    perf_event_attr a = attributes(type, event);
    for (const pid_t thread : threads_of_process()) {
        const auto opened = static_cast<int>(syscall(SYS_perf_event_open, &a, thread, -1, -1, PERF_FLAG_FD_CLOEXEC));
        if (opened >= 0) threads_.push_back(opened);
    }
}

EventCounter::~EventCounter() {
    for (const int thread : threads_) close(thread);
}

std::optional<double> EventCounter::read() const {
    if (threads_.empty()) return {};
    double sum = 0;
    for (const int thread : threads_) {
        Reading r;
        if (::read(thread, &r, sizeof r) != sizeof r) return {};
        if (r.running > 0)
            sum += static_cast<double>(r.value) * (static_cast<double>(r.enabled) / static_cast<double>(r.running));
    }
    return sum;
}

MissCounter::MissCounter() : misses_(PERF_TYPE_HARDWARE, PERF_COUNT_HW_CACHE_MISSES) {}

std::optional<Bytes> MissCounter::read() const {
    const std::optional<double> count = misses_.read();
    if (!count) return {};
    const long told = sysconf(_SC_LEVEL1_DCACHE_LINESIZE);
    return Bytes(*count * (told > 0 ? static_cast<double>(told) : line));
}

}  // namespace wb::cpu
