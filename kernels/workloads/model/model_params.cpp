#include "kernels/workloads/model/model_params.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/dtype_param.hpp"
#include "core/error.hpp"

namespace wb {

std::vector<ParamSpec> model_params(const char* about_seq) {
    return {{"model", "a folder of configs/models, or a shape: {hidden=4096,layers=32,heads=32,ffn=11008,vocab=32000,gated=1}", {}},
            {"batch", "sequences", std::int64_t{1}},
            {"seq", about_seq, {}},
            {"layers", "build only that many layers (0 = all)", std::int64_t{0}},
            {"shrunk", "a few features wide: what verification uses", false},
            dtype_param()};
}

ModelConfig model_of(const Params& p, const Files& files) {
    ModelConfig m = load_model(p.word("model"), files);
    if (const std::int64_t n = p.integer("layers"); n != 0) {
        if (n < 0 || n > m.layers)
            throw Error({"layers", fmt::format("{} of a model of {}", n, m.layers),
                         "a part cannot be more than the whole", ""});
        m.layers = n;
        m.dense_layers = std::min(m.dense_layers, n - 1);
    }
    return p.flag("shrunk") ? m.shrunk() : m;
}

Sequence sequence_of(const Params& p) { return {p.positive("batch"), p.positive("seq"), dtype_of(p)}; }

Params shrunk(const Params& p) {
    Params small = p;
    small.set("shrunk", true);
    small.set("batch", std::min<std::int64_t>(p.integer("batch"), 2));
    small.set("seq", std::min<std::int64_t>(p.integer("seq"), 19));
    return small;
}

}  // namespace wb
