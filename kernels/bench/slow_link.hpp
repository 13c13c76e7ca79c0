#pragma once

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/comm.hpp"
#include "core/element.hpp"

namespace wb {

/// Ranks whose sums go over a link that moves them without the processor, one after the other, as a network card does:
/// not done before so many seconds after their beginning. Everything else is the ranks' own.
class SlowLink final : public Comm {
public:
    SlowLink(Comm& inner, double byte_per_s) : inner_(inner), byte_per_s_(byte_per_s) {}

    int rank() const override { return inner_.rank(); }
    int size() const override { return inner_.size(); }
    std::string library() const override { return inner_.library(); }
    void barrier() override { inner_.barrier(); }
    void allreduce(const void* in, void* out, std::int64_t n, DType type) override {
        inner_.allreduce(in, out, n, type);
        sleep_until(arrival(n, type));
    }
    std::unique_ptr<Pending> start_allreduce(const void* in, void* out, std::int64_t n, DType type) override {
        const auto ready = arrival(n, type);
        return std::make_unique<OnItsWay>(*this, inner_.start_allreduce(in, out, n, type), ready);
    }
    void allgather(const void* in, void* out, std::int64_t n, DType t) override { inner_.allgather(in, out, n, t); }
    void reduce_scatter(const void* in, void* out, std::int64_t n, DType t) override {
        inner_.reduce_scatter(in, out, n, t);
    }
    void alltoall(const void* in, void* out, std::int64_t n, DType t) override { inner_.alltoall(in, out, n, t); }
    void broadcast(void* buffer, std::int64_t n, DType t, int root) override { inner_.broadcast(buffer, n, t, root); }
    void shift(const void* in, void* out, std::int64_t n, DType t) override { inner_.shift(in, out, n, t); }
    double max(double value) override { return inner_.max(value); }
    std::vector<std::vector<double>> gather(std::span<const double> mine) override { return inner_.gather(mine); }
    std::vector<std::string> gather(const std::string& mine) override { return inner_.gather(mine); }
    std::vector<std::string> deliver(const std::vector<std::string>& each) override { return inner_.deliver(each); }
    std::string share(const std::string& mine) override { return inner_.share(mine); }
    /// Seconds spent waiting for the link alone, not for another rank.
    double waited_s() const { return waited_s_; }
    [[noreturn]] void end_job(int code) override {
        inner_.end_job(code);
        std::_Exit(code);
    }

private:
    using Clock = std::chrono::steady_clock;
    class OnItsWay final : public Pending {
    public:
        OnItsWay(SlowLink& link, std::unique_ptr<Pending> inner, Clock::time_point ready)
            : link_(link), inner_(std::move(inner)), ready_(ready) {}
        bool test() override { return inner_->test() && Clock::now() >= ready_; }
        void wait() override {
            inner_->wait();
            link_.sleep_until(ready_);
        }

    private:
        SlowLink& link_;
        std::unique_ptr<Pending> inner_;
        Clock::time_point ready_;
    };

    void sleep_until(Clock::time_point ready) {
        const auto left = ready - Clock::now();
        if (left <= Clock::duration::zero()) return;
        waited_s_ += std::chrono::duration<double>(left).count();
        std::this_thread::sleep_until(ready);
    }
    /// What a rank sends of a sum of n elements: a reduce-scatter and an allgather.
    Clock::time_point arrival(std::int64_t n, DType type) {
        const double bytes = 2.0 * (size() - 1) / size() * static_cast<double>(n * stored_bytes(type));
        free_ = std::max(free_, Clock::now()) +
                std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(bytes / byte_per_s_));
        return free_;
    }

    Comm& inner_;
    double byte_per_s_, waited_s_ = 0;
    Clock::time_point free_{};
};

}  // namespace wb
