#pragma once

#include "core/program_times.hpp"

namespace wb::wafer {

/// Closed forms of models/stencil_laws.hpp and of a product that lies in tiles, by the names published rows have:
/// bicgstab-stencil7, stencil7, stencil25, stencil-uvbke, fft3d, tlr-mvm. A column of nz points lies on each of
/// nx x ny PEs. Throws Error for other names, and for grids wider than the wafer.
ProgramRound program_round(const System& system, const std::map<std::string, std::string>& facts);

}  // namespace wb::wafer
