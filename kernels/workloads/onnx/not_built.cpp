// Stands in for load.cpp where the ONNX library was not found.
#include "core/error.hpp"
#include "kernels/workloads/onnx/imported.hpp"

namespace wb::onnx_import {

Imported load(const std::string& path, const Sizes&) {
    throw Error({path, "cannot be read: the ONNX library was not there when this program was built",
                 "it reads the file and knows the rules of its shapes",
                 "Install libonnx-dev and libprotobuf-dev (Debian), or ONNX 1.12 or later, and build again."});
}

}  // namespace wb::onnx_import
