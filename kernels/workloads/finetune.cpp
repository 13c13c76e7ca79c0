#include <fmt/format.h>
#include <algorithm>

#include "core/backward.hpp"
#include "core/error.hpp"
#include "kernels/workloads/model/model_params.hpp"

namespace wb::workloads {
namespace {

Adapters adapters_of(const Params& p) {
    const std::string& where = p.word("adapters");
    if (where != "attention" && where != "all")
        throw Error(
            {"adapters", fmt::format("\"{}\" is no place for adapters", where), "", "Say \"attention\" or \"all\"."});
    return {p.positive("rank"), where == "all"};
}

std::vector<TensorId> frozen_of(const Graph& g) {
    std::vector<TensorId> out;
    for (std::size_t i = 0; i < g.tensors().size(); ++i) {
        const Tensor& t = g.tensors()[i];
        const bool trained = t.name.ends_with(".adapter_a") || t.name.ends_with(".adapter_b");
        if (t.role == Role::weight && !trained) out.push_back(tensor_id(i));
    }
    return out;
}

Params small(const Params& p) {
    Params out = shrunk(p);
    out.set("rank", std::min<std::int64_t>(p.integer("rank"), 4));
    return out;
}

}  // namespace

/// Hu et al. 2021. Rank and places as in the MLPerf benchmark llama2_70b_lora: 16, beside q, k, v and the output of
/// attention; its dropout is left out.
Workload finetune() {
    std::vector<ParamSpec> params = model_params("tokens of each sequence");
    params.push_back({"rank", "of the adapters", std::int64_t{16}});
    params.push_back(
        {"adapters", "beside the matrices of \"attention\", or of \"all\": the MLP too", std::string("attention")});
    return {"finetune", "one optimizer step of low-rank adapters; all other weights are frozen", std::move(params),
            [](const Params& p, const Files& files) {
                Graph g("finetune");
                build_transformer(g, model_of(p, files), Pass::train, sequence_of(p), adapters_of(p));
                const std::vector<TensorId> frozen = frozen_of(g);
                add_update(g, derive_backward(g, {}, {}, frozen));
                return g;
            },
            small};
}

}  // namespace wb::workloads
