#include <fmt/format.h>

#include "core/error.hpp"
#include "kernels/workloads/onnx/translator.hpp"

namespace wb::onnx_import {

namespace {

/// The same for this many sequences at once.
void multiply(Plan& plan, std::int64_t copies) {
    for (Plan::Tensor& t : plan.tensors)
        if (t.role != Role::weight) t.shape[0] *= copies;
    for (Plan::Op& op : plan.ops) switch (op.kind) {
            case OpKind::attention:
            case OpKind::rope:
            case OpKind::position_embed:
            case OpKind::last_rows:
            case OpKind::cache_write: op.attributes.batch *= copies; break;
            default: break;
        }
}

}  // namespace

Plan translate(const Imported& graph, const Sizes& sizes, const std::string& path) {
    Translator translator(graph, sizes);
    translator.run();
    if (translator.unsupported().empty()) {
        Plan plan = translator.take();
        multiply(plan, graph.copies);
        return plan;
    }
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
