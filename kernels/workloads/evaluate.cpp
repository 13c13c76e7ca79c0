#include "kernels/workloads/model/model_params.hpp"
#include "kernels/workloads/model/phases.hpp"

namespace wb::workloads {

Workload evaluate() {
    std::vector<ParamSpec> params = model_params("tokens of each sequence");
    params.push_back(data_param());
    return {"evaluate", "the loss of a transformer on held-out tokens: one batch, forward only", std::move(params),
            [](const Params& p, const Files& files) { return *held_out_loss(model_of(p, files), sequence_of(p)); },
            shrunk};
}

}  // namespace wb::workloads
