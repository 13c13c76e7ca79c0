#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <limits>
#include <stdexcept>
#include <thread>

#include "core/backend.hpp"
#include "core/element.hpp"
#include "core/fill.hpp"
#include "core/hash.hpp"

namespace wb {

std::unique_ptr<Backend> make_fake();

namespace {

/// What goes wrong on purpose, asked for by the last three digits of the case's seed.
enum class Fault : int {
    none = 0,
    prepare_throws = 901,
    run_throws = 902,
    time_is_nan = 903,
    time_is_negative = 904,
    run_is_slow = 905,        ///< 50 ms of wall clock a run, and the sample says so
    output_has_nan = 906,
    output_bit_flips = 907,   ///< the highest exponent bit (integers: the second highest) of the last value
    last_rank_throws = 908,
    last_rank_dies = 909      ///< SIGKILL in run
};

Fault fault_of(std::uint64_t seed) {
    const int digits = static_cast<int>(seed % 1000);
    return digits >= 901 && digits <= 909 ? Fault{digits} : Fault::none;
}

constexpr double flop_per_second = 1e12, noise = 0.01, time_without_flop_s = 1e-6, most_flop_computed = 1e8;

/// The time of sample `n` of a case: the same on every rank and every machine.
double sample_s(const Graph& g, std::uint64_t seed, const std::string& key, std::int64_t n) {
    const double flop = g.flops().si();
    const double ideal = flop > 0 ? flop / flop_per_second : time_without_flop_s;
    const std::uint64_t h = Digest().add(seed).add(key).add(n).low();
    return ideal * (1 + noise * (static_cast<double>(h >> 11) * 0x1p-52 - 1));
}

std::vector<double> initial(const Graph& g, TensorId id, std::uint64_t seed) {
    const Tensor& t = g.tensor(id);
    const FillStream stream(t.fill, seed, t.name, 0);
    std::vector<double> values(static_cast<std::size_t>(g.elements(id)));
    for (std::size_t i = 0; i < values.size(); ++i) values[i] = rounded(stream(static_cast<std::int64_t>(i)), t.dtype);
    return values;
}

/// Small graphs of one addition or one product of two matrices are computed for real, so that there is something to judge.
bool computes(const Graph& g) {
    if (g.ops().size() != 1 || g.flops().si() > most_flop_computed) return false;
    const Op& op = g.ops().front();
    if (op.kind == OpKind::add) return true;
    return op.kind == OpKind::matmul && op.in.size() == 2 && g.tensor(op.in[0]).shape.size() == 2 &&
           g.tensor(op.in[1]).shape.size() == 2;
}

std::vector<double> product(const Graph& g, const Op& op, const std::vector<double>& a, const std::vector<double>& b) {
    const bool ta = op.attributes.trans_a, tb = op.attributes.trans_b;
    const Shape &left = g.tensor(op.in[0]).shape, &right = g.tensor(op.in[1]).shape;
    const auto m = static_cast<std::size_t>(left[ta ? 1 : 0]), k = static_cast<std::size_t>(left[ta ? 0 : 1]),
               n = static_cast<std::size_t>(right[tb ? 0 : 1]);
    std::vector<double> c(m * n, 0);
    for (std::size_t i = 0; i < m; ++i)
        for (std::size_t l = 0; l < k; ++l)
            for (std::size_t j = 0; j < n; ++j) c[i * n + j] += a[ta ? l * m + i : i * k + l] * b[tb ? j * k + l : l * n + j];
    return c;
}

std::vector<double> computed(const Graph& g, std::uint64_t seed) {
    const Op& op = g.ops().front();
    std::vector<double> a = initial(g, op.in[0], seed);
    const std::vector<double> b = initial(g, op.in[1], seed);
    if (op.kind == OpKind::add)
        for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
    else
        a = product(g, op, a, b);
    for (double& v : a) v = rounded(v, g.tensor(op.out[0]).dtype);
    return a;
}

double bit_flipped(double value, DType type) {
    std::array<unsigned char, 8> bytes{};
    encode(value, type, bytes.data());
    const auto bit = static_cast<unsigned>(bits(type)) - 2;  // little-endian; the highest is the sign
    bytes[bit / 8] = static_cast<unsigned char>(bytes[bit / 8] ^ (1U << (bit % 8)));
    return decode(type, bytes.data());
}

class FakeSession final : public Session {
public:
    FakeSession(const Case& c, const Comm& comm)
        : graph_(c.graph), key_(c.key), seed_(c.seed), fault_(fault_of(c.seed)), first_(comm.rank() == 0),
          last_(comm.rank() == comm.size() - 1) {}

