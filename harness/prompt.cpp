#include "harness/prompt.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "core/suggest.hpp"
#include "harness/end_of_text.hpp"

namespace wb {
namespace {

constexpr std::size_t name_bytes = 24;

std::vector<std::int32_t> ids_of(const std::string& list) {
    std::vector<std::int32_t> out;
    const char *at = list.data(), *const end = at + list.size();
    while (at < end) {
        std::int32_t id = -1;
        while (at < end && *at == ' ') ++at;
        const auto read = std::from_chars(at, end, id);
        at = read.ptr;
        if (read.ec != std::errc() || id < 0 || (at < end && *at != ',' && *at != ' '))
            throw Error({"prompt = ids:" + list, fmt::format("token {} is no token id", out.size() + 1),
                         "ids are whole numbers from 0 on", "Write ids:464,3290,318."});
        out.push_back(id);
        while (at < end && (*at == ' ' || *at == ',')) ++at;
    }
    return out;
}

std::string file_of(const std::string& name, const Files& files) {
    std::string path = files.locate(name);
    if (path.empty())
        throw Error({"prompt = file:" + name, "there is no such file",
                     "it is looked up beside the experiment file and in the working folder", "Check its name."});
    return path;
}

/// The first tokens of a dataset, a part for each sequence.
std::vector<std::int32_t> begin_of(const std::string& path, std::int64_t sequences, std::int64_t seq,
                                   const Files& files) {
    if (seq < 1)
        throw Error({"prompt = file:" + path, "is a dataset, and seq is missing",
                     "how much of it is to be read is not known", "Give seq = 128."});
    const auto alone = single_process();
    const std::shared_ptr<TokenSource> source = open_tokens(path, files, *alone);
    const std::int64_t needed = sequences * seq, all = source->dataset().training + source->dataset().held_out;
    if (needed > all)
        throw Error({path, fmt::format("holds {} tokens, {} sequences of {} are {}", all, sequences, seq, needed),
                     "there is no more to read", "Use fewer sequences, or a smaller seq."});
    std::vector<std::int32_t> ids(static_cast<std::size_t>(needed));
    source->read(0, ids);
    return ids;
}

/// Short and without anything that has a meaning in a key.
std::string name_of(const std::string& asked, const std::vector<std::int32_t>& ids) {
    std::size_t end = std::min(asked.size(), name_bytes);
    while (end < asked.size() && end > 0 && (static_cast<unsigned char>(asked[end]) & 0xC0U) == 0x80U) --end;
    std::string out = asked.substr(0, end);
    for (char& c : out)
        if (static_cast<unsigned char>(c) <= ' ' || c == '|' || c == '=' || c == '"' || c == '\'' || c == 0x7F) c = '_';
    Digest digest;
    for (const std::int32_t id : ids) digest.add(static_cast<std::int64_t>(id));
    return out + "#" + digest.hex().substr(0, 8);
}

std::int64_t vocabulary_of(const Graph& graph) {
    for (const Graph* g : graph.leaves())
        for (const Op& op : g->ops())
            if (op.kind == OpKind::embed && g->tensor(op.in[0]).name == "tokens") return g->tensor(op.in[1]).shape[0];
    return 0;
}

/// Ids as text; those the tokeniser has no word for by their number.
std::string words(const Tokenizer& tokenizer, std::span<const std::int32_t> ids) {
    try {
        return tokenizer.decode(ids);
    } catch (const Error&) {  // models have room for more tokens than their tokenisers have
    }
    std::string out;
    for (const std::int32_t id : ids) {
        if (id < tokenizer.vocabulary()) try {
                out += tokenizer.decode(std::span(&id, 1));
                continue;
            } catch (const Error&) {
            }
        out += fmt::format("<{}>", id);
    }
    return out;
}

}  // namespace

std::shared_ptr<Prompt> read_prompt(const Params& params, const Files& files) {
    if (!params.has("prompt") || params.word("prompt").empty()) return nullptr;
    const std::string& asked = params.word("prompt");
    auto out = std::make_shared<Prompt>();
    const std::string tables = beside_config(params.word("model"), "tokenizer.json", files);
    out->bytes = tables.empty();
    out->tokenizer = tables.empty() ? byte_tokenizer() : bpe_tokenizer(read_text(tables), tables);
    out->sequences = params.positive("batch");
    const std::int64_t seq = params.integer("seq");
    const std::string file = asked.starts_with("file:") ? file_of(asked.substr(5), files) : "";
    if (file.ends_with(".h5")) {
        out->ids = begin_of(file, out->sequences, seq, files);
    } else {
        out->asked_as_text = !asked.starts_with("ids:");
        const std::vector<std::int32_t> one = !out->asked_as_text
                                                  ? ids_of(asked.substr(4))
                                                  : out->tokenizer->encode(file.empty() ? asked : read_text(file));
        const auto tokens = static_cast<std::int64_t>(one.size());
        if (tokens == 0) throw Error({"prompt", "has no token", "there is nothing to go on from", ""});
        if (seq != 0 && seq != tokens)
            throw Error({"seq", fmt::format("is {}, the prompt has {} tokens", seq, tokens),
                         "the one follows from the other", "Leave seq out."});
        for (std::int64_t s = 0; s < out->sequences; ++s) out->ids.insert(out->ids.end(), one.begin(), one.end());
    }
    out->name = name_of(asked, out->ids);
    return out;
}

Params with_prompt(Params params, const Prompt& prompt) {
    params.set("seq", static_cast<std::int64_t>(prompt.ids.size()) / prompt.sequences);
    params.set("prompt", prompt.name);
    return params;
}

void suit_prompt(Prompt& prompt, const Params& params, const Graph& graph) {
    const std::int64_t vocabulary = vocabulary_of(graph);
    if (prompt.bytes && vocabulary != 256) {
        if (prompt.asked_as_text)
            throw Error(
                {"prompt",
                 fmt::format("{} has no tokenizer.json beside its config.json", in_quotes(params.word("model"))),
                 fmt::format("a text cannot be turned into tokens of its vocabulary of {}", vocabulary),
                 "Put the model's own there, or give the tokens: prompt = \"ids:464,3290\"."});
        prompt.tokenizer.reset();
    }
    const auto bad =
        std::find_if(prompt.ids.begin(), prompt.ids.end(), [&](std::int32_t id) { return id >= vocabulary; });
    if (bad != prompt.ids.end())
        throw Error({"prompt",
                     fmt::format("token {} of it is {}, the vocabulary of the model ends at {}",
                                 bad - prompt.ids.begin() + 1, *bad, vocabulary - 1),
                     "the model has no embedding for it", "Use the tokeniser of the model."});
}

std::shared_ptr<TokenSource> tokens_of(const Prompt& prompt) {
    Tokens tokens;
    tokens.name = "prompt";
    tokens.text_hash = prompt.name;
    tokens.tokenizer = prompt.tokenizer ? prompt.tokenizer->name() : "ids";
    tokens.ids = prompt.ids;
    return tokens_in_memory(std::move(tokens), "every rank");
}

void add_texts(const Prompt& prompt, Measurement& m) {
    if (!prompt.tokenizer) return;
    const auto length = static_cast<std::ptrdiff_t>(prompt.ids.size()) / prompt.sequences;
    std::ptrdiff_t sequence = 0;
    for (const Series& s : m.series) {
        if (s.unit != "id") continue;
        const auto first = prompt.ids.begin() + sequence * length;
        const bool asked = sequence == 0 || !std::equal(first, first + length, prompt.ids.begin());
        const std::string of = sequence == 0 ? "" : fmt::format(" of sequence {}", sequence + 1);
        const std::vector<std::int32_t> answer(s.values.begin(), s.values.end());
        if (asked) m.texts.push_back({"prompt" + of, words(*prompt.tokenizer, std::span(first, first + length))});
        m.texts.push_back({"answer" + of, words(*prompt.tokenizer, answer)});
        ++sequence;
    }
}

}  // namespace wb
