#pragma once

#include <cuda_runtime.h>

#include "core/error.hpp"

namespace wb::cuda {

/// Throws Error with the runtime's own words if a call has failed.
inline void check(cudaError_t code, const char* what) {
    if (code == cudaSuccess) return;
    throw Error({what, std::string(cudaGetErrorString(code)) + " [" + cudaGetErrorName(code) + "]",
                 "a call of CUDA failed", ""},
                Exit::failed);
}

}  // namespace wb::cuda
