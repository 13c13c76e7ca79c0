#pragma once

#include "core/workload.hpp"
#include "kernels/workloads/model/transformer.hpp"

namespace wb {

/// The parameters all transformer workloads share.
std::vector<ParamSpec> model_params(const char* about_seq);
/// Where the tokens of what has a loss come from; no part of the key where nobody says.
ParamSpec data_param();
/// The model they name, with `layers` and `shrunk` applied, and the sequence.
ModelConfig model_of(const Params& params, const Files& files);
Sequence sequence_of(const Params& params);
/// What was understood of the model: architecture, where its weights come from, what of its files is left aside.
Findings model_findings(const Params& params, const Files& files);
/// Same architecture, few features and tokens.
Params shrunk(const Params& params);

}  // namespace wb
