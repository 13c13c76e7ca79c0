#include "kernels/workloads/model/model_config.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>

#include "core/error.hpp"
#include "core/suggest.hpp"
#include "kernels/workloads/model/families.hpp"
#include "kernels/workloads/model/inline_model.hpp"
#include "kernels/workloads/weights/model_weights.hpp"

namespace wb {
namespace {

namespace fs = std::filesystem;

/// The config.json a name stands for: of configs/models, or of a folder given by its path.
std::string config_of(const std::string& name, const Files& files) {
    if (const std::string named = files.find("models/" + name + "/config.json"); !named.empty()) return named;
    const std::string folder = files.locate(name);
    std::error_code ignored;
    if (fs::is_regular_file(folder, ignored) && fs::path(folder).extension() == ".json") return folder;
    if (const fs::path inside = fs::path(folder) / "config.json"; !folder.empty() && fs::exists(inside, ignored))
        return inside.string();
    if (!folder.empty())
        throw Error(
            {folder, "has no config.json", "it says what the model is", "A folder as Hugging Face keeps it has one."});
    if (name.find('/') != std::string::npos)
        throw Error({"model", fmt::format("there is no folder {}", in_quotes(name)),
                     "a path is looked up beside the experiment file and in the working folder", ""});
    throw Error({"model", fmt::format("there is no model {}", in_quotes(name)), "its shape is not known",
                 did_you_mean(name, files.names("models", ""))});
}

/// "GPTNeoXForCausalLM" and "gpt_neox" are the same word to it.
std::string bare(std::string_view text) {
    std::string out;
    for (const char c : text)
        if (std::isalnum(static_cast<unsigned char>(c)))
            out += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    return out;
}

/// "model_type", or what the class in "architectures" is called after.
std::string type_of(const ConfigKeys& keys) {
    if (std::string type = keys.word_or({"model_type"}, ""); !type.empty()) return type;
    std::string best;
    const std::vector<std::string> classes = keys.words("architectures");
    for (const std::string& of : classes)
        for (const Family& f : families())
            if (f.type.size() > best.size() && bare(of).starts_with(bare(f.type))) best = f.type;
    if (best.empty())
        keys.fail("model_type", "is missing",
                  classes.empty() ? "it says which architecture this is"
                                  : fmt::format("and no known architecture is called {}", in_quotes(classes.front())),
                  fmt::format("Known: {}.", fmt::join(known_model_types(), ", ")));
    return best;
}

const Family& family_of(const ConfigKeys& keys, const std::string& type) {
    for (const Family& f : families())
        if (type == f.type) return f;
    for (const ForeignFamily& f : foreign_families())
        if (type == f.type)
            keys.fail("model_type", fmt::format("is \"{}\"", type),
                      fmt::format("it needs {}, which no operator here computes", f.needs),
                      fmt::format("Known: {}. As an ONNX graph it may still be costed.",
                                  fmt::join(known_model_types(), ", ")));
    keys.fail("model_type", fmt::format("is {}, which is not known", in_quotes(type)), "its layers cannot be built",
              fmt::format("{}Known: {}.",
                          nearest(type, known_model_types()) ? did_you_mean(type, known_model_types()) + " " : "",
                          fmt::join(known_model_types(), ", ")));
}

/// What no layer can be built from, said before a graph is.
void check(const ConfigKeys& keys, const ModelConfig& m) {
    if (m.heads % m.kv_heads != 0)
        keys.fail("num_key_value_heads", fmt::format("is {} of {} heads", m.kv_heads, m.heads),
                  "heads are shared evenly");
    if (m.rotary_dim > m.head_dim || m.rotary_dim % 2 != 0)
        keys.fail("rotary_dim", fmt::format("is {} of a head of {}", m.rotary_dim, m.head_dim),
                  "an even number of a head's features turns");
    if (m.experts > 0 && m.dense_layers >= m.layers)
        keys.fail("first_k_dense_replace", fmt::format("is {} of {} layers", m.dense_layers, m.layers),
                  "no layer would have experts");
}

}  // namespace

std::vector<std::string> known_model_types() {
    std::vector<std::string> out;
    for (const Family& f : families()) out.emplace_back(f.type);
    return out;
}

ModelConfig load_model(const std::string& name, const Files& files) {
    if (is_inline_model(name)) return inline_model(name);
    const std::string path = config_of(name, files);
    const ConfigKeys keys(path);
    ModelConfig m;
    m.type = type_of(keys);
    m.windows = {0};
    family_of(keys, m.type).read(keys, m);
    m.vocab = keys.size({"vocab_size"});
    if (m.head_dim == 0 && m.hidden % m.heads != 0)
        keys.fail("num_attention_heads", fmt::format("is {} for {} features", m.heads, m.hidden), "they do not divide");
    if (m.head_dim == 0) m.head_dim = m.hidden / m.heads;
    if (m.v_head_dim == 0) m.v_head_dim = m.head_dim;
    if (m.rotary_dim == 0 && !m.learned_positions && !m.latent()) m.rotary_dim = m.head_dim;
    check(keys, m);
    m.weights = ModelWeights::find(fs::path(path).parent_path().string(), m);
    if (m.weights && m.latent()) m.rope_interleaved = true;  // as those weights were trained
    return m;
}

ModelConfig ModelConfig::shrunk() const {
    ModelConfig m = *this;
    m.weights = nullptr;
    const std::int64_t group = std::min<std::int64_t>(2, heads / kv_heads);
    m.heads = std::min<std::int64_t>(heads, 8);
    m.kv_heads = std::max<std::int64_t>(1, m.heads / group);
    m.hidden = 48;
    m.ffn = gated ? 88 : 4 * 48;
    m.vocab = std::min<std::int64_t>(vocab, 211);  // odd, so that shards differ
    m.positions = std::min<std::int64_t>(positions, 64);
    const std::int64_t dim = 12;
    m.head_dim = m.v_head_dim = dim;
    if (rotary_dim > 0) m.rotary_dim = rotary_dim == head_dim ? dim : 8;
    if (latent()) {
        m.q_rank = std::min<std::int64_t>(q_rank, 24);
        m.kv_rank = 16;
        m.nope_dim = 8;
        m.rope_dim = 4;
        m.head_dim = 12;
        m.v_head_dim = 10;
    }
    for (std::int64_t& w : m.windows) w = std::min<std::int64_t>(w, 5);
    if (experts > 0) {
        m.experts = std::min<std::int64_t>(experts, 6);
        m.topk = std::min<std::int64_t>(topk, 2);
        m.expert_ffn = 40;
        m.dense_layers = std::min<std::int64_t>(dense_layers, 1);
    }
    const auto pattern = static_cast<std::int64_t>(windows.size());
    m.layers = std::min(layers, std::max<std::int64_t>(2 * pattern, m.dense_layers + 2));
    return m;
}

}  // namespace wb
