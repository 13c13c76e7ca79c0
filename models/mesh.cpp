#include "models/mesh.hpp"

#include <fmt/format.h>

#include "core/error.hpp"

namespace wb {

namespace {

const Fact& needed(const System& s, const std::string& key) {
    const auto found = s.mesh.find(key);
    if (found == s.mesh.end())
        throw Error({s.file, fmt::format("[mesh] has no \"{}\"", key), "a mesh cannot be modelled without it",
                     "Add it with its source."});
    return found->second;
}

template <class T>
void take(const System& s, const std::string& key, T& into) {
    if (const auto found = s.mesh.find(key); found != s.mesh.end()) into = static_cast<T>(found->second.value);
}

}  // namespace

Mesh mesh_of(const System& s) {
    if (s.kind != SystemKind::wafer)
        throw Error({s.id, "is not a wafer", "a mesh of PEs is needed", "Choose a system of kind wafer."});
    if (!s.clock) throw Error({s.file, "[unit] has no clock", "cycles cannot be told in seconds", ""});
    Mesh m;
    m.rows = static_cast<int>(needed(s, "rows").value);
    m.columns = static_cast<int>(needed(s, "columns").value);
    m.sram_bytes = static_cast<std::int64_t>(needed(s, "pe_sram").value);
    m.clock_hz = s.clock->value;
    take(s, "colours", m.colours);
    take(s, "hop_cycles", m.hop_cycles);
    take(s, "ramp_cycles", m.ramp_cycles);
    take(s, "sram_banks", m.sram_banks);
    take(s, "f32_fma_per_cycle", m.f32_fma_per_cycle);
    take(s, "f16_fma_per_cycle", m.f16_fma_per_cycle);
    m.f32_sram_fma_cycles = 1 / m.f32_fma_per_cycle;
    m.f16_sram_fma_cycles = 1 / m.f16_fma_per_cycle;
    take(s, "f32_sram_fma_cycles", m.f32_sram_fma_cycles);
    take(s, "f16_sram_fma_cycles", m.f16_sram_fma_cycles);
    take(s, "vector_start_cycles", m.vector_start_cycles);
    take(s, "task_start_cycles", m.task_start_cycles);
    take(s, "microthread_start_cycles", m.microthread_start_cycles);
    take(s, "microthreads", m.microthreads);
    return m;
}

int elements_per_wavelet(DType type) {
    const int width = bits(type);
    if (width == 32) return 1;
    if (width == 16) return 2;
    throw Error({std::string(name(type)), "does not fit a 32-bit wavelet evenly", "links carry 32 bits a cycle",
                 "Use a 32-bit or 16-bit type."});
}

}  // namespace wb
