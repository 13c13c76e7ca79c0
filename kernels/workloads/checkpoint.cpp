#include "core/dtype_param.hpp"
#include "kernels/workloads/model/model_params.hpp"
#include "kernels/workloads/model/phases.hpp"

namespace wb::workloads {
namespace {

Graph build(const Params& p, const Files& files) {
    const SharedGraph step = train_step(model_of(p, files), {1, 1, dtype_of(p)});
    Graph g("checkpoint");
    g.then("checkpoint", 1, written(*step));
    g.then("restore", 1, restored(*step));
    g.then("load", 1, loaded(*step));
    return g;
}

Params small(const Params& p) {
    Params out = p;
    out.set("shrunk", true);
    return out;
}

}  // namespace

Workload checkpoint() {
    std::vector<ParamSpec> params;
    for (ParamSpec& s : model_params(""))
        if (s.name != "batch" && s.name != "seq") params.push_back(std::move(s));
    return {"checkpoint", "weights and optimizer state of a transformer to storage and back", params, build, small};
}

}  // namespace wb::workloads
