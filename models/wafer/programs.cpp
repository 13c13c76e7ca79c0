#include "models/wafer/programs.hpp"

#include <fmt/format.h>

#include <cmath>

#include "core/error.hpp"
#include "models/gemm_laws.hpp"
#include "models/stencil_laws.hpp"
#include "models/vector_laws.hpp"

namespace wb::wafer {
namespace {

using Facts = std::map<std::string, std::string>;

/// Points of the deepest published grid of the 25-point step that fits 48 KiB (Jacquelin et al., SC 2022 leave theirs
/// out).
constexpr std::int64_t deep = 922;
/// u-v kinetic energy of a weather model (FV3): two fields of six operations each, an instruction an operation; each
/// reads one column of a neighbour. Assumed: the count of operations is recalled, not read from its source.
constexpr double uvbke_operations = 12, uvbke_columns = 2;
/// A tile of TLR-MVM that fills half of a PE (Ltaief et al., SC 2023 leave theirs out).
constexpr std::int64_t tile_rows = 64, tile_columns = 128;

double number_or(const Facts& facts, const char* key, double fallback) {
    const auto at = facts.find(key);
    return at == facts.end() ? fallback : std::strtod(at->second.c_str(), nullptr);
}

std::string word_or(const Facts& facts, const char* key, const char* fallback) {
    const auto at = facts.find(key);
    return at == facts.end() ? fallback : at->second;
}

DType type_of(const Facts& facts) {
    return word_or(facts, "dtype", "fp32").find("fp16") == std::string::npos ? DType::f32 : DType::f16;
}

/// The whole wafer where the row does not tell the grid.
StencilShape shape_of(const Mesh& mesh, const Facts& facts, std::int64_t depth) {
    const double columns = number_or(facts, "nx", mesh.columns), rows = number_or(facts, "ny", mesh.rows);
    const double wide = std::max(mesh.rows, mesh.columns), narrow = std::min(mesh.rows, mesh.columns);
    if (std::max(columns, rows) > wide || std::min(columns, rows) > narrow)
        throw Error({"nx, ny", fmt::format("are {:.0f} x {:.0f}", columns, rows),
                     fmt::format("a column of points lies on each of {} x {} PEs", mesh.columns, mesh.rows), ""});
    const auto nz = static_cast<std::int64_t>(number_or(facts, "nz", static_cast<double>(depth)));
    return {static_cast<int>(rows), static_cast<int>(columns), nz, type_of(facts), type_of(facts)};
}

double points(const StencilShape& s) { return static_cast<double>(s.rows) * s.columns * static_cast<double>(s.depth); }

double uvbke_cycles(const Mesh& mesh, const StencilShape& s) {
    const double depth = static_cast<double>(s.depth), step = element_cycles(mesh, s.type);
    return uvbke_operations * std::ceil(mesh.vector_start_cycles + depth * step) +
           uvbke_columns *
               (mesh.microthread_start_cycles + mesh.vector_start_cycles + depth / elements_per_wavelet(s.type));
}

ProgramRound transform(const Mesh& mesh, const Facts& facts) {
    const double n = number_or(facts, "nx", 0);
    if (!(n >= 2) || n > std::min(mesh.rows, mesh.columns) || number_or(facts, "ny", n) != n ||
        number_or(facts, "nz", n) != n)
        throw Error({"nx, ny, nz", "are no cube that fits", "a line of n points lies on each of n x n PEs", ""});
    const double cycles = fft3d_cycles(mesh, static_cast<std::int64_t>(n), type_of(facts));
    return {cycles / mesh.clock_hz, 5 * n * n * n * 3 * std::log2(n), 0,
            "all points pass along their line (Orenes-Vera et al. leave their transposition out)"};
}

ProgramRound low_rank_product(const Mesh& mesh, const Facts& facts) {
    const double wafers = number_or(facts, "gpus", 1);
    const double pes = number_or(facts, "pes", wafers * mesh.rows * mesh.columns);
    const double elements = pes * static_cast<double>(tile_rows * tile_columns);
    return {streamed_gemv_cycles(mesh, DType::f32, tile_rows, tile_columns) / mesh.clock_hz, 2 * elements, 4 * elements,
            fmt::format("tiles of {} x {} assumed", tile_rows, tile_columns)};
}

}  // namespace

ProgramRound program_round(const System& system, const Facts& facts) {
    const Mesh mesh = mesh_of(system);
    const std::string op = word_or(facts, "op", "");
    if (op == "fft3d") return transform(mesh, facts);
    if (op == "tlr-mvm") return low_rank_product(mesh, facts);
    struct Law {
        double (*cycles)(const Mesh&, const StencilShape&);
        double flops;
    };
    static const std::map<std::string, Law> laws{{"bicgstab-stencil7", {bicgstab_iteration_cycles, bicgstab_flops}},
                                                 {"stencil7", {stencil7_cycles, stencil7_flops}},
                                                 {"stencil25", {stencil25_cycles, stencil25_flops}},
                                                 {"stencil-uvbke", {uvbke_cycles, uvbke_operations}}};
    const auto at = laws.find(op);
    if (at == laws.end())
        throw Error({"op", fmt::format("\"{}\" has no closed form on a mesh of PEs", op),
                     "no graph of operators states it either", ""});
    const StencilShape s = shape_of(mesh, facts, deep);
    return {
        at->second.cycles(mesh, s) / mesh.clock_hz, number_or(facts, "gpus", 1) * at->second.flops * points(s), 0,
        facts.contains("nx") ? "" : fmt::format("grid not stated: {} x {} x {} assumed", s.columns, s.rows, s.depth)};
}

}  // namespace wb::wafer
