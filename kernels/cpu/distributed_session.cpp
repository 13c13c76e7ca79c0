#include "kernels/cpu/distributed_session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "core/element.hpp"
#include "core/error.hpp"
#include "core/fill.hpp"
#include "kernels/cpu/session.hpp"

namespace wb::cpu {
namespace {

using Clock = std::chrono::steady_clock;

constexpr const char* any_spread = "distributed";
/// Panels at least as deep as a library's own blocks, and some to a block of A, so that their ways overlap with work.
constexpr std::int64_t usual_width = 256;

bool names(Spread spread, const std::string& word) { return word == any_spread || word == name(spread); }

constexpr Spread spreads[] = {Spread::summa, Spread::cannon, Spread::layered};

/// The patch of a tensor of `columns` columns, from its fill.
void fill_patch(const Tensor& t, const Patch& patch, std::uint64_t seed, const Buffer& to, int threads) {
    const FillStream stream(t.fill, seed, t.name, 0);
    const std::int64_t columns = t.shape.back();
#pragma omp parallel for num_threads(threads) schedule(static)
    for (std::int64_t r = 0; r < patch.rows.count; ++r)
        for (std::int64_t k = 0; k < patch.columns.count; ++k)
            encode(stream((patch.rows.first + r) * columns + patch.columns.first + k), t.dtype,
                   to.data() + (r * patch.columns.count + k) * stored_bytes(t.dtype));
}

}  // namespace

std::vector<std::string> distributed_words() {
    std::vector<std::string> out = spread_names();
    out.emplace_back(any_spread);
    return out;
}

std::string distributed_refusal(const Graph& g, const Mapping& mapping) {
    if (mapping.algorithm.empty()) return {};
    const auto words = distributed_words();
    if (std::find(words.begin(), words.end(), mapping.algorithm) == words.end())
        return fmt::format(
            "the CPU backend spreads products by summa, cannon, 2.5d or distributed, and takes "
            "sums blocking or overlapped, not \"{}\"",
            mapping.algorithm);
    if (mapping.data > 1)
        return fmt::format("\"{}\" spreads a product over tensor-parallel ranks, not over replicas", mapping.algorithm);
    if (!g.phases().empty() || g.ops().size() != 1 || g.ops()[0].kind != OpKind::matmul || g.ops()[0].in.size() != 2)
        return fmt::format("\"{}\" spreads a bare matrix product, and this is more", mapping.algorithm);
    const Op& op = g.ops()[0];
    const Tensor& c = g.tensor(op.out[0]);
    if (c.shape.size() != 2 || op.attributes.trans_a || op.attributes.trans_b)
        return fmt::format("\"{}\" spreads one product of matrices that are not stored transposed", mapping.algorithm);
    for (const TensorId id : {op.in[0], op.in[1], op.out[0]})
        if (g.tensor(id).dtype != c.dtype || (c.dtype != DType::f32 && c.dtype != DType::f64))
            return fmt::format("\"{}\" spreads products of f32 and f64", mapping.algorithm);
    const std::int64_t m = c.shape[0], n = c.shape[1], k = g.tensor(op.in[0]).shape[1];
    for (const Spread s : spreads)
        if (names(s, mapping.algorithm))
            for (const RankGrid& grid : grids_of(s, mapping.tensor, m, n, k))
                if (mapping.rows == 0 || (grid.rows == mapping.rows && grid.columns == mapping.columns)) return {};
    return fmt::format("{} ranks form no grid{} on which \"{}\" can spread {} x {} by {} x {}", mapping.tensor,
                       mapping.rows > 0 ? fmt::format(" of {}x{}", mapping.rows, mapping.columns) : "",
                       mapping.algorithm, m, k, k, n);
}

DistributedSession::DistributedSession(const Case& c, Comm& comm, int threads)
    : whole_(c.graph), mapping_(c.mapping), seed_(c.seed), threads_(threads), comm_(counted(comm, ledger_)) {
    const Op& op = whole_->ops()[0];
    const Tensor &a = whole_->tensor(op.in[0]), &out = whole_->tensor(op.out[0]);
    shape_ = {out.shape[0], out.shape[1], a.shape[1], out.dtype};
    choose();
}

std::vector<DistributedSession::Way> DistributedSession::ways() const {
    std::vector<Way> out;
    for (const Spread s : spreads) {
        if (!names(s, mapping_.algorithm)) continue;
        std::size_t taken = 0;
        for (const RankGrid& g : grids_of(s, mapping_.tensor, shape_.m, shape_.n, shape_.k)) {
            if (mapping_.rows > 0 && (g.rows != mapping_.rows || g.columns != mapping_.columns)) continue;
            if (taken++ < 2) out.push_back({s, g, usual_width});  // grids come in the order of what they move
        }
        if (mapping_.algorithm != any_spread && !out.empty()) out.resize(1);
    }
    WB_EXPECT(!out.empty());
    return out;
}

std::unique_ptr<DistributedGemm> DistributedSession::make(const Way& way) {
    if (way.spread == Spread::cannon) return make_cannon(shape_, way.grid, *comm_, threads_);
    return make_summa(shape_, way.grid, way.width, *comm_, threads_);
}

void DistributedSession::use(const Way& way) {
    gemm_.reset();
    way_ = way;
    gemm_ = make(way);
    fill_inputs();
}

/// The fastest by trial, the slowest rank's time counting.
void DistributedSession::choose() {
    const std::vector<Way> all = ways();
    if (all.size() == 1) return use(all[0]);
    double best_s = HUGE_VAL;
    std::size_t best = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
        use(all[i]);
        run_once();
        for (int again = 0; again < 2; ++again) {
            comm_->max(0);
            const double s = comm_->max(run_once());
            if (s < best_s) best_s = s, best = i;
        }
    }
    if (best + 1 != all.size()) use(all[best]);
}

