#include "harness/host_bandwidth.hpp"

#include <chrono>
#include <cmath>
#include <memory>
#include <new>

#include "core/error.hpp"
#include "harness/host_loops.hpp"

namespace wb {
namespace {

constexpr int cache_tries = 25;

using Stretches = std::vector<std::unique_ptr<Stretch>>;

/// One stretch a thread, touched first by its thread, so that it lies in that thread's memory.
Stretches stretches(const PinnedTeam& team, double bytes_each) {
    Stretches all(static_cast<std::size_t>(team.size()));
    bool enough = true;
#pragma omp parallel num_threads(team.size())
    try {
        all[static_cast<std::size_t>(omp_get_thread_num())] =
            std::make_unique<Stretch>(static_cast<std::size_t>(bytes_each));
    } catch (const std::bad_alloc&) {
#pragma omp atomic write
        enough = false;
    }
    if (!enough)
        throw Error({"host probe", "not enough memory for the bandwidth test", "", "Free some memory."},
                    Exit::environment);
    return all;
}

double total_bytes(const Stretches& all) {
    double bytes = 0;
    for (const auto& s : all) bytes += static_cast<double>(s->size() * sizeof(double));
    return bytes;
}

}  // namespace

/// Each try is long enough (2 ms) for the start of the threads not to count, short enough for one of many to pass
/// undisturbed on a busy machine.
Bandwidths cache_bandwidths(const PinnedTeam& team, double bytes) {
    Bandwidths out;
    const auto measure = [&](int arrays, auto work) {
        std::vector<Stretches> all;
        for (int i = 0; i < arrays; ++i) all.push_back(stretches(team, bytes / 2 / arrays / team.size()));
        const auto times = [&](long rounds) { return [&, rounds](std::size_t thread) { work(all, thread, rounds); }; };
        const long rounds = std::clamp(std::lround(0.002 / team.best_s(3, times(1))), 1L, 1'000'000L);
        out.array_bytes = total_bytes(all[0]);
        return arrays * out.array_bytes * static_cast<double>(rounds) / team.best_s(cache_tries, times(rounds));
    };
    out.triad = measure(3, [](auto& a, std::size_t i, long n) { triad(*a[0][i], *a[1][i], *a[2][i], n); });
    out.copy = measure(2, [](auto& a, std::size_t i, long n) { copy(*a[0][i], *a[1][i], n); });
    out.read = measure(1, [](auto& a, std::size_t i, long n) { read_all(*a[0][i], n); });
    return out;
}

/// Walks the arrays piece by piece and keeps the best piece: on a busy machine few whole passes go undisturbed. A piece
/// is out of the caches when its turn comes again, for all of the others were walked meanwhile.
Bandwidths memory_bandwidths(const PinnedTeam& team, double free_bytes) {
    constexpr int passes = 5;
    const int pieces = team.size() <= 8 ? 10 : team.size() <= 32 ? 4 : 1;
    const double array = std::min(0x1p30, free_bytes / 4) / 3;
    struct Piece {
        Stretches a, b, c;
    };
    std::vector<Piece> all;
    const auto piece = [&] { return stretches(team, array / pieces / team.size()); };
    for (int i = 0; i < pieces; ++i) all.push_back({piece(), piece(), piece()});
    const double bytes = total_bytes(all[0].a);
    Bandwidths out;
    out.array_bytes = bytes * pieces;
    const auto better = [&](double& kept, double arrays, auto work) {
        for (int pass = 0; pass < passes; ++pass)
            for (const Piece& p : all)
                kept = std::max(kept, arrays * bytes / team.best_s(1, [&](std::size_t i) { work(p, i); }));
    };
    better(out.read, 3, [](const Piece& p, std::size_t i) {
        for (const Stretches* s : {&p.a, &p.b, &p.c}) read_all(*(*s)[i], 1);
    });
    better(out.copy, 2, [](const Piece& p, std::size_t i) { copy(*p.a[i], *p.c[i]); });
    better(out.triad, 3, [](const Piece& p, std::size_t i) { triad(*p.a[i], *p.b[i], *p.c[i]); });
    if (!has_uncached_stores()) return out;
    better(out.copy, 2, [](const Piece& p, std::size_t i) { copy_uncached(*p.a[i], *p.c[i]); });
    better(out.triad, 3, [](const Piece& p, std::size_t i) { triad_uncached(*p.a[i], *p.b[i], *p.c[i]); });
    return out;
}

double parallel_launch_s(const PinnedTeam& team) {
    constexpr int tries = 25, regions = 200;
    double best = std::numeric_limits<double>::infinity();
    for (int i = 0; i < tries; ++i) {
        const auto begin = std::chrono::steady_clock::now();
        for (int k = 0; k < regions; ++k) {
#pragma omp parallel num_threads(team.size())
            asm volatile("" ::: "memory");
        }
        best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
    return best / regions;
}

}  // namespace wb
