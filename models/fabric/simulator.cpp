#include "models/fabric/simulator.hpp"

#include <fmt/format.h>

#include "core/error.hpp"
#include "models/fabric/engine.hpp"

namespace wb::fabric {

Simulator::Simulator(const Mesh& mesh, const Options& options) : mesh_(mesh), options_(options) {
    WB_EXPECT(options.rows > 0 && options.columns > 0 && options.threads > 0);
    const int rows = options.defects ? options.defects->rows : options.rows;
    const int columns = options.defects ? options.defects->columns : options.columns;
    if (rows > mesh.rows || columns > mesh.columns)
        throw Error({"mesh", fmt::format("{} x {} PEs are asked", rows, columns),
                     fmt::format("the machine has {} x {}", mesh.rows, mesh.columns), "Choose a smaller mesh."});
    if (options.defects) (void)place(*options.defects, options.rows, options.columns);
    if (mesh.hop_cycles != 1 || mesh.ramp_cycles < 1 || mesh.ramp_cycles > most_ramp_cycles)
        throw Error({"mesh", fmt::format("hop_cycles = {}, ramp_cycles = {}", mesh.hop_cycles, mesh.ramp_cycles),
                     fmt::format("the simulator knows hops of one cycle and ramps of 1 to {}", most_ramp_cycles), ""});
    if (mesh.colours < 1 || mesh.colours > most_colours)
        throw Error({"mesh", fmt::format("{} colours", mesh.colours),
                     fmt::format("the simulator knows 1 to {}", most_colours), ""});
}

Simulator::~Simulator() = default;
Simulator::Simulator(Simulator&&) noexcept = default;

Result Simulator::run(const Program& program) {
    engine_ = std::make_unique<Engine>(mesh_, options_);
    return engine_->run(program);
}

Pe& Simulator::pe(int row, int column) {
    WB_EXPECT(engine_ != nullptr && row >= 0 && row < options_.rows && column >= 0 && column < options_.columns);
    return engine_->pe(row, column);
}

double Simulator::bytes_per_router_colour() const {
    WB_EXPECT(engine_ != nullptr);
    const std::size_t routed = engine_->grid().router_colours();
    return routed == 0 ? 0 : static_cast<double>(engine_->grid().fabric_bytes()) / static_cast<double>(routed);
}

}  // namespace wb::fabric
