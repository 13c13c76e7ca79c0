#pragma once

#include <string>

#include "core/params.hpp"
#include "core/workload.hpp"

namespace wb {

/// A file beside the config.json of a model, which is known by name or by path; empty if there is none.
std::string beside_config(const std::string& model, const std::string& file, const Files& files);

/// The parameters with the ids of the tokens that end a sequence as "eos", "2,151643", where they ask for those of the
/// "model": its generation_config.json names them, else its config.json, else its tokenizer_config.json. Parameters
/// without "eos" stay as they are: every sequence has as many tokens as were asked for. Throws Error: the model names
/// none, or what is given are no ids.
Params with_end_of_text(Params params, const Files& files);

}  // namespace wb
