#include "models/fabric/session.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "core/error.hpp"
#include "core/units.hpp"
#include "models/fabric/simulator.hpp"

namespace wb::fabric {
namespace {

/// Of tensors; outputs and those of the judge, in f64, and the PEs' memories come on top.
constexpr double most_host_bytes = 4e8;
constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

}  // namespace

MeshSession::MeshSession(const Case& c, Candidate candidate)
    : graph_(c.graph),
      mesh_(mesh_of(*c.system)),
      candidate_(std::move(candidate)),
      seed_(c.seed),
      threads_(std::max(1, c.threads)) {}

bool MeshSession::too_large_for_data() const { return host_bytes(*graph_, candidate_.ranks) > most_host_bytes; }

void MeshSession::poison() {
    if (too_large_for_data()) return;
    if (!host_) host_ = std::make_unique<HostTensors>(*graph_, seed_, candidate_.ranks);
    host_->poison();
    watched_ = true;
    computed_ = false;
}

void MeshSession::simulate(bool data) {
    Options o;
    o.rows = candidate_.rows;
    o.columns = candidate_.columns;
    o.data = data;
    o.threads = threads_;
    const Job job = candidate_.job(data ? host_.get() : nullptr);
    Simulator simulator(mesh_, o);
    Result r = simulator.run(job.program);
    if (data && job.collect) job.collect(simulator);
    if (result_ && result_->cycles != r.cycles)
        throw Error(
            {"simulator",
             fmt::format("{} cycles with data and {} without, or the other way round", r.cycles, result_->cycles),
             "time must not depend on data", "This is a bug; please report it."});
    result_ = std::move(r);
    computed_ = data;
}

Sample MeshSession::run() {
    if (watched_ || !result_) simulate(watched_);
    watched_ = false;
    return {time_of(static_cast<double>(result_->cycles)), spans()};
}

std::vector<Span> MeshSession::spans() const {
    std::vector<Phase> phases = result_->timeline;
    if (phases.empty()) phases.push_back({graph_->ops().front().name, 0, result_->cycles, 0});
    std::vector<Span> out;
    for (const Phase& p : phases) {
        Span span;
        span.op = 0;
        span.resource = "mesh";
        span.phase = p.name;
        span.start = time_of(static_cast<double>(p.begin));
        span.duration = time_of(static_cast<double>(p.end - p.begin));
        out.push_back(span);
    }
    return out;
}

std::optional<Outputs> MeshSession::outputs() {
    if (!computed_) {
        poison();
        if (!watched_) return std::nullopt;
        simulate(true);
        watched_ = false;
    }
    return host_->outputs();
}

double MeshSession::busy_share() const {
    const double busy = std::accumulate(result_->busy.begin(), result_->busy.end(), 0.0);
    const double all = static_cast<double>(result_->cycles) * candidate_.rows * candidate_.columns;
    return all > 0 ? busy / all : 0;
}

std::vector<Grid> MeshSession::grids() const {
    const double cycles = std::max<double>(1, static_cast<double>(result_->cycles));
    const auto grid = [&](const char* name, const char* about, const std::vector<std::uint32_t>& counts,
                          std::size_t first, std::size_t step) {
        std::vector<double> shares;
        for (std::size_t i = first; i < counts.size(); i += step) shares.push_back(counts[i] / cycles);
        return make_grid(name, "1", about, candidate_.rows, candidate_.columns, std::move(shares));
    };
    const auto& links = result_->link_use;
    return {grid("link_north", "wavelets sent north a cycle", links, 0, port_count),
            grid("link_east", "wavelets sent east a cycle", links, 1, port_count),
            grid("link_south", "wavelets sent south a cycle", links, 2, port_count),
            grid("link_west", "wavelets sent west a cycle", links, 3, port_count),
            grid("ramp", "wavelets handed to the PE a cycle", links, 4, port_count),
            grid("datapath", "cycles in which the datapath did arithmetic", result_->busy, 0, 1)};
}

std::string MeshSession::detail() const {
    const double cycles = static_cast<double>(result_->cycles);
    const std::string law =
        cycles > 0 ? fmt::format(" (closed form {:+.1f} %)", 100 * (candidate_.cycles / cycles - 1)) : "";
    return fmt::format("{} on {}x{} PEs: {} cycles{} at {}, datapaths busy {:.3g} %{}", candidate_.algorithm,
                       candidate_.rows, candidate_.columns, result_->cycles, law, format(Hertz(mesh_.clock_hz)),
                       100 * busy_share(), too_large_for_data() ? "; too large to carry data" : "");
}

ResourceUse MeshSession::usage() const {
    WB_EXPECT(result_.has_value());
    ResourceUse use;
    use.memory.push_back({"SRAM of the fullest PE", Bytes(static_cast<double>(mesh_.sram_bytes)),
                          Bytes(static_cast<double>(result_->sram_peak)), Bytes(0)});
    CommUse wavelets;
    wavelets.fabric = "mesh";
    wavelets.operation = "wavelets";
    wavelets.calls = static_cast<std::int64_t>(result_->injected);
    wavelets.bytes = Bytes(4.0 * static_cast<double>(result_->hops));
    wavelets.time = wavelets.exposed = Seconds(unknown);
    use.communication.push_back(wavelets);
    use.grids = grids();
    // PEs that work on padding do more than the graph asks for; one that did less would have lost some of it.
    const double wanted = graph_->flops().si(), done = 2 * result_->fma;
    use.useful = Flops(std::abs(done - wanted) <= 1e-9 * wanted ? wanted : std::min(done, wanted));
    use.overhead = Flops(std::max(0.0, done - use.useful.si()) + candidate_.padding_flops);
    use.mapping = fmt::format("{}x{} {}", candidate_.rows, candidate_.columns, candidate_.algorithm);
    use.detail = detail();
    use.band = {1, 1, "none yet: see docs/models.md"};
    return use;
}

}  // namespace wb::fabric
