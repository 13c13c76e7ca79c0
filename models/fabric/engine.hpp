#pragma once

#include <memory>
#include <string>
#include <vector>

#include "models/fabric/node.hpp"
#include "models/fabric/routers.hpp"
#include "models/fabric/simulator.hpp"

namespace wb::fabric {

/// One run of one program: all PEs and routers, and the clock.
class Engine {
public:
    Engine(const Mesh& mesh, const Options& options);

    Result run(const Program& program);
    Pe& pe(int row, int column) { return node(row, column).pe(); }

private:
    Node& node(int row, int column) {
        return *nodes_[static_cast<std::size_t>(row) * static_cast<std::size_t>(options_.columns) +
                       static_cast<std::size_t>(column)];
    }
    void set_up(const Program& program);
    void advance();
    bool finished() const;
    std::uint64_t next_timer() const;
    void check_nothing_left();
    Result collect() const;
    [[noreturn]] void report_deadlock();

    Options options_;
    Machine machine_;
    std::vector<std::unique_ptr<Node>> nodes_;
    Routers routers_;
};

}  // namespace wb::fabric