    Sample run() override {
        fail_if_asked();
        if (computes(*graph_)) compute();
        double elapsed_s = sample_s(*graph_, seed_, key_, runs_++);
        if (fault_ == Fault::time_is_nan) elapsed_s = std::numeric_limits<double>::quiet_NaN();
        if (fault_ == Fault::time_is_negative) elapsed_s = -elapsed_s;
        if (fault_ == Fault::run_is_slow) elapsed_s += 0.05;
        return {Seconds(elapsed_s), {}};
    }

    std::optional<Outputs> outputs() override {
        if (!computes(*graph_)) return std::nullopt;
        if (!first_) return Outputs{};
        const TensorId id = graph_->ops().front().out.front();
        const Tensor& t = graph_->tensor(id);
        return Outputs{{t.name, id, 0, t.dtype, values_}};
    }

    void poison() override { std::fill(values_.begin(), values_.end(), std::numeric_limits<double>::quiet_NaN()); }

    ResourceUse usage() const override {
        ResourceUse use;
        if (first_) use.useful = graph_->flops();  // all of it on one rank, so that the sum over ranks is exact
        use.mapping = Mapping{}.text();
        use.detail = "arithmetic at 1 TFLOP/s, noise of 1 %";
        return use;
    }

private:
    void fail_if_asked() const {
        if (fault_ == Fault::run_is_slow) std::this_thread::sleep_for(std::chrono::milliseconds(50));
        if (fault_ == Fault::run_throws) throw std::runtime_error("fake: fails in run, as the seed asks");
        if (!last_) return;
        if (fault_ == Fault::last_rank_throws) throw std::runtime_error("fake: fails on the last rank, as the seed asks");
        if (fault_ == Fault::last_rank_dies) std::raise(SIGKILL);
    }

    void compute() {
        if (!first_) return;
        if (result_.empty()) result_ = computed(*graph_, seed_);
        values_ = result_;
        if (fault_ == Fault::output_has_nan) values_.front() = std::numeric_limits<double>::quiet_NaN();
        if (fault_ == Fault::output_bit_flips)
            values_.back() = bit_flipped(values_.back(), graph_->tensor(graph_->ops().front().out.front()).dtype);
    }

    std::shared_ptr<const Graph> graph_;
    std::string key_;
    std::uint64_t seed_;
    Fault fault_;
    bool first_, last_;
    std::int64_t runs_ = 0;
    std::vector<double> result_, values_;
};

class Fake final : public Backend {
public:
    Kind kind() const override { return Kind::measured; }

    Support supports(const Case& c, int) const override {
        for (const Tensor& t : c.graph->tensors())
            if (is_class(t.dtype))
                return Support::no(fmt::format("tensor \"{}\" has the unresolved type {}", t.name, name(t.dtype)));
        return {};
    }

    std::unique_ptr<Session> prepare(const Case& c, Comm& comm) const override {
        if (fault_of(c.seed) == Fault::prepare_throws) throw std::runtime_error("fake: fails in prepare, as the seed asks");
        return std::make_unique<FakeSession>(c, comm);
    }

    double estimate_s(const Case& c) const override { return c.graph->flops().si() / flop_per_second; }
};

}  // namespace

std::unique_ptr<Backend> make_fake() { return std::make_unique<Fake>(); }

}  // namespace wb
