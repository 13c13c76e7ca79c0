#pragma once

#include <mpi.h>

#include <array>
#include <cstddef>
#include <string_view>

#include "core/dtype.hpp"

namespace wb {

/// Throws Error with MPI's own text unless `code` is MPI_SUCCESS.
void check(int code, std::string_view call);

/// How elements of one DType travel and are added.
struct Wire {
    MPI_Datatype type;
    MPI_Op sum;
    bool own = false;
};

/// The wires of all types. Made after MPI_Init, gone before MPI_Finalize.
class Wires {
public:
    Wires();
    ~Wires();
    Wires(const Wires&) = delete;
    Wires& operator=(const Wires&) = delete;
    const Wire& of(DType type) const;

private:
    std::array<Wire, static_cast<std::size_t>(DType::any8) + 1> all_{};
};

}  // namespace wb
