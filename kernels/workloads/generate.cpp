#include "kernels/workloads/model/model_params.hpp"
#include "kernels/workloads/model/phases.hpp"

#include <algorithm>

#include "core/error.hpp"

namespace wb::workloads {
namespace {

Graph build(const Params& p, const Files& files) {
    const ModelConfig model = model_of(p, files);
    const Sequence prompt = sequence_of(p);
    const std::int64_t tokens = p.positive("tokens");
    if (tokens < 2)
        throw Error({"tokens", "generating 1 token is a prefill", "there would be no phase decode",
                     "Use at least 2, or the workload prefill."});
    Graph g("generate");
    g.then("prefill", 1, prefill_of(model, prompt));
    then_decode(g, model, prompt, tokens - 1);
    return g;
}

}  // namespace

Workload generate() {
    std::vector<ParamSpec> params = model_params("tokens of each prompt");
    params.push_back({"tokens", "tokens to generate for each sequence; the prefill yields the first", {}});
    return {"generate", "a transformer answers prompts: prefill, then one token after the other", params, build,
            [](const Params& p) {
                Params small = shrunk(p);
                small.set("tokens", std::min<std::int64_t>(p.integer("tokens"), 4));
                return small;
            }};
}

}  // namespace wb::workloads
