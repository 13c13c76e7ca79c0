#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"
#include "kernels/workloads/model/model_params.hpp"
#include "kernels/workloads/model/phases.hpp"

namespace wb::workloads {
namespace {

Graph build(const Params& p, const Files& files) {
    const ModelConfig model = model_of(p, files);
    if (p.integer("seq") == 0)
        throw Error({"seq", "is missing, and so is a prompt", "how much there is to read is not known",
                     "Give either: seq = 128 tokens, or prompt = \"In the beginning\"."});
    const Sequence prompt = sequence_of(p);
    const std::int64_t tokens = p.positive("tokens");
    if (tokens < 2)
        throw Error({"tokens", "generating 1 token is a prefill", "there would be no phase decode",
                     "Use at least 2, or the workload prefill."});
    if (model.learned_positions && prompt.seq + tokens - 1 > model.positions)
        throw Error({"tokens",
                     fmt::format("{} after {} are more than the {} positions of the model", tokens, prompt.seq,
                                 model.positions),
                     "it has no embedding for the rest",
                     fmt::format("Use at most {}.", std::max<std::int64_t>(0, model.positions - prompt.seq + 1))});
    if (p.has("temperature") && !(p.number("temperature") >= 0))
        throw Error({"temperature", fmt::format("is {}", p.number("temperature")), "logits are divided by it",
                     "Use 0 for the likeliest token, or a positive number."});
    Graph g("generate");
    g.then("prefill", 1, prefill_of(model, prompt));
    then_decode(g, model, prompt, tokens - 1);
    return g;
}

}  // namespace

Workload generate() {
    std::vector<ParamSpec> params = model_params("tokens of each prompt (0 = as many as the prompt has)");
    for (ParamSpec& s : params)
        if (s.name == "seq") s.fallback = std::int64_t{0};
    params.push_back({"tokens", "tokens to generate for each sequence; the prefill yields the first", {}});
    params.push_back(
        {"prompt",
         "a text, ids:464,3290, file:question.txt or a dataset, file:book.h5; hashed tokens where nobody says",
         std::string(),
         {},
         true});
    params.push_back({"eos",
                      "\"model\" or ids as 2,151643: the run ends when all sequences have said such a token, at most "
                      "tokens of each; where nobody says, all have a fixed length and nothing ends them (as with "
                      "--ignore-eos of vLLM), so that every machine does the same work",
                      std::string(),
                      {},
                      true});
    params.push_back({"temperature", "0: always the likeliest token; else drawn, by the seed", 0.0, {}, true});
    return {"generate", "a transformer answers prompts: prefill, then one token after the other", params, build,
            [](const Params& p) {
                Params small = shrunk(p);
                small.set("batch", std::min<std::int64_t>(p.integer("batch"), 8));  // so that replicas may share it
                small.set("tokens", std::min<std::int64_t>(p.integer("tokens"), 4));
                return small;
            }};
}

}  // namespace wb::workloads
