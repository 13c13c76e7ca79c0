#pragma once

#include <vector>

#include "core/config.hpp"
#include "core/system.hpp"

namespace wb {

/// A rectangle of PEs an experiment asks for.
struct MeshChoice {
    int rows = 0, columns = 0;
};

/// The key `mesh` of a [[system]]: "32x32", rows x columns, or a list of them; empty if it is absent. Throws Error if
/// one is no mesh, the system has none, or it is larger than the machine's.
std::vector<MeshChoice> read_meshes(const Config& config, const System& system);

}  // namespace wb
