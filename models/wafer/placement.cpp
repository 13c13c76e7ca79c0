#include "models/wafer/placement.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "core/units.hpp"
#include "models/wafer/bare_op.hpp"
#include "models/wafer/between.hpp"

namespace wb::wafer {
namespace {

std::int64_t batch_of(const Graph& g) {
    std::int64_t batch = 1;
    for (const Op& op : g.ops()) batch = std::max(batch, op.attributes.batch);
    return batch;
}

/// Bytes that pass from layer to layer.
double passed_bytes(const Graph& g) {
    double most = 0;
    for (const Block& block : g.blocks())
        for (const Carry& c : block.carries) most = std::max(most, g.bytes(c.in).si());
    return most;
}

/// Weights of one iteration of a block.
double block_weights(const Graph& g, int block) {
    double sum = 0;
    for (std::size_t i = 0; i < g.tensors().size(); ++i)
        if (g.tensors()[i].role == Role::weight && g.tensors()[i].block == block) sum += g.bytes(tensor_id(i)).si();
    return sum;
}

int regions_of(const Machine& m, const Footprint& f, Grid grid) {
    return std::max(1, static_cast<int>(std::ceil(f.total() / (grid.pes() * m.usable_bytes()))));
}

void add_span(Placement& p, const char* resource, const Block& block, Seconds duration, Flops flops = Flops(0),
              Bytes bytes = Bytes(0)) {
    if (duration <= Seconds(0)) return;
    Span s;
    s.op = block.first;
    s.resource = resource;
    s.phase = block.phase;
    s.start = p.time;
    s.duration = duration;
    s.flops = flops;
    s.bytes = bytes;
    p.spans.push_back(s);
    p.time += duration;
}

/// Layers, and what stands before and after them.
double layers_of(const Graph& g) {
    double layers = 0;
    for (const Block& block : g.blocks()) layers += static_cast<double>(block.repeat);
    return std::max(1.0, layers);
}

std::vector<Grid> candidates(const Machine& m, const Request& r) {
    if (r.mapping.rows > 0) return {{r.mapping.rows, r.mapping.columns}};
    std::vector<Grid> grids{m.whole()};
    const int side = std::min(m.mesh.rows, m.mesh.columns);
    for (int parts = 1; parts <= 32 && side / parts >= 8; ++parts) grids.push_back({side / parts, side / parts});
    for (int n = 30; n < side; n += 30) grids.push_back({n, n});
    if (!m.layer_regions || r.streamed()) return grids;
    // Users follow each other through the layers, and weights stay where they are between prompts and answers.
    const double most = r.wafers * m.whole().pes() / layers_of(r.graph);
    std::erase_if(grids, [&](Grid g) { return g.pes() > most; });
    const int edge = std::min(side, static_cast<int>(std::sqrt(most)));
    grids.push_back({edge, edge});
    return grids;
}

/// Queries of each sequence.
std::int64_t queries_of(const Graph& g) {
    std::int64_t most = 1;
    for (const Op& op : g.ops())
        if (op.kind == OpKind::attention) most = std::max(most, op.attributes.seq);
    return most;
}

/// Pieces of the batch; where the runtime cuts prompts too, so small that weights stay in place while the tokens of a
/// piece pass them as single vectors do (with the causal mask a piece needs only those before it).
std::vector<std::int64_t> splits(const Machine& m, const Request& r) {
    if (r.mapping.microbatches > 1) return {r.mapping.microbatches};
    const std::int64_t batch = batch_of(r.graph);
    std::vector<std::int64_t> out;
    for (std::int64_t n = 1; n <= batch; n *= 2) out.push_back(n);
    if (m.piece_tokens <= 0 || r.streamed() || r.mapping.rows > 0) return out;
    const double most = static_cast<double>(batch * queries_of(r.graph)) / m.piece_tokens;
    for (std::int64_t n = 2 * batch; static_cast<double>(n) <= most; n *= 2) out.push_back(n);
    return out;
}

/// One new token of each sequence, from a cache.
bool decodes(const Graph& g) {
    return std::any_of(g.ops().begin(), g.ops().end(),
                       [](const Op& op) { return op.kind == OpKind::cache_write && op.attributes.seq == 1; });
}

Placement kernel(const Machine& m, const Graph& g, const BareOp& op) {
    Placement p;
    p.grid = op.grid;
    p.cost = op.cost;
    p.algorithm = op.algorithm;
    const Block& block = g.blocks().front();
    add_span(p, "compute", block, m.seconds(op.cost.compute));
    add_span(p, "fabric", block, m.seconds(op.cost.fabric), Flops(0), Bytes(op.cost.bytes));
    add_span(p, "dispatch", block, m.seconds(op.cost.dispatch));
    p.sram_bytes = op.sram_bytes;
    return p;
}

/// A kernel of its own on one wafer. Between wafers an op is placed as in a model.
bool is_bare(const Request& r) { return r.graph.ops().size() == 1 && r.wafers == 1; }

}  // namespace

std::string Placement::text(const Machine& m) const {
    std::string out = fmt::format("{}x{}", grid.rows, grid.columns);
    if (mode == Mode::streamed)
        out += " weights streamed";
    else if (grid == m.whole())
        out += " whole wafer";
    else if (!apart)
        out += " layers in turn";
    else if (regions > 1)
        out += fmt::format(" {} regions", regions);
    if (!algorithm.empty()) out += " " + algorithm;
    if (pieces > 1) out += fmt::format(" {} pieces", pieces);
    return out;
}

std::string refusal(const Machine& m, const Request& r) {
    if (r.mapping.rows > m.mesh.rows || r.mapping.columns > m.mesh.columns)
        return fmt::format("{} x {} PEs asked for, a wafer has {} x {}", r.mapping.rows, r.mapping.columns, m.mesh.rows,
                           m.mesh.columns);
    if (r.wafers > m.joined)
        return fmt::format("{} wafers are more than the {:.0f} that are joined", r.wafers, m.joined);
    if (r.partial() || r.streamed() || has_loss(r.graph)) return "";
    if (is_bare(r)) return bare_op(m, r.graph, r.mapping).refused;
    const double need = footprint(r.graph).total(), room = r.wafers * m.whole().pes() * m.usable_bytes();
    if (need <= room) return "";
    return fmt::format("needs {} of SRAM, {} wafer{} hold {}", format(Bytes(need)), r.wafers, r.wafers > 1 ? "s" : "",
                       format(Bytes(room)));
}

Placement evaluate(const Machine& m, const Request& r, Grid grid, std::int64_t pieces) {
    const Graph& g = r.graph;
    const Footprint f = footprint(g);
    Placement p;
    p.grid = grid;
    p.pieces = pieces;
    p.mode = r.streamed() ? Mode::streamed : Mode::resident;
    p.regions = p.mode == Mode::streamed ? 1 : std::max(regions_of(m, f, grid), r.wafers);
    const bool own = m.layer_regions && p.mode == Mode::resident && r.mapping.rows == 0;
    if (own) p.regions = std::max(p.regions, static_cast<int>(layers_of(g)));
    p.apart = own || p.regions <= r.wafers * (m.mesh.rows / grid.rows) * (m.mesh.columns / grid.columns);
    const double taken = r.partial() ? m.usable_bytes() / 2 : f.total() / r.wafers / m.whole().pes();
    const Where where{grid, pieces, r.mapping.algorithm, std::max(0.0, m.usable_bytes() - taken)};
    // A pipeline of equal regions with `pieces` under way: the time of one piece, and one region more for each other.
    const double stretch = 1 + static_cast<double>(pieces - 1) / p.regions;
    for (std::size_t b = 0; b < g.blocks().size(); ++b) {
        const Block& block = g.blocks()[b];
        Cost sum;
        for (int i = block.first; i < block.last; ++i)
            sum = sum + op_cost(m, g, g.ops()[static_cast<std::size_t>(i)], where);
        sum = sum * (static_cast<double>(block.repeat) * stretch);
        p.cost = p.cost + sum;
        add_span(p, "compute", block, m.seconds(sum.compute));
        add_span(p, "fabric", block, m.seconds(sum.fabric), Flops(0), Bytes(sum.bytes));
        add_span(p, "dispatch", block, m.seconds(sum.dispatch));
        if (p.mode != Mode::streamed || m.external <= BytesPerSecond(0)) continue;
        const double streamed = block_weights(g, static_cast<int>(b)) * static_cast<double>(block.repeat);
        p.io_bytes += streamed;
        add_span(p, "external", block, Bytes(streamed) / m.external - m.seconds(sum.cycles()), Flops(0),
                 Bytes(streamed));
    }
    if (p.regions > r.wafers) {  // from region to region, half across each
        const double hops = (p.regions - r.wafers) * (grid.rows + grid.columns) / 2.0 * stretch;
        p.cost.fabric += hops;
        add_span(p, "fabric", g.blocks().back(), m.seconds(hops));
    }
    if (r.wafers > 1) {
        const double bytes = passed_bytes(g) / static_cast<double>(pieces);
        const Machine::Way& fabric = m.way(r.wafers);
        const Seconds way = Bytes(bytes) / fabric.link, stage = p.time * (1 / (stretch * p.regions));
        p.between = (fabric.latency + way) * static_cast<double>(r.wafers - 1);
        if (way > stage) p.between += (way - stage) * static_cast<double>(pieces - 1);  // the link sets the pace
        p.io_bytes += bytes * static_cast<double>(pieces);
        add_span(p, "wafer to wafer", g.blocks().back(), p.between, Flops(0), Bytes(bytes * (r.wafers - 1)));
    }
    if (m.interface_fraction < 1 && decodes(g))
        add_span(p, "interface", g.blocks().back(), p.time * (1 / m.interface_fraction - 1));
    return p;
}

Search place(const Machine& m, const Request& r) {
    Search s;
    if (r.wafers > 1 && r.graph.ops().size() == 1 && r.graph.ops().front().kind == OpKind::collective)
        return {between_wafers(m, r), 1, 1};
    if (is_bare(r))
        if (const BareChoice bare = bare_op(m, r.graph, r.mapping); bare.best)
            return {kernel(m, r.graph, *bare.best), 1, 1};
    for (Grid grid : candidates(m, r))
        for (std::int64_t pieces : splits(m, r)) {
            Placement p = evaluate(m, r, grid, pieces);
            ++s.tried;
            s.ops += static_cast<std::int64_t>(r.graph.ops().size());
            // With one region there is no pipeline: pieces only cost.
            if (s.tried == 1 || p.time < s.best.time) s.best = std::move(p);
        }
    return s;
}

}  // namespace wb::wafer
