#include "kernels/workloads/model/model_params.hpp"

namespace wb::workloads {

Workload decode() {
    return {"decode",
            "a transformer generates one token of each sequence from its KV cache",
            model_params("tokens already in the cache"),
            [](const Params& p, const Files& files) {
                Graph g("decode");
                build_transformer(g, model_of(p, files), Pass::decode, sequence_of(p));
                return g;
            },
            shrunk,
            model_findings};
}

}  // namespace wb::workloads
