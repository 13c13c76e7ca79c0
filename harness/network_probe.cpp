#include "harness/network_probe.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <functional>
#include <memory>

#include "core/error.hpp"

namespace wb {
namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

constexpr int window = 16;            // messages under way; OSU has 64, which need more memory than caches hold
constexpr double eager_bytes = 4096;  // overheads are asked of messages no library makes wait
constexpr double piece_s = 1e-3;      // of one round of one point
constexpr int most_rounds = 60, fewest_rounds = 2;

/// Of equal work in seconds: the lower quartile, for whatever else the machine does only adds to some of them.
double undisturbed(std::vector<double> seconds) {
    WB_EXPECT(!seconds.empty());
    const auto at = seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 4);
    std::nth_element(seconds.begin(), at, seconds.end());
    return *at;
}

/// Runs the patterns; a body does `repeats` of its pattern and returns this rank's seconds of one.
class Probe {
public:
    Probe(Comm& comm, double largest_bytes)
        : comm_(comm),
          largest_bytes_(largest_bytes),
          in_(floats(largest_bytes) * window),
          out_(in_.size()),
          add_(floats(largest_bytes)),
          fresh_(add_.size()) {
        define();
    }

    NetworkFigures run(double budget_s) {
        const auto start = Clock::now();
        for (Pattern& p : patterns_) p.repeats = calibrated(p);
        for (int round = 0; round < most_rounds; ++round) {
            const bool late = comm_.max(since(start)) > budget_s;
            if (late && round >= fewest_rounds) break;
            for (Pattern& p : patterns_) {
                comm_.barrier();
                p.point.rounds_s.push_back(comm_.max(p.body(p.repeats)));
            }
        }
        NetworkFigures out{comm_.size(), comm_.library(), {}};
        for (Pattern& p : patterns_) out.points.push_back(std::move(p.point));
        return out;
    }

private:
    struct Pattern {
        NetworkPoint point;
        std::function<double(int)> body;
        int repeats = 1;
    };
    static std::size_t floats(double bytes) { return static_cast<std::size_t>(bytes / sizeof(float)); }

    int calibrated(const Pattern& p) {
        p.body(2);  // nothing is warm at first
        const double once = comm_.max(p.body(5));
        return static_cast<int>(std::clamp(piece_s / std::max(once, 1e-9), 1.0, 200.0));
    }

    void define() {
        for (double bytes = 8; bytes <= largest_bytes_; bytes *= 2) define_messages(bytes);
        for (double bytes = 8; bytes <= largest_bytes_; bytes *= 4) define_collectives(bytes);
        add("barrier", 0, timed([this] { comm_.barrier(); }));
    }

    void define_messages(double bytes) {
        const auto n = static_cast<std::int64_t>(floats(bytes));
        add("latency", bytes, [this, n](int repeats) { return ping_pong(n, repeats); });
        add("one_way", bytes, timed([this, n] {
                if (partner() < 0) return;
                first() ? send(n) : receive(n);
            }));
        add("exchange", bytes, timed([this, n] { comm_.shift(in_.data(), out_.data(), n, DType::f32); }));
        add("bandwidth", bytes, [this, n](int repeats) { return stream(n, false, repeats); });
        add("bidirectional", bytes, [this, n](int repeats) { return stream(n, true, repeats); });
        if (bytes <= eager_bytes) {
            add("send_overhead", bytes, [this, n](int repeats) { return overhead(n, true, repeats); });
            add("receive_overhead", bytes, [this, n](int repeats) { return overhead(n, false, repeats); });
        }
        add("add", bytes, timed([this, n] {
                float* const to = add_.data();
                const float* const from = out_.data();
                for (std::int64_t i = 0; i < n; ++i) to[i] += from[i];
            }));
        add("copy", bytes,
            timed([this, bytes] { std::memcpy(out_.data(), in_.data(), static_cast<std::size_t>(bytes)); }));
        // What sums are made of: written by one rank, read by another, written again.
        const auto write = [this, bytes] { std::memcpy(fresh_.data(), in_.data(), static_cast<std::size_t>(bytes)); };
        const auto hand_over = [this, n] { comm_.shift(fresh_.data(), out_.data(), n, DType::f32); };
        add("fresh_exchange", bytes, timed(hand_over, write));
        add("fresh_copy", bytes, timed(write, hand_over));
    }

