#include <fmt/format.h>

#include "core/error.hpp"
#include "kernels/workloads/onnx/translator.hpp"

namespace wb::onnx_import {

Plan translate(const Imported& graph, const Sizes& sizes, const std::string& path) {
    Translator translator(graph, sizes);
    translator.run();
    if (translator.unsupported().empty()) return translator.take();
    std::string list;
    int count = 0;
    for (const auto& [what, n] : translator.unsupported()) {
        list += fmt::format("{}{}{}", list.empty() ? "" : ", ", what, n > 1 ? fmt::format(" x{}", n) : "");
        count += n;
    }
    throw Error({path, fmt::format("{} of its {} nodes have no counterpart: {}", count, graph.nodes_in_file, list),
                 "their work would be missing from every figure",
                 "Known are transformers of MatMul, Gemm, LayerNormalization, RMSNorm, Softmax attention with causal, "
                 "window or no masks, GELU, gated SiLU, rotary and learned positions, caches and embeddings."});
}

}  // namespace wb::onnx_import
