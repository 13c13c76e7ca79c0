#include "kernels/workloads/model/inline_model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <map>

#include "core/error.hpp"
#include "core/suggest.hpp"

namespace wb {
namespace {

using Sizes = std::map<std::string, std::int64_t>;

[[noreturn]] void fail(const std::string& problem, const std::string& why, const std::string& hint = "") {
    throw Error({"model", problem, why, hint});
}

Sizes read(const std::string& text) {
    if (!text.ends_with('}')) fail(fmt::format("{} has no closing bracket", in_quotes(text)), "its shape is not whole");
    static const std::vector<std::string> known{"hidden",   "layers", "heads",   "kv_heads",
                                                "head_dim", "ffn",    "vocab",   "gated",
                                                "experts",  "topk",   "moe_ffn", "shared_experts"};
    Sizes shape;
    for (std::size_t at = 1; at + 1 < text.size();) {
        const std::size_t end = std::min(text.find(',', at), text.size() - 1);
        const std::string pair = text.substr(at, end - at);
        at = end + 1;
        const std::size_t equals = pair.find('=');
        const std::string key = pair.substr(0, equals);
        if (std::find(known.begin(), known.end(), key) == known.end())
            fail(fmt::format("{} is no part of a shape", in_quotes(key)), "it would be ignored",
                 did_you_mean(key, known));
        std::int64_t n = -1;
        const char* last = text.data() + end;
        if (equals != std::string::npos)
            if (const auto r = std::from_chars(last - (pair.size() - equals - 1), last, n);
                r.ec != std::errc() || r.ptr != last)
                n = -1;
        if (n < 0 || (n == 0 && key != "gated" && key != "shared_experts"))
            fail(fmt::format("{} is no key=number", in_quotes(pair)), "a size is a whole number of at least 1");
        if (!shape.emplace(key, n).second) fail(fmt::format("{} stands twice", in_quotes(key)), "only one can be true");
    }
    return shape;
}

}  // namespace

ModelConfig inline_model(const std::string& description) {
    const Sizes shape = read(description);
    const auto need = [&](const char* key) {
        const auto at = shape.find(key);
        if (at == shape.end()) fail(fmt::format("the shape has no {}", key), "the layers cannot be built without it");
        return at->second;
    };
    const auto optional = [&](const char* key, std::int64_t fallback) {
        const auto at = shape.find(key);
        return at == shape.end() ? fallback : at->second;
    };
    ModelConfig m;
    m.type = "inline";
    m.windows = {0};
    m.hidden = need("hidden");
    m.layers = need("layers");
    m.heads = need("heads");
    m.ffn = need("ffn");
    m.vocab = need("vocab");
    m.kv_heads = optional("kv_heads", m.heads);
    m.head_dim = m.v_head_dim = m.rotary_dim = optional("head_dim", m.hidden / m.heads);
    m.gated = m.rmsnorm = optional("gated", 0) != 0;
    m.tied = m.qkv_bias = m.out_bias = m.mlp_bias = !m.gated;
    m.experts = optional("experts", 0);
    if (m.experts > 0) {
        m.topk = need("topk");
        m.expert_ffn = optional("moe_ffn", m.ffn);
        m.shared_experts = optional("shared_experts", 0);
        m.gated = true;
    }
    return m;
}

}  // namespace wb
