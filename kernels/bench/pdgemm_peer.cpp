// Our product over ranks beside ScaLAPACK's pdgemm, which is also its judge: the same numbers, the same BLAS, turn by
// turn. Run as
//   OMP_NUM_THREADS=1 mpirun -n 4 pdgemm_peer [SIZE [PAIRS [WAY]]]  times a square product of f64; WAY: 2.5d alone
//   OMP_NUM_THREADS=1 mpirun -n 4 pdgemm_peer figure [HOST.toml]  one row of scripts/cpu_figures
//   OMP_NUM_THREADS=1 mpirun -n 4 pdgemm_peer check               compares results of shapes that do not divide
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "harness/mpi_comm.hpp"
#include "kernels/bench/figures.hpp"
#include "kernels/cpu/distributed_gemm.hpp"
#include "kernels/cpu/openblas.hpp"

extern "C" {
void Cblacs_get(int context, int what, int* value);
void Cblacs_gridinit(int* context, const char* order, int rows, int columns);
void Cblacs_gridinfo(int context, int* rows, int* columns, int* row, int* column);
void Cblacs_gridexit(int context);
int numroc_(const int* n, const int* block, const int* process, const int* source, const int* processes);
void descinit_(int* descriptor, const int* m, const int* n, const int* row_block, const int* column_block,
               const int* row_source, const int* column_source, const int* context, const int* leading, int* info);
void pdgemm_(const char* trans_a, const char* trans_b, const int* m, const int* n, const int* k, const double* alpha,
             const double* a, const int* row_a, const int* column_a, const int* descriptor_a, const double* b,
             const int* row_b, const int* column_b, const int* descriptor_b, const double* beta, double* c,
             const int* row_c, const int* column_c, const int* descriptor_c);
}

