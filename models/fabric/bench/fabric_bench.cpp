// How fast the simulator goes. Counters: rc/s, router-cycles (every router, every cycle); hops/s, wavelets over links;
// taken/s, wavelets taken by PEs; bytes_per_second, over links; FLOP/s, of the machine's arithmetic; B/rc, bytes of
// routers, ramps and running instructions for each routed (router, colour). copy is the machine's memory bandwidth, the
// limit of all that does not fit the caches.

#include <benchmark/benchmark.h>

#include <cstring>
#include <vector>

#include "models/fabric/simulator.hpp"

namespace {

using namespace wb;
using namespace wb::fabric;

constexpr std::int64_t wavelet_bytes = 4;

Mesh machine(int rows, int columns) {
    Mesh m;
    m.rows = rows;
    m.columns = columns;
    m.sram_bytes = 48 * 1024;
    m.clock_hz = 1e9;
    m.vector_start_cycles = 2;
    m.task_start_cycles = 5;
    m.microthread_start_cycles = 3;
    return m;
}

void run(benchmark::State& state, int rows, int columns, bool data, int threads, const Program& program) {
    Options o;
    o.rows = rows;
    o.columns = columns;
    o.data = data;
    o.threads = threads;
    double router_cycles = 0, hops = 0, taken = 0, flops = 0, bytes = 0;
    for (auto _ : state) {
        Simulator simulator(machine(rows, columns), o);
        const Result r = simulator.run(program);
        router_cycles += static_cast<double>(r.cycles) * rows * columns;
        hops += static_cast<double>(r.hops);
        taken += static_cast<double>(r.consumed);
        flops += 2 * r.fma;
        bytes = simulator.bytes_per_router_colour();
    }
    using benchmark::Counter;
    state.counters["rc"] = Counter(router_cycles, Counter::kIsRate);
    state.counters["hops"] = Counter(hops, Counter::kIsRate);
    state.counters["taken"] = Counter(taken, Counter::kIsRate);
    state.counters["B/rc"] = bytes;
    state.counters["FLOP/s"] = Counter(flops, Counter::kIsRate);
    state.SetBytesProcessed(static_cast<std::int64_t>(hops) * wavelet_bytes);
}

/// Every row streams from west to east: all links of one direction busy in every cycle.
Process rows_east(Pe& pe, std::size_t count) {
    pe.route(0, pe.column == 0 ? Port::ramp : Port::west, pe.column + 1 == pe.columns ? Port::ramp : Port::east);
    if (pe.column == 0) co_await pe.send(0, nothing(count));
    if (pe.column + 1 == pe.columns) co_await pe.recv(0, nothing(count));
}

/// One PE streams to all by multicast; every PE takes every wavelet.
Process to_all(Pe& pe, std::size_t count) {
    const bool root = pe.row == 0 && pe.column == 0;
    Ports on;
    if (!root) on = Port::ramp;
    if (pe.row == 0 && pe.column + 1 < pe.columns) on = on | Port::east;
    if (pe.row + 1 < pe.rows) on = on | Port::south;
    pe.route(0, root ? Port::ramp : pe.row == 0 ? Port::west : Port::north, on);
    const Vec x = pe.alloc(Type::f32, 16);
    Vec all = x;
    all.count = static_cast<std::uint32_t>(count);
    all.stride = 0;
    if (root)
        co_await pe.send(0, all);
    else
        co_await pe.recv(0, all);
}

/// A snake of one wavelet at a time through all rows of an otherwise idle mesh.
Process lone(Pe& pe) {
    const bool east = pe.row % 2 == 0;
    const bool first = pe.row == 0 && pe.column == 0;
    const bool turn = east ? pe.column + 1 == pe.columns : pe.column == 0;
    const bool entry = east ? pe.column == 0 : pe.column + 1 == pe.columns;
    const bool last = pe.row + 1 == pe.rows && turn;
    pe.route(0,
             first   ? Port::ramp
             : entry ? Port::north
             : east  ? Port::west
                     : Port::east,
             last   ? Port::ramp
             : turn ? Port::south
             : east ? Port::east
                    : Port::west);
    if (first) co_await pe.send(0, nothing(8));
    if (last) co_await pe.recv(0, nothing(8));
}

/// Everything at once: each PE takes a broadcast of its row and one of its column on two colours, asynchronously, adds
/// into memory, while a chain runs over the row on two more and computes go on. Links are shared by four colours.
Process busy_pe(Pe& pe, std::size_t count, int rounds) {
    const bool west_end = pe.column == 0, east_end = pe.column + 1 == pe.columns;
    const bool north_end = pe.row == 0, south_end = pe.row + 1 == pe.rows;
    const auto here = [](bool end, Port on) { return end ? Ports(Port::ramp) : Port::ramp | on; };
    pe.route(0, west_end ? Port::ramp : Port::west, west_end ? Ports(Port::east) : here(east_end, Port::east));
    pe.route(1, north_end ? Port::ramp : Port::north, north_end ? Ports(Port::south) : here(south_end, Port::south));
    const auto in = static_cast<Colour>(2 + pe.column % 2), out = static_cast<Colour>(5 - in);
    if (!west_end) pe.route(out, Port::ramp, Port::west);
    if (!east_end) pe.route(in, Port::east, Port::ramp);
    const auto diagonal = static_cast<Colour>(4);
    pe.route(diagonal, west_end ? Port::ramp : Port::west, east_end ? Port::ramp : Port::east);
    const Vec a = pe.alloc(Type::f32, count), b = pe.alloc(Type::f32, count), c = pe.alloc(Type::f32, count);
    for (int k = 0; k < rounds; ++k) {
        co_await pe.task();
        const Handle row = pe.start(west_end ? pe.send(0, a) : pe.recv(0, a));
        const Handle column = pe.start(north_end ? pe.send(1, b) : pe.recv_add(1, b));
        Handle through;
        if (west_end) through = pe.start(pe.send(diagonal, c));
        if (east_end) through = pe.start(pe.recv(diagonal, c));
        co_await pe.compute({1, static_cast<double>(count), 1, static_cast<double>(count)}, {});
        if (east_end)
            co_await pe.send(out, c);
        else if (!west_end)
            co_await pe.recv_add_send(in, c, out);
        else
            co_await pe.recv_add(in, c);
        co_await row;
        co_await column;
        co_await through;
    }
}

void dense_stream(benchmark::State& state) {
    const int n = static_cast<int>(state.range(0));
    run(state, n, n, state.range(1) != 0, static_cast<int>(state.range(2)), [](Pe& pe) { return rows_east(pe, 2000); });
}
BENCHMARK(dense_stream)
    ->ArgNames({"side", "data", "threads"})
    ->Args({512, 1, 1})
    ->Args({512, 1, 2})
    ->Args({512, 0, 1})
    ->Args({960, 1, 1})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void broadcast_taken_by_all(benchmark::State& state) {
    const int n = static_cast<int>(state.range(0));
    run(state, n, n, state.range(1) != 0, static_cast<int>(state.range(2)), [](Pe& pe) { return to_all(pe, 500); });
}
BENCHMARK(broadcast_taken_by_all)
    ->ArgNames({"side", "data", "threads"})
    ->Args({512, 1, 1})
    ->Args({512, 1, 2})
    ->Args({512, 0, 1})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

void idle(benchmark::State& state) {
    run(state, 512, 512, true, 1, [](Pe& pe) { return lone(pe); });
}
BENCHMARK(idle)->Unit(benchmark::kMillisecond)->UseRealTime();

void all_features(benchmark::State& state) {
    const int n = static_cast<int>(state.range(0));
    run(state, n, n, state.range(1) != 0, static_cast<int>(state.range(2)), [](Pe& pe) { return busy_pe(pe, 256, 2); });
}
BENCHMARK(all_features)
    ->ArgNames({"side", "data", "threads"})
    ->Args({64, 1, 1})
    ->Args({256, 1, 1})
    ->Args({256, 1, 2})
    ->Args({256, 0, 1})
    ->Args({256, 0, 2})
    ->Unit(benchmark::kMillisecond)
    ->UseRealTime();

/// Memory bandwidth: bytes read and written by a copy of what no cache holds.
void copy(benchmark::State& state) {
    const std::size_t size = std::size_t{256} << 20;
    const std::vector<char> from(size, 1);
    std::vector<char> to(size);
    for (auto _ : state) {
        std::memcpy(to.data(), from.data(), size);
        benchmark::ClobberMemory();
    }
    state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations()) * 2 * static_cast<std::int64_t>(size));
}
BENCHMARK(copy)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
