#pragma once

#include "core/dtype.hpp"
#include "core/params.hpp"

namespace wb {

/// The `dtype` parameter every workload has, and its value. Unknown names are Errors with a suggestion.
ParamSpec dtype_param(const char* fallback = "f32");
DType dtype_of(const Params& params);

}  // namespace wb
