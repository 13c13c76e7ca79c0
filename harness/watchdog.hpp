#pragma once

#include <condition_variable>
#include <functional>
#include <mutex>
#include <string>
#include <thread>

namespace wb {

/// Ends what never returns: a rank that waits for one that failed inside a message, a library that hangs. Not for
/// timing.
class Watchdog {
public:
    /// `bite` is called once, on a thread of its own, with what was being watched; it should end the process.
    explicit Watchdog(std::function<void(const std::string& what, double limit_s)> bite);
    ~Watchdog();
    Watchdog(const Watchdog&) = delete;
    Watchdog& operator=(const Watchdog&) = delete;

    /// From now on `what` may take that long; replaces what was watched before.
    void watch(std::string what, double limit_s);
    void rest();

private:
    void guard();

    std::function<void(const std::string&, double)> bite_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::string what_;
    double limit_s_ = 0;  // 0: nothing is watched
    unsigned turn_ = 0;   // counts what was watched, so that an old limit cannot hit a new case
    bool leaving_ = false;
    std::thread thread_;
};

}  // namespace wb
