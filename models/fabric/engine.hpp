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
    Pe& pe(int row, int column) { return node(row, column).pe(); }
    const Grid& grid() const { return grid_; }

private:
    /// Of the program's mesh.
    Node& node(int row, int column) const {
        return grid_.node(placement_.rows[static_cast<std::size_t>(row)],
                          placement_.columns[static_cast<std::size_t>(column)]);
    }
    template <class F>
    void for_program(F&& f) const;
    void set_up(const Program& program);
    void run_threads();
    void run_shard(std::size_t k, Barrier& barrier);
    /// The first cycle after `now` with anything to do; never when the run is over.
    std::uint64_t next_cycle(std::uint64_t now) const;
    void check_end();
    void check_nothing_left();
    Result collect() const;
    void collect_links(Result& r) const;
    [[noreturn]] void report_deadlock();

    Options options_;
    Machine machine_;
    Placement placement_;
    Grid grid_;
    std::deque<Shard> shards_;
    int window_ = 1;           // cycles that are simulated at once
    std::uint64_t begin_ = 0;  // of the window
};

}  // namespace wb::fabric
