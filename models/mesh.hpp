#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/dtype.hpp"
#include "core/system.hpp"

namespace wb {

/// What a system file's [mesh] says of one wafer: a grid of PEs, each a router, a vector datapath and SRAM of its own.
/// Cycles are of the PE clock. Facts a file lacks take the value shown, which is the ideal machine of the published
/// laws: no start-up costs.
struct Mesh {
    int rows = 0, columns = 0;    ///< of the largest program rectangle
    int colours = 24;             ///< routable colours
    int hop_cycles = 1;           ///< router to neighbouring router
    int ramp_cycles = 2;          ///< router to PE, and PE to router (T_R of Luczynski et al., HPDC 2024)
    std::int64_t sram_bytes = 0;  ///< of one PE
    int sram_banks = 8;
    double clock_hz = 0;
    double f32_fma_per_cycle = 1, f16_fma_per_cycle = 4;  ///< peak of one PE, operands in registers or streams
    /// Cycles of one element of a multiply-add whose three operands lie in SRAM (bank conflicts included).
    double f32_sram_fma_cycles = 1, f16_sram_fma_cycles = 0.25;
    int vector_start_cycles = 0;       ///< from issuing a vector instruction to its first element
    int task_start_cycles = 0;         ///< from an event to the first instruction of the task it activates
    int microthread_start_cycles = 0;  ///< from starting an asynchronous vector instruction to its first element
    int microthreads = 8;              ///< asynchronous vector instructions of one PE that may run at once
};

/// Throws Error if the system is no wafer or lacks a fact that has no default.
Mesh mesh_of(const System& system);

/// Elements of this type that one 32-bit wavelet carries: 1 for 32-bit, 2 for 16-bit types. Throws for others.
int elements_per_wavelet(DType type);

}  // namespace wb
