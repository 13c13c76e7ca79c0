#include "models/wafer/machine.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"
#include "models/gemm_laws.hpp"

namespace wb::wafer {
namespace {

double fitted(const System& s, const std::string& key) {
    const auto found = s.fitted.find(key);
    if (found == s.fitted.end())
        throw Error({s.file, fmt::format("[fitted] has no \"{}\"", key), "the closed form of a wafer needs it",
                     "Fit it, or carry it over from a wafer that has it, and say so."});
    return found->second.value;
}

}  // namespace

Machine::Machine(const System& s) : mesh(mesh_of(s)) {
    row_start = mesh.vector_start_cycles;
    reduce_stage = fitted(s, "reduce_stage_cycles");
    dispatch = mesh.task_start_cycles;
    gemm_step = shift_tasks * mesh.task_start_cycles;
    gemm_word = fitted(s, "gemm_word_cycles");
    if (s.fitted.contains("interface_fraction")) interface_fraction = fitted(s, "interface_fraction");
    if (s.fitted.contains("piece_tokens")) piece_tokens = fitted(s, "piece_tokens");
    layer_regions = s.fitted.contains("layer_regions") && fitted(s, "layer_regions") > 0;
    train_fraction = fitted(s, "train_peak_fraction");
    update_parameter = Seconds(fitted(s, "update_parameter_time"));
    reserved_bytes = fitted(s, "reserved_bytes");
    if (s.memories.size() > 1 && s.memories.back().bandwidth)
        external = BytesPerSecond(s.memories.back().bandwidth->value);
    for (const Fabric& f : s.fabrics) {
        Way w = ways.back();
        if (f.units) w.joined = std::max(w.joined, f.units->value);
        if (f.bandwidth) w.link = BytesPerSecond(f.bandwidth->value);
        w.adds = f.in_network_reduction;
        if (f.latency) w.latency = Seconds(f.latency->value);
        w.name = f.name;
        ways.push_back(w);
    }
    joined = ways.back().joined;
}

const Machine::Way& Machine::way(int wafers) const {
    for (std::size_t i = 1; i < ways.size(); ++i)
        if (ways[i].joined >= wafers) return ways[i];
    return ways.back();
}

double Machine::fma_cycles(DType type) const {
    return type == DType::f16 ? mesh.f16_sram_fma_cycles : mesh.f32_sram_fma_cycles;
}

std::string missing_type(const Graph& graph, const System& system) {
    for (const Tensor& t : graph.tensors())
        if (t.dtype != DType::f16 && t.dtype != DType::f32 && t.dtype != DType::int32)
            return fmt::format("the PEs of {} compute in f32 and f16, \"{}\" is {}", system.id, t.name, name(t.dtype));
    return "";
}

}  // namespace wb::wafer