    void define_collectives(double bytes) {
        const auto n = static_cast<std::int64_t>(floats(bytes)), each = n / comm_.size();
        const float* const in = in_.data();
        float* const out = out_.data();
        const DType t = DType::f32;
        add("allreduce", bytes, timed([=, this] { comm_.allreduce(in, out, n, t); }));
        add("broadcast", bytes, timed([=, this] { comm_.broadcast(out, n, t, 0); }));
        if (each == 0) return;
        add("allgather", bytes, timed([=, this] { comm_.allgather(in, out, each, t); }));
        add("reduce_scatter", bytes, timed([=, this] { comm_.reduce_scatter(in, out, each, t); }));
        add("alltoall", bytes, timed([=, this] { comm_.alltoall(in, out, each, t); }));
    }

    void add(const char* pattern, double bytes, std::function<double(int)> body) {
        patterns_.push_back({{pattern, bytes, {}}, std::move(body), 1});
    }

    /// Each repeat begins together and is timed alone, as OSU times collectives; `before` it comes what is not timed.
    std::function<double(int)> timed(
        const std::function<void()>& call, const std::function<void()>& before = [] {}) {
        return [this, call, before](int repeats) {
            std::vector<double> each;
            for (int i = 0; i < repeats; ++i) {
                before();
                comm_.barrier();
                const auto start = Clock::now();
                call();
                each.push_back(since(start));
            }
            return undisturbed(std::move(each));
        };
    }

    /// Neighbours 0-1, 2-3, ...; -1 for a last one without.
    int partner() const {
        const int other = comm_.rank() ^ 1;
        return other < comm_.size() ? other : -1;
    }
    bool first() const { return comm_.rank() % 2 == 0; }
    void send(std::int64_t n) { comm_.start_send(in_.data(), n, DType::f32, partner())->wait(); }
    void receive(std::int64_t n) { comm_.start_receive(out_.data(), n, DType::f32, partner())->wait(); }

    double ping_pong(std::int64_t n, int repeats) {
        if (partner() < 0) return 0;
        std::vector<double> each;
        for (int i = 0; i < repeats; ++i) {
            const auto start = Clock::now();
            if (first()) send(n);
            receive(n);
            if (!first()) send(n);
            each.push_back(since(start) / 2);
        }
        return undisturbed(std::move(each));
    }

    double stream(std::int64_t n, bool both, int repeats) {
        if (partner() < 0) return 0;
        std::vector<std::unique_ptr<Pending>> pending;
        std::vector<double> each;
        for (int i = 0; i < repeats; ++i) {
            const auto start = Clock::now();
            for (std::int64_t k = 0; k < window; ++k) {
                if (both || !first())
                    pending.push_back(comm_.start_receive(out_.data() + k * n, n, DType::f32, partner()));
                if (both || first()) pending.push_back(comm_.start_send(in_.data() + k * n, n, DType::f32, partner()));
            }
            for (const auto& p : pending) p->wait();
            pending.clear();
            if (first()) receive(1);  // the window has arrived
            if (!first()) send(1);
            each.push_back(since(start) / window);
        }
        return undisturbed(std::move(each));
    }

    /// Of the sender: until its buffer is free again. Of the receiver: of a message that is already there, for it asks
    /// late; it works meanwhile, as a rank that computes would.
    double overhead(std::int64_t n, bool of_sender, int repeats) {
        if (partner() < 0) return 0;
        std::vector<double> each{0};
        for (int i = 0; i < repeats; ++i) {
            if (first()) {
                receive(1);
                const auto start = Clock::now();
                send(n);
                if (of_sender) each.push_back(since(start));
                continue;
            }
            send(1);
            const auto asked = Clock::now();
            while (since(asked) < late_s) {
            }
            const auto start = Clock::now();
            receive(n);
            if (!of_sender) each.push_back(since(start));
        }
        if (each.size() > 1) each.erase(each.begin());
        return undisturbed(std::move(each));
    }

    static constexpr double late_s = 30e-6;
    Comm& comm_;
    double largest_bytes_;
    std::vector<float> in_, out_, add_, fresh_;
    std::vector<Pattern> patterns_;
};

}  // namespace

double NetworkPoint::seconds() const {
    WB_EXPECT(!rounds_s.empty());
    return *std::min_element(rounds_s.begin(), rounds_s.end());
}

double NetworkFigures::at(const std::string& pattern, double bytes) const {
    for (const NetworkPoint& p : points)
        if (p.pattern == pattern && p.bytes == bytes) return p.seconds();
    throw ContractError("no such point of the network was measured");
}

std::vector<double> NetworkFigures::sizes(const std::string& pattern) const {
    std::vector<double> out;
    for (const NetworkPoint& p : points)
        if (p.pattern == pattern) out.push_back(p.bytes);
    return out;
}

NetworkFigures probe_network(Comm& comm, double budget_s, double largest_bytes) {
    WB_EXPECT(comm.size() >= 2 && largest_bytes >= eager_bytes);
    return Probe(comm, largest_bytes).run(budget_s);
}

}  // namespace wb
