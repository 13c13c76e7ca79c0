#include "harness/watchdog.hpp"

#include <chrono>
#include <utility>

namespace wb {

Watchdog::Watchdog(std::function<void(const std::string&, double)> bite)
    : bite_(std::move(bite)), thread_([this] { guard(); }) {}

Watchdog::~Watchdog() {
    {
        const std::lock_guard lock(mutex_);
        leaving_ = true;
    }
    changed_.notify_all();
    thread_.join();
}

void Watchdog::watch(std::string what, double limit_s) {
    {
        const std::lock_guard lock(mutex_);
        what_ = std::move(what);
        limit_s_ = limit_s;
        ++turn_;
    }
    changed_.notify_all();
}

void Watchdog::rest() { watch("", 0); }

void Watchdog::guard() {
    std::unique_lock lock(mutex_);
    while (!leaving_) {
        if (limit_s_ <= 0) {
            changed_.wait(lock);
            continue;
        }
        const unsigned turn = turn_;
        const auto over = [&] { return leaving_ || turn_ != turn; };
        if (changed_.wait_for(lock, std::chrono::duration<double>(limit_s_), over)) continue;
        const std::string what = what_;
        const double limit_s = limit_s_;
        limit_s_ = 0;
        lock.unlock();
        bite_(what, limit_s);
        lock.lock();
    }
}

}  // namespace wb
