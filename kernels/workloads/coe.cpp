#include <algorithm>

#include "kernels/workloads/model/model_params.hpp"
#include "kernels/workloads/model/phases.hpp"

namespace wb::workloads {
namespace {

Graph build(const Params& p, const Files& files) {
    const ModelConfig expert = model_of(p, files);
    Params router = p;
    router.set("model", p.word("router"));
    router.set("layers", std::int64_t{0});
    const Sequence prompt = sequence_of(p);
    const std::int64_t requests = p.positive("requests"), tokens = p.positive("tokens");
    const SharedGraph prefill = prefill_of(expert, prompt);
    Graph g("coe");
    g.then("route", requests, prefill_of(model_of(router, files), prompt));
    g.then("switch", requests, switched(*prefill, p.positive("experts")));
    g.then("prefill", requests, prefill);
    if (tokens > 1) then_decode(g, expert, prompt, tokens - 1, requests);
    return g;
}

Params small(const Params& p) {
    Params out = shrunk(p);
    out.set("experts", std::min<std::int64_t>(p.integer("experts"), 4));
    out.set("requests", std::int64_t{1});
    out.set("tokens", std::min<std::int64_t>(p.integer("tokens"), 3));
    return out;
}

}  // namespace

Workload coe() {
    std::vector<ParamSpec> params = model_params("tokens of each prompt");
    params.push_back({"router", "the model that picks an expert for each request", {}});
    params.push_back({"experts", "models alike, each picked as often as any other", std::int64_t{150}});
    params.push_back({"requests", "prompts, one after the other", std::int64_t{1}});
    params.push_back({"tokens", "tokens to generate for each prompt", {}});
    return {"coe", "a composition of experts: a router picks one of many whole models for each prompt", params, build,
            small};
}

}  // namespace wb::workloads
