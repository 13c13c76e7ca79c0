#include <fmt/format.h>

#include <algorithm>

#include "core/error.hpp"
#include "kernels/workloads/model/model_params.hpp"
#include "kernels/workloads/model/phases.hpp"

namespace wb::workloads {
namespace {

Graph build(const Params& p, const Files& files) {
    const ModelConfig model = model_of(p, files);
    const Sequence batch = sequence_of(p);
    const std::int64_t steps = p.positive("steps"), batches = p.positive("evaluate_batches");
    const std::int64_t given = p.integer("checkpoint_every"), every = given == 0 ? steps : given;
    if (every < 1 || every > steps)
        throw Error({"checkpoint_every", fmt::format("{} of {} steps", given, steps), "no checkpoint would be written",
                     "Use 1 to the number of steps, or 0 for one at the end."});
    const SharedGraph step = train_step(model, batch), saved = written(*step), held_out = held_out_loss(model, batch);
    Graph g("pipeline");
    g.then("stage", 1, staged_tokens((steps + batches) * batch.batch * batch.seq));
    g.then("compile", 1, compiled(*step));
    g.then("load", 1, loaded(*held_out));
    for (std::int64_t done = 0; done < steps; done += every) {
        g.then("train", std::min(every, steps - done), step);
        g.then("checkpoint", 1, saved);
    }
    g.then("evaluate", batches, held_out);
    return g;
}

Params small(const Params& p) {
    Params out = shrunk(p);
    out.set("steps", std::min<std::int64_t>(p.integer("steps"), 2));
    out.set("checkpoint_every", std::int64_t{0});
    out.set("evaluate_batches", std::int64_t{1});
    out.set("batch", std::min<std::int64_t>(p.integer("batch"), 8));  // so that replicas may share it
    return out;
}

}  // namespace

Workload pipeline() {
    std::vector<ParamSpec> params = model_params("tokens of each sequence");
    params.push_back({"steps", "optimizer steps", {}});
    params.push_back({"checkpoint_every", "steps between checkpoints (0 = one at the end)", std::int64_t{0}});
    params.push_back({"evaluate_batches", "held-out batches after the last step", std::int64_t{1}});
    params.push_back(
        {"data", "text or dataset to train on: a file, builtin, or nothing for hashed tokens", std::string()});
    return {"pipeline", "stage tokens, compile, load weights, train, checkpoint, evaluate", params, build, small};
}

}  // namespace wb::workloads
