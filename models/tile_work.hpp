#pragma once

#include <cstdint>

#include "core/dtype.hpp"
#include "models/mesh.hpp"

namespace wb {

/// Vector work of one PE that multiplies tiles in its SRAM: C += A B runs as k n instructions c[:, j] += b[l, j] a[:,
/// l] of m elements each, as the SUMMA of csl-examples does.
struct TileWork {
    double instructions = 0, elements = 0, cycles_per_element = 1;
    double cycles(const Mesh& mesh) const {
        return instructions * (mesh.vector_start_cycles + elements * cycles_per_element);
    }
};

/// Share of those instructions that read both operands from the same half of the banks, in columns of `m` elements. A
/// PE reads two words a cycle only from different halves (a digest of the SDK documentation: "bank1 % 4 != bank2
/// % 4"). Columns l and j start (l - j) m words apart, plus a distance between the arrays that is chosen well: none
/// collide if m is a multiple of the half's banks; else every one of their positions is as likely as another.
double bank_conflict_share(const Mesh& mesh, DType type, std::int64_t m);

/// Cycles of one element of such an instruction: the machine's for a multiply-add in SRAM, and on a collision the
/// second read takes a cycle of its own, for as many elements as the datapath takes in one.
double sram_fma_cycles(const Mesh& mesh, DType type, std::int64_t m);

/// C[m, n] += A[m, k] B[k, n].
TileWork tile_product(const Mesh& mesh, DType type, std::int64_t m, std::int64_t k, std::int64_t n);

}  // namespace wb
