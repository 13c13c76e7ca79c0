#include <fmt/format.h>

#include <algorithm>

#include "core/backend.hpp"
#include "core/units.hpp"
#include "models/bounds.hpp"
#include "models/transfer.hpp"
#include "models/transfer_session.hpp"
#include "models/wafer/bare_op.hpp"
#include "models/wafer/placement.hpp"
#include "models/wafer/programs.hpp"

namespace wb {

std::unique_ptr<Backend> make_wafer();

namespace {

using namespace wafer;

wafer::Request request_of(const Case& c) { return {*c.graph, c.units, c.mapping}; }

Placement solve(const Machine& m, const Case& c) {
    const Request r = request_of(c);
    return has_loss(*c.graph) ? evaluate_training(m, r, *c.system) : place(m, r).best;
}

/// The SRAM of one PE counts the fullest, the wafer's the sum.
class WaferSession final : public Session {
public:
    explicit WaferSession(const Case& c)
        : graph_(c.graph),
          system_(c.system),
          units_(c.units),
          partial_(request_of(c).partial()),
          machine_(*c.system),
          placement_(solve(machine_, c)) {}

    Sample run() override { return {placement_.time, placement_.spans}; }

    ResourceUse usage() const override {
        ResourceUse use;
        const Footprint f = footprint(*graph_);
        const double pes = machine_.whole().pes(), held = held_bytes(f);
        use.memory.push_back({"SRAM of one PE", Bytes(static_cast<double>(machine_.mesh.sram_bytes)),
                              Bytes(held / pes + machine_.reserved_bytes), Bytes(0)});
        use.memory.push_back({"SRAM", Bytes(pes * static_cast<double>(machine_.mesh.sram_bytes)),
                              Bytes(held + pes * machine_.reserved_bytes), Bytes(0)});
        CommUse fabric;
        fabric.fabric = "mesh";
        fabric.operation = "all";
        fabric.calls = static_cast<std::int64_t>(graph_->ops().size());
        fabric.bytes = Bytes(placement_.cost.bytes);
        fabric.time = fabric.exposed = machine_.seconds(placement_.cost.fabric);
        use.communication.push_back(fabric);
        if (placement_.between > Seconds(0)) {
            CommUse between;
            between.fabric = machine_.way(units_).name;
            between.operation = "wafer to wafer";
            between.calls = units_ - 1;
            between.bytes = Bytes(placement_.io_bytes);
            between.time = between.exposed = placement_.between;
            use.communication.push_back(between);
        }
        if (placement_.mode == Mode::streamed)
            use.memory.push_back(
                {system_->memories.back().name, Bytes(0), Bytes(f.weights), Bytes(placement_.io_bytes)});
        if (system_->power.contains("unit"))
            use.energy = Joules(system_->power.at("unit").value * units_ * placement_.time.si());
        use.useful = graph_->flops();
        use.mapping = placement_.text(machine_) + (partial_ ? " part of the layers, scaled" : "");
        use.detail = detail();
        use.band = {1, 1, "not yet validated"};
        return use;
    }

private:
    double held_bytes(const Footprint& f) const {
        if (partial_) return 0;
        if (placement_.sram_bytes > 0) return placement_.sram_bytes * placement_.grid.pes();
        return placement_.mode == Mode::streamed
                   ? (f.activations + f.carried) / static_cast<double>(placement_.pieces) / units_
                   : f.total() / units_;
    }
    std::string detail() const {
        if (!placement_.limit.empty()) return placement_.limit;
        const Cost& c = placement_.cost;
        return fmt::format("compute {:.0f} %, fabric {:.0f} %, dispatch {:.0f} %", 100 * c.compute / c.cycles(),
                           100 * c.fabric / c.cycles(), 100 * c.dispatch / c.cycles());
    }

    std::shared_ptr<const Graph> graph_;
    std::shared_ptr<const System> system_;
    int units_;
    bool partial_;
    Machine machine_;
    Placement placement_;
};

class Wafer final : public Backend, public ProgramTimes {
public:
    Kind kind() const override { return Kind::modelled; }
    bool suits(SystemKind kind) const override { return kind == SystemKind::wafer; }

    Support supports(const Case& c, int) const override {
        if (c.system->kind != SystemKind::wafer) return Support::no(fmt::format("{} is no wafer", c.system->id));
        if (only_moves(*c.graph)) return transfer_support(c);
        if (std::string why = missing_peak(*c.graph, *c.system); !why.empty()) return Support::no(std::move(why));
        if (std::string why = missing_type(*c.graph, *c.system); !why.empty()) return Support::no(std::move(why));
        if (std::string why = refusal(Machine(*c.system), request_of(c)); !why.empty())
            return Support::no(std::move(why));
        return {};
    }

    std::vector<std::string> algorithms() const override { return known_algorithms(); }

    std::unique_ptr<Session> prepare(const Case& c, Comm&) const override {
        if (only_moves(*c.graph)) return transfer_session(c, false);
        return std::make_unique<WaferSession>(c);
    }

    std::optional<double> cache_tokens(const Case& c) const override {
        const Machine m(*c.system);
        const bool concat = c.mapping.algorithm.find("concat") != std::string::npos;
        const int rows = c.mapping.rows > 0 ? c.mapping.rows : std::min(m.mesh.rows, m.mesh.columns) / 2;
        return wafer::cache_tokens(m, *c.graph, c.units, concat ? CacheManager::concat : CacheManager::shift, rows);
    }

    std::optional<Seconds> transition(const Case& from, const Case& to) const override {
        return wafer::transition(Machine(*from.system), *to.graph, to.units);
    }

    ProgramRound program(const System& system, const std::map<std::string, std::string>& facts) const override {
        return program_round(system, facts);
    }
};

}  // namespace

std::unique_ptr<Backend> make_wafer() { return std::make_unique<Wafer>(); }

}  // namespace wb
