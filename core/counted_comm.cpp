#include "core/counted_comm.hpp"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <utility>

#include "core/element.hpp"

namespace wb {
namespace {

using Clock = std::chrono::steady_clock;

Seconds since(Clock::time_point start) { return Seconds(std::chrono::duration<double>(Clock::now() - start).count()); }

class CountedPending final : public Pending {
public:
    CountedPending(std::unique_ptr<Pending> inner, CommLedger& ledger, std::string_view operation, Bytes bytes,
                   Clock::time_point start)
        : inner_(std::move(inner)),
          ledger_(ledger),
          operation_(operation),
          bytes_(bytes),
          start_(start),
          exposed_(since(start)) {}
    ~CountedPending() override { wait(); }
    bool test() override {
        if (done_) return true;
        const auto begin = Clock::now();
        const bool done = inner_->test();
        exposed_ += since(begin);
        if (done) book();
        return done;
    }
    void wait() override {
        if (done_) return;
        const auto begin = Clock::now();
        inner_->wait();
        exposed_ += since(begin);
        book();
    }

private:
    void book() {
        done_ = true;
        ledger_.add(operation_, bytes_, since(start_), exposed_);
    }
    std::unique_ptr<Pending> inner_;
    CommLedger& ledger_;
    std::string_view operation_;
    Bytes bytes_;
    Clock::time_point start_;
    Seconds exposed_;
    bool done_ = false;
};

class CountedComm final : public Comm {
public:
    CountedComm(Comm& inner, CommLedger& ledger) : inner_(inner), ledger_(ledger) {}
    CountedComm(std::unique_ptr<Comm> own, CommLedger& ledger) : own_(std::move(own)), inner_(*own_), ledger_(ledger) {}

    int rank() const override { return inner_.rank(); }
    int size() const override { return inner_.size(); }
    std::string library() const override { return inner_.library(); }
    bool takes_device_memory() const override { return inner_.takes_device_memory(); }
    void barrier() override {
        book("barrier", 0, DType::int8, [&] { inner_.barrier(); });
    }
    void allreduce(const void* in, void* out, std::int64_t n, DType type) override {
        book("allreduce", n, type, [&] { inner_.allreduce(in, out, n, type); });
    }
    void allgather(const void* in, void* out, std::int64_t n, DType type) override {
        book("allgather", n, type, [&] { inner_.allgather(in, out, n, type); });
    }
    void reduce_scatter(const void* in, void* out, std::int64_t n, DType type) override {
        book("reduce_scatter", n * size(), type, [&] { inner_.reduce_scatter(in, out, n, type); });
    }
    void alltoall(const void* in, void* out, std::int64_t n, DType type) override {
        book("alltoall", n * size(), type, [&] { inner_.alltoall(in, out, n, type); });
    }
    void broadcast(void* buffer, std::int64_t n, DType type, int root) override {
        book("broadcast", n, type, [&] { inner_.broadcast(buffer, n, type, root); });
    }
    void shift(const void* in, void* out, std::int64_t n, DType type) override {
        book("send_recv", n, type, [&] { inner_.shift(in, out, n, type); });
    }
    std::unique_ptr<Comm> split(int colour, int key) override {
        return std::make_unique<CountedComm>(inner_.split(colour, key), ledger_);
    }
    void reduce(const void* in, void* out, std::int64_t n, DType type, int root) override {
        book("reduce", n, type, [&] { inner_.reduce(in, out, n, type, root); });
    }
    std::unique_ptr<Pending> start_send(const void* in, std::int64_t n, DType type, int to) override {
        return begin("send_recv", n, type, [&] { return inner_.start_send(in, n, type, to); });
    }
    std::unique_ptr<Pending> start_receive(void* out, std::int64_t n, DType type, int from) override {
        return begin("receive", 0, type, [&] { return inner_.start_receive(out, n, type, from); });
    }
    std::unique_ptr<Pending> start_broadcast(void* buffer, std::int64_t n, DType type, int root) override {
        return begin("broadcast", n, type, [&] { return inner_.start_broadcast(buffer, n, type, root); });
    }
    std::unique_ptr<Pending> start_allreduce(const void* in, void* out, std::int64_t n, DType type) override {
        return begin("allreduce", n, type, [&] { return inner_.start_allreduce(in, out, n, type); });
    }
    std::unique_ptr<Pending> start_barrier() override {
        return begin("barrier", 0, DType::int8, [&] { return inner_.start_barrier(); });
    }
    double max(double value) override { return inner_.max(value); }
    std::vector<std::vector<double>> gather(std::span<const double> mine) override { return inner_.gather(mine); }
    std::vector<std::string> gather(const std::string& mine) override { return inner_.gather(mine); }
    std::vector<std::string> deliver(const std::vector<std::string>& to_each) override {
        return inner_.deliver(to_each);
    }
    std::string share(const std::string& mine) override { return inner_.share(mine); }
    [[noreturn]] void end_job(int code) override {
        inner_.end_job(code);
        std::_Exit(code);
    }

private:
    static Bytes size_of(std::int64_t n, DType type) { return Bytes(static_cast<double>(n * stored_bytes(type))); }
    template <class Call>
    void book(std::string_view operation, std::int64_t n, DType type, const Call& call) {
        const auto start = Clock::now();
        call();
        const Seconds time = since(start);
        ledger_.add(operation, size_of(n, type), time, time);
    }
    template <class Call>
    std::unique_ptr<Pending> begin(std::string_view operation, std::int64_t n, DType type, const Call& call) {
        const auto start = Clock::now();
        auto inner = call();
        return std::make_unique<CountedPending>(std::move(inner), ledger_, operation, size_of(n, type), start);
    }
    std::unique_ptr<Comm> own_;
    Comm& inner_;
    CommLedger& ledger_;
};

}  // namespace

void CommLedger::add(std::string_view operation, Bytes bytes, Seconds time, Seconds exposed) {
    auto at = std::lower_bound(uses_.begin(), uses_.end(), operation,
                               [](const CommUse& use, std::string_view name) { return use.operation < name; });
    if (at == uses_.end() || at->operation != operation) {
        at = uses_.insert(at, CommUse{});
        at->operation = operation;
    }
    ++at->calls;
    at->bytes += bytes;
    at->time += time;
    at->exposed += exposed;
}

Seconds CommLedger::time() const {
    Seconds sum{};
    for (const CommUse& use : uses_) sum += use.time;
    return sum;
}

Seconds CommLedger::exposed() const {
    Seconds sum{};
    for (const CommUse& use : uses_) sum += use.exposed;
    return sum;
}

std::unique_ptr<Comm> counted(Comm& ranks, CommLedger& ledger) { return std::make_unique<CountedComm>(ranks, ledger); }

}  // namespace wb
