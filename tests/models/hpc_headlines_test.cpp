#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <string>

#include "models/gemm_laws.hpp"
#include "models/stencil_laws.hpp"

using namespace wb;

namespace {

System shipped(const std::string& id) {
    return load_system(std::string(WB_SOURCE_DIR) + "/configs/systems/" + id + ".toml");
}

/// One published figure beside the closed form; `most` is the relative error that is explained.
void headline(const char* what, const char* source, double published, double modelled, const char* unit, double most,
              const std::string& why) {
    const double error = modelled / published - 1;
    fmt::print("  {:<44} {:>9.4g} {:>9.4g} {:<8} {:+6.1f} %  {} ({})\n", what, published, modelled, unit, 100 * error,
               why, source);
    CHECK(std::abs(error) < most);
}

}  // namespace

TEST_CASE("published figures of scientific codes beside the closed forms") {
    const System first = shipped("wse1"), second = shipped("wse2");
    const Mesh one = mesh_of(first), two = mesh_of(second);
    fmt::print("  {:<44} {:>9} {:>9}\n", "", "published", "modelled");

    const StencilShape solver{595, 600, 1536, DType::f16, DType::f16};
    const double points = 595.0 * 600 * 1536;
    headline("BiCGStab, 7 points, 600 x 595 x 1536, mixed", "Rocki et al., SC 2020, arXiv:2010.03660", 0.86e15,
             bicgstab_flops * points / (bicgstab_iteration_cycles(one, solver) / one.clock_hz), "FLOP/s", 0.25,
             "f16 vectors from SRAM taken at the datapath's peak of 4 a cycle");

    const StencilShape wave{two.rows, two.columns, 922, DType::f32, DType::f32};
    const double cells = static_cast<double>(two.rows) * two.columns * 922;
    headline("wave equation, 25 points, 922 a PE, f32", "Jacquelin et al., SC 2022, arXiv:2204.03775", 503e12,
             stencil25_flops * cells / (stencil25_cycles(two, wave) / two.clock_hz), "FLOP/s", 0.25,
             "grid and FLOPs a point are not in the source: 922 and 53 assumed");

    headline(
        "FFT of 512^3 complex f32 on 512 x 512", "Orenes-Vera et al., ICS 2023, arXiv:2209.15040", 0.959e-3,
        fft3d_cycles(two, 512, DType::f32) / two.clock_hz, "s", 0.25,
        fmt::format("its transposition is not in the source: all points pass along their line; straight ways: {:.3g} s",
                    fft3d_least_cycles(two, 512, DType::f32) / two.clock_hz));

    const double tile = 64.0 * 128, bytes = 4 * tile * two.rows * two.columns;
    headline("TLR-MVM, bytes of matrix read, one wafer, f32", "Ltaief et al., SC 2023", 92.58e15 / 48,
             bytes / (streamed_gemv_cycles(two, DType::f32, 64, 128) / two.clock_hz), "B/s", 0.35,
             "tiles of 64 x 128 assumed, one after another without a gap");
}

TEST_CASE("closed forms of scientific codes keep their laws") {
    const Mesh mesh = mesh_of(shipped("wse2"));
    const StencilShape deep{100, 100, 800, DType::f32, DType::f32};
    StencilShape half = deep, wide = deep;
    half.depth = 400;
    wide.rows = wide.columns = 300;
    for (const auto law : {stencil7_cycles, stencil25_cycles}) {
        CHECK(law(mesh, half) < law(mesh, deep));
        CHECK(law(mesh, half) > 0.45 * law(mesh, deep));
        CHECK(law(mesh, wide) == law(mesh, deep));  // every PE has its own column: weak scaling without loss
    }
    CHECK(bicgstab_iteration_cycles(mesh, wide) > bicgstab_iteration_cycles(mesh, deep));  // its reductions have not
    CHECK(scalar_allreduce_cycles(mesh, 600, 600) > 1200);
    CHECK(scalar_allreduce_cycles(mesh, 600, 600) < 1.3 * 1200);
    CHECK(fft3d_least_cycles(mesh, 512, DType::f32) < fft3d_cycles(mesh, 512, DType::f32));
}
