#include "kernels/workloads/model/model_params.hpp"

namespace wb::workloads {

Workload prefill() {
    return {"prefill",
            "a transformer reads its prompts: fills the KV cache, logits of the last token",
            model_params("tokens of each prompt"),
            [](const Params& p, const Files& files) {
                Graph g("prefill");
                build_transformer(g, model_of(p, files), Pass::prefill, sequence_of(p));
                return g;
            },
            shrunk,
            model_findings};
}

}  // namespace wb::workloads