namespace {

using namespace wb;
using namespace wb::cpu;

/// Elements of the matrices by their global indices.
double value(int matrix, std::int64_t row, std::int64_t column) {
    return std::sin(static_cast<double>(1 + matrix) *
                    (0.37 * static_cast<double>(row) + 0.91 * static_cast<double>(column)));
}

/// A matrix as ScaLAPACK deals it out: blocks in turn over the grid, column-major.
class Dealt {
public:
    Dealt(int rows, int columns, int block, int context) : block_(block) {
        Cblacs_gridinfo(context, &grid_rows_, &grid_columns_, &row_, &column_);
        const int zero = 0;
        rows_ = numroc_(&rows, &block, &row_, &zero, &grid_rows_);
        columns_ = numroc_(&columns, &block, &column_, &zero, &grid_columns_);
        const int leading = std::max(1, rows_);
        int info = 0;
        descinit_(descriptor, &rows, &columns, &block, &block, &zero, &zero, &context, &leading, &info);
        WB_EXPECT(info == 0);
        values.assign(static_cast<std::size_t>(leading) * static_cast<std::size_t>(std::max(1, columns_)), 0.0);
    }
    void fill(int matrix) {
        each([&](std::int64_t row, std::int64_t column, double& v) { v = value(matrix, row, column); });
    }
    template <class Body>
    void each(const Body& body) {
        for (int j = 0; j < columns_; ++j)
            for (int i = 0; i < rows_; ++i)
                body(global(i, row_, grid_rows_), global(j, column_, grid_columns_),
                     values[static_cast<std::size_t>(j) * static_cast<std::size_t>(std::max(1, rows_)) +
                            static_cast<std::size_t>(i)]);
    }
    int descriptor[9] = {};
    std::vector<double> values;

private:
    std::int64_t global(int i, int process, int processes) const {
        return (i / block_ * processes + process) * static_cast<std::int64_t>(block_) + i % block_;
    }
    int block_, rows_ = 0, columns_ = 0, grid_rows_ = 1, grid_columns_ = 1, row_ = 0, column_ = 0;
};

/// pdgemm on a grid of its own.
class Peer {
public:
    Peer(const DistributedShape& s, int rows, int columns, int block)
        : m_(static_cast<int>(s.m)),
          n_(static_cast<int>(s.n)),
          k_(static_cast<int>(s.k)),
          context_(started(rows, columns)),
          a_(m_, k_, block, context_),
          b_(k_, n_, block, context_),
          c_(m_, n_, block, context_) {
        a_.fill(0);
        b_.fill(1);
    }
    ~Peer() { Cblacs_gridexit(context_); }
    void run() {
        const double one = 1, zero = 0;
        const int first = 1;
        pdgemm_("N", "N", &m_, &n_, &k_, &one, a_.values.data(), &first, &first, a_.descriptor, b_.values.data(),
                &first, &first, b_.descriptor, &zero, c_.values.data(), &first, &first, c_.descriptor);
    }
    /// This rank's elements of C added to a whole one.
    void put(std::vector<double>& whole) {
        c_.each([&](std::int64_t row, std::int64_t column, double v) {
            whole[static_cast<std::size_t>(row * n_ + column)] += v;
        });
    }

private:
    static int started(int rows, int columns) {
        int context = 0;
        Cblacs_get(-1, 0, &context);
        Cblacs_gridinit(&context, "Row", rows, columns);
        return context;
    }
    int m_, n_, k_, context_;
    Dealt a_, b_, c_;
};

class Ours {
public:
    explicit Ours(std::unique_ptr<DistributedGemm> gemm) : gemm_(std::move(gemm)) {
        fill(a_, gemm_->a(), 0);
        fill(b_, gemm_->b(), 1);
        if (gemm_->holds()) c_ = Buffer(gemm_->c().elements() * 8);
    }
    void run() { gemm_->run(a_.data(), b_.data(), c_.data()); }
    void put(std::vector<double>& whole, std::int64_t columns) const {
        const Patch p = gemm_->c();
        for (std::int64_t i = 0; gemm_->holds() && i < p.elements(); ++i)
            whole[static_cast<std::size_t>((p.rows.first + i / p.columns.count) * columns + p.columns.first +
                                           i % p.columns.count)] += reinterpret_cast<const double*>(c_.data())[i];
    }

private:
    void fill(Buffer& to, const Patch& p, int matrix) const {
        if (!gemm_->holds()) return;
        to = Buffer(p.elements() * 8);
        for (std::int64_t i = 0; i < p.elements(); ++i)
            reinterpret_cast<double*>(to.data())[i] =
                value(matrix, p.rows.first + i / p.columns.count, p.columns.first + i % p.columns.count);
    }
    std::unique_ptr<DistributedGemm> gemm_;
    Buffer a_, b_, c_;
};

struct Named {
    std::string name;
    std::unique_ptr<Ours> ours;
};

std::vector<Named> all_of_ours(const DistributedShape& shape, Comm& comm, const std::vector<std::int64_t>& widths) {
    std::vector<Named> out;
    for (const Spread s : {Spread::summa, Spread::cannon, Spread::layered}) {
        const auto grids = grids_of(s, comm.size(), shape.m, shape.n, shape.k);
        if (grids.empty()) continue;
        const RankGrid g = grids.front();
        if (s == Spread::cannon)
            out.push_back({"cannon " + g.text(), std::make_unique<Ours>(make_cannon(shape, g, comm, 1))});
        for (const std::int64_t w : widths)
            if (s != Spread::cannon)
                out.push_back({fmt::format("{} {} panels of {}", name(s), g.text(), w),
                               std::make_unique<Ours>(make_summa(shape, g, w, comm, 1))});
    }
    return out;
}

/// Ranks as the squarest grid, as ScaLAPACK's users are told.
int rows_of(int ranks) {
    int rows = static_cast<int>(std::sqrt(ranks));
    while (ranks % rows != 0) --rows;
    return rows;
}

double timed(Comm& comm, const std::function<void()>& run) {
    comm.barrier();
    const auto start = std::chrono::steady_clock::now();
    run();
    return comm.max(std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
}

double median(std::vector<double> v) {
    std::sort(v.begin(), v.end());
    return v.size() % 2 == 1 ? v[v.size() / 2] : (v[v.size() / 2 - 1] + v[v.size() / 2]) / 2;
}

int check(Comm& comm) {
    int wrong = 0;
    for (const DistributedShape& s : {DistributedShape{64, 64, 64}, {301, 257, 199}, {97, 1031, 530}, {700, 33, 41}}) {
        Peer peer(s, rows_of(comm.size()), comm.size() / rows_of(comm.size()), 32);
        peer.run();
        const auto elements = static_cast<std::size_t>(s.m * s.n);
        std::vector<double> theirs(elements, 0.0);
        peer.put(theirs);
        comm.allreduce(theirs.data(), theirs.data(), s.m * s.n, DType::f64);
        for (const Named& one : all_of_ours(s, comm, {24, 256})) {
            one.ours->run();
            std::vector<double> mine(elements, 0.0);
            one.ours->put(mine, s.n);
            comm.allreduce(mine.data(), mine.data(), s.m * s.n, DType::f64);
            double worst = 0;
            for (std::size_t i = 0; i < elements; ++i) worst = std::max(worst, std::abs(mine[i] - theirs[i]));
            const bool equal = worst <= 1e-13 * static_cast<double>(s.k);  // also false for NaN
            if (comm.rank() == 0)
                fmt::print("{} x {} x {}  {:28}  off by {:.1e}  {}\n", s.m, s.n, s.k, one.name, worst,
                           equal ? "equal" : "WRONG");
            if (!equal) ++wrong;
        }
    }
    return wrong == 0 ? 0 : 1;
}

constexpr int blocks[] = {64, 128, 256};

/// pdgemm with the block that suits the machine, as a user would choose it. Collective.
class BestPeer {
public:
    BestPeer(const DistributedShape& s, Comm& comm) : rows_(rows_of(comm.size())), columns_(comm.size() / rows_) {
        double least = HUGE_VAL;
        std::vector<std::unique_ptr<Peer>> all;
        for (const int block : blocks) all.push_back(std::make_unique<Peer>(s, rows_, columns_, block));
        for (int again = 0; again < 3; ++again)
            for (std::size_t i = 0; i < all.size(); ++i)
                if (const double t = timed(comm, [&] { all[i]->run(); }); t < least) least = t, block_ = blocks[i];
        peer_ = std::make_unique<Peer>(s, rows_, columns_, block_);
    }
    void run() { peer_->run(); }
    std::string text() const { return fmt::format("{}x{}, blocks of {}", rows_, columns_, block_); }

private:
    int rows_, columns_, block_ = 0;
    std::unique_ptr<Peer> peer_;
};

struct Race {
    double ours_s, theirs_s, ratio, ratio_of_best;  ///< medians; of the pairs; of the best runs
};

/// Turn by turn.
Race race(Comm& comm, Ours& ours, BestPeer& peer, int pairs) {
    std::vector<double> ratio, mine, theirs;
    timed(comm, [&] { ours.run(); });
    for (int i = 0; i < pairs; ++i) {
        mine.push_back(timed(comm, [&] { ours.run(); }));
        theirs.push_back(timed(comm, [&] { peer.run(); }));
        ratio.push_back(theirs.back() / mine.back());
    }
    return {median(mine), median(theirs), median(ratio),
            *std::min_element(theirs.begin(), theirs.end()) / *std::min_element(mine.begin(), mine.end())};
}

int race_all(Comm& comm, std::int64_t size, int pairs, const std::string& way) {
    const DistributedShape s{size, size, size};
    BestPeer peer(s, comm);
    if (comm.rank() == 0) fmt::print("peer: ScaLAPACK pdgemm, {}\n", peer.text());
    const double flops = 2.0 * std::pow(static_cast<double>(size), 3);
    for (const Named& one : all_of_ours(s, comm, {128, 256, 512})) {
        if (!one.name.starts_with(way)) continue;
        const Race r = race(comm, *one.ours, peer, pairs);
        if (comm.rank() == 0)
            fmt::print("n {}  {:26}  {:.1f} GFLOP/s  pdgemm {:.1f} GFLOP/s  ratio of pairs {:.2f} (best runs {:.2f})\n",
                       size, one.name, flops / r.ours_s / 1e9, flops / r.theirs_s / 1e9, r.ratio, r.ratio_of_best);
    }
    return 0;
}

/// Our fastest way, found as the peer's block was, beside the peer.
int figure(Comm& comm, const HostCeilings& host) {
    constexpr std::int64_t size = 2048;
    constexpr int pairs = 9;
    const DistributedShape s{size, size, size};
    BestPeer peer(s, comm);
    const std::vector<Named> ours = all_of_ours(s, comm, {256, 512});
    std::size_t best = 0;
    double least = HUGE_VAL;
    for (int again = 0; again < 3; ++again)
        for (std::size_t i = 0; i < ours.size(); ++i)
            if (const double t = timed(comm, [&] { ours[i].ours->run(); }); t < least) least = t, best = i;
    const Race r = race(comm, *ours[best].ours, peer, pairs);
    if (comm.rank() != 0) return 0;
    const double flops = 2.0 * std::pow(static_cast<double>(size), 3);
    Figure f{fmt::format("gemm {}", size), "f64", fmt::format("{} rank{}", comm.size(), comm.size() == 1 ? "" : "s")};
    f.ours = flops / r.ours_s / 1e9;
    f.scalapack = flops / r.theirs_s / 1e9;
    f.against_best = r.ratio;
    f.ceiling = host.of("gemm_f64", comm.size());
    f.how = fmt::format("{}; pdgemm {}", ours[best].name, peer.text());
    if (comm.size() > sysconf(_SC_NPROCESSORS_ONLN)) f.how += "; more ranks than processors";
    print(f);
    return 0;
}

}  // namespace

int main(int argc, char** argv) try {
    // The peer's BLAS is loaded with the program, and asks then which processor to tune for: both must get the same.
    const char* const set = std::getenv("OPENBLAS_CORETYPE");
    if (const std::string core = openblas_core_type(); !core.empty() && (set == nullptr || core != set)) {
        setenv("OPENBLAS_CORETYPE", core.c_str(), 1);
        execv("/proc/self/exe", argv);
    }
    const auto comm = world(argc, argv);
    if (argc > 1 && std::strcmp(argv[1], "check") == 0) return check(*comm);
    if (argc > 1 && std::strcmp(argv[1], "figure") == 0)
        return figure(*comm, argc > 2 ? HostCeilings(argv[2]) : HostCeilings());
    return race_all(*comm, argc > 1 ? std::atoll(argv[1]) : 2048, argc > 2 ? std::atoi(argv[2]) : 11,
                    argc > 3 ? argv[3] : "");
} catch (const Error& e) {
    fmt::print(stderr, "pdgemm_peer: {}\n", e.what());
    return static_cast<int>(e.code());
}
