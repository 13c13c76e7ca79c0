#include "core/backward.hpp"
#include "kernels/workloads/model/model_params.hpp"

namespace wb::workloads {

Workload train() {
    std::vector<ParamSpec> params = model_params("tokens of each sequence");
    params.push_back(data_param());
    return {"train",
            "one optimizer step of a transformer: forward, backward, AdamW",
            std::move(params),
            [](const Params& p, const Files& files) {
                Graph g("train");
                build_transformer(g, model_of(p, files), Pass::train, sequence_of(p));
                add_update(g, derive_backward(g));
                return g;
            },
            shrunk,
            model_findings};
}

}  // namespace wb::workloads
