// Reads and prints: compiled at -O1.
#include "harness/end_of_text.hpp"

#include <fmt/format.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/suggest.hpp"
#include "harness/dataset.hpp"
#include "harness/tokenizer.hpp"

namespace wb {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

json read(const std::string& model, const char* name, const Files& files) {
    const std::string file = beside_config(model, name, files);
    if (file.empty()) return json::object();
    json all = json::parse(read_text(file), nullptr, false);
    if (!all.is_object()) throw Error({file, "is no JSON object", "it says which token ends a text", ""});
    return all;
}

/// "2" or [128001, 128009].
std::vector<std::int32_t> ids_in(const json& config) {
    std::vector<std::int32_t> out;
    const auto at = config.find("eos_token_id");
    if (at == config.end()) return out;
    for (const json& id : at->is_array() ? *at : json::array({*at}))
        if (id.is_number_integer() && id >= 0) out.push_back(id.get<std::int32_t>());
    return out;
}

/// The one token of the text that a tokeniser is told to end with: "</s>" or {"content": "</s>"}.
std::vector<std::int32_t> id_of_text(const std::string& model, const Files& files) {
    const json config = read(model, "tokenizer_config.json", files);
    const std::string tables = beside_config(model, "tokenizer.json", files);
    auto at = config.find("eos_token");
    if (at == config.end() || tables.empty()) return {};
    const json text = at->is_object() ? at->value("content", json()) : *at;
    if (!text.is_string()) return {};
    std::vector<std::int32_t> ids = bpe_tokenizer(read_text(tables), tables)->encode(text.get<std::string>());
    return ids.size() == 1 ? ids : std::vector<std::int32_t>{};
}

void check_ids(const std::string& list) {
    bool digit = false;
    for (const char c : list + ",") {
        const bool ends = c == ',';
        if (ends ? !digit : (c < '0' || c > '9'))
            throw Error({"eos = " + list, "is neither \"model\" nor a list of token ids",
                         "it says with which tokens a sequence ends", "Write eos = \"model\", or eos = \"2,151643\"."});
        digit = !ends;
    }
}

}  // namespace

std::string beside_config(const std::string& model, const std::string& file, const Files& files) {
    if (std::string named = files.find("models/" + model + "/" + file); !named.empty()) return named;
    fs::path at = files.locate(model);
    std::error_code ignored;
    if (at.empty()) return {};
    if (!fs::is_directory(at, ignored)) at = at.parent_path();
    return fs::exists(at / file, ignored) ? (at / file).string() : std::string();
}

Params with_end_of_text(Params params, const Files& files) {
    if (!params.has("eos")) return params;
    if (params.word("eos") == "model") {
        const std::string& model = params.word("model");
        std::vector<std::int32_t> ids = ids_in(read(model, "generation_config.json", files));
        if (ids.empty()) ids = ids_in(read(model, "config.json", files));
        if (ids.empty()) ids = id_of_text(model, files);
        if (ids.empty())
            throw Error({"eos = model", fmt::format("{} names no token that ends a text", in_quotes(model)),
                         "generation_config.json, config.json and tokenizer_config.json were looked at",
                         "Give its id, eos = \"50256\", or leave eos out for answers of a fixed length."});
        params.set("eos", fmt::format("{}", fmt::join(ids, ",")));
    }
    check_ids(params.word("eos"));
    return params;
}

}  // namespace wb