void DistributedSession::fill_inputs() {
    const Op& op = whole_->ops()[0];
    const std::int64_t size = stored_bytes(shape_.type);
    for (const auto& [memory, patch] : {std::pair{&a_, gemm_->a()}, {&b_, gemm_->b()}, {&c_, gemm_->c()}})
        *memory = Buffer(gemm_->holds() ? patch.elements() * size : 0);
    if (!gemm_->holds()) return;
    fill_patch(whole_->tensor(op.in[0]), gemm_->a(), seed_, a_, threads_);
    fill_patch(whole_->tensor(op.in[1]), gemm_->b(), seed_, b_, threads_);
    poison();
}

double DistributedSession::run_once() {
    const auto start = Clock::now();
    gemm_->run(a_.data(), b_.data(), c_.data());
    return std::chrono::duration<double>(Clock::now() - start).count();
}

Sample DistributedSession::run() {
    ledger_.clear();
    Sample out;
    out.elapsed = Seconds(run_once());
    Span s;
    s.op = 0;
    s.resource = "compute";
    s.duration = out.elapsed;
    s.flops = Flops(gemm_->flops());
    out.spans.push_back(s);
    return out;
}

void DistributedSession::poison() {
    if (gemm_->holds()) c_.fill(0xFF, threads_);
}

std::optional<Outputs> DistributedSession::outputs() {
    const Op& op = whole_->ops()[0];
    const Tensor& c = whole_->tensor(op.out[0]);
    const Patch mine = gemm_->c();
    std::vector<double> values;
    if (gemm_->holds()) {
        values = {static_cast<double>(mine.rows.first), static_cast<double>(mine.columns.first),
                  static_cast<double>(mine.columns.count)};
        for (std::int64_t i = 0; i < mine.elements(); ++i)
            values.push_back(decode(c.dtype, c_.data() + i * stored_bytes(c.dtype)));
    }
    const auto all = comm_->gather(values);
    if (comm_->rank() != 0) return std::nullopt;
    Output out{c.name, op.out[0], 0, c.dtype, std::vector<double>(static_cast<std::size_t>(shape_.m * shape_.n))};
    for (const std::vector<double>& patch : all) {
        if (patch.empty()) continue;
        const auto row = static_cast<std::int64_t>(patch[0]), column = static_cast<std::int64_t>(patch[1]),
                   columns = static_cast<std::int64_t>(patch[2]);
        for (std::size_t i = 3; i < patch.size(); ++i) {
            const auto at = static_cast<std::int64_t>(i - 3);
            out.values[static_cast<std::size_t>((row + at / columns) * shape_.n + column + at % columns)] = patch[i];
        }
    }
    return Outputs{std::move(out)};
}

ResourceUse DistributedSession::usage() const {
    ResourceUse use;
    const double size = static_cast<double>(stored_bytes(shape_.type));
    const double held = gemm_->holds() ? 1 : 0;
    const double inputs = held * size * static_cast<double>(gemm_->a().elements() + gemm_->b().elements());
    const double result = held * size * static_cast<double>(gemm_->c().elements());
    use.memory = {{"inputs", Bytes(0), Bytes(inputs), Bytes(0)},
                  {"activations", Bytes(0), Bytes(result + static_cast<double>(gemm_->extra_bytes())), Bytes(0)}};
    for (MemoryUse& m : process_memory()) use.memory.push_back(std::move(m));
    use.communication = ledger_.uses();
    for (CommUse& u : use.communication) u.fabric = comm_->library();
    use.useful = Flops(gemm_->flops());
    Mapping found = mapping_;
    found.rows = way_.grid.rows;
    found.columns = way_.grid.columns;
    found.algorithm = std::string(name(way_.spread));
    use.mapping = found.text();
    const double time = ledger_.time().si(), exposed = ledger_.exposed().si();
    use.detail = fmt::format(
        "{} on {}{}, {}, {} threads{}", name(way_.spread), way_.grid.text(),
        way_.spread == Spread::cannon ? "" : fmt::format(", panels of {}", way_.width), gemm_->library(), threads_,
        time > 0 ? fmt::format(", {:.0f} % of communication hidden", 100 * (1 - exposed / time)) : "");
    return use;
}

}  // namespace wb::cpu
