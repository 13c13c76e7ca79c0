#pragma once

#include <deque>
#include <memory>
#include <string>

#include "models/fabric/grid.hpp"
#include "models/fabric/simulator.hpp"

namespace wb::fabric {

class Barrier;

/// One run of one program: all PEs and routers, and the clock.
class Engine {
public:
    Engine(const Mesh& mesh, const Options& options);

    Result run(const Program& program);
    Pe& pe(int row, int column) { return grid_.node(row, column).pe(); }
    const Grid& grid() const { return grid_; }

private:
    void set_up(const Program& program);
    void run_threads();
    void run_shard(Shard& shard, Barrier& barrier);
    /// The cycle after `now`, the same answer for every thread; never when the run is over.
    std::uint64_t next_cycle(std::uint64_t now) const;
    void check_end();
    void check_nothing_left();
    Result collect() const;
    void collect_links(Result& r) const;
    [[noreturn]] void report_deadlock();

    Options options_;
    Machine machine_;
    Grid grid_;
    std::deque<Shard> shards_;
};

}  // namespace wb::fabric
