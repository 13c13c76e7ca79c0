// Reads and prints: compiled at -O1.
#include "harness/bpe_tables.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.hpp"
#include "core/hash.hpp"

namespace wb {
namespace {

using nlohmann::json;

std::string type_of(const json& j) { return j.is_object() ? j.value("type", std::string()) : std::string(); }

class Reader {
public:
    explicit Reader(const std::string& place) { out_.place = place; }

    BpeTables read(const json& j) {
        const json& model = j.at("model");
        check_model(model);
        read_normaliser(j.value("normalizer", json()));
        read_splitting(j.value("pre_tokenizer", json()));
        out_.whole_pieces = model.value("ignore_merges", false);
        Digest digest;
        digest.add(static_cast<int>(out_.rule)).add(out_.prefix).add(out_.whole_pieces);
        read_vocabulary(model.at("vocab"), digest);
        read_added(j.value("added_tokens", json::array()), digest);
        read_merges(model.at("merges"), digest);
        read_surroundings(j.value("post_processor", json()), digest);
        out_.name = "bpe " + digest.hex();
        return std::move(out_);
    }

private:
    Error refused(const std::string& problem) const {
        return Error({out_.place, problem, "ids would differ from those the model knows",
                      "Use a byte-level BPE tokenizer.json, such as GPT-2's or Llama 3's."});
    }

    void check_model(const json& model) const;
    void read_normaliser(const json& normaliser);
    void read_splitting(const json& pre);
    void read_vocabulary(const json& vocab, Digest& digest);
    void read_added(const json& added, Digest& digest);
    void read_merges(const json& merges, Digest& digest);
    void read_surroundings(const json& post, Digest& digest);
    void read_template(const json& post);
    void read_pair(const json& post);
    std::int32_t valid_id(const std::string& token, const json& id);
    std::int32_t known(std::int64_t id) const;
    std::int32_t merge_part(const std::string& token) const;

    BpeTables out_;
};

void Reader::check_model(const json& model) const {
    if (const auto type = model.value("type", std::string("BPE")); type != "BPE")
        throw refused(fmt::format("its model is {}", type));
    if (model.value("byte_fallback", false)) throw refused("its bytes are tokens of last resort only");
    for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"})
        if (const json a = model.value(affix, json()); a.is_string() && !a.get<std::string>().empty())
            throw refused(fmt::format("its tokens have a {}", affix));
    if (const json d = model.value("dropout", json()); d.is_number() && d.get<double>() > 0)
        throw refused("it leaves out merges at random");
}

/// NFC alone, which every text of the commonest characters has already; see is_composed().
void Reader::read_normaliser(const json& normaliser) {
    if (normaliser.is_null()) return;
    const json parts =
        type_of(normaliser) == "Sequence" ? normaliser.value("normalizers", json::array()) : json::array({normaliser});
    for (const json& part : parts) {
        if (type_of(part) != "NFC") throw refused(fmt::format("it normalises the text ({})", type_of(part)));
        out_.composes = true;
    }
}

/// ByteLevel with GPT-2's rule, or a Split by a known rule and then ByteLevel without one.
void Reader::read_splitting(const json& pre) {
    const json parts = type_of(pre) == "Sequence" ? pre.value("pretokenizers", json::array()) : json::array({pre});
    bool split = false, bytes = false;
    for (const json& part : parts) {
        if (type_of(part) == "ByteLevel" && !bytes) {
            bytes = true;
            out_.prefix = part.value("add_prefix_space", false);
            if (part.value("use_regex", true) == split) throw refused("its pre-tokeniser splits twice, or not at all");
        } else if (type_of(part) == "Split" && !split && !bytes) {
            const std::string regex = part.at("pattern").value("Regex", std::string());
            const std::optional<PieceRule> rule = rule_of(regex);
            if (!rule) throw refused(fmt::format("its pre-tokeniser splits by an unknown pattern, {}", regex));
            const bool isolated = part.value("behavior", std::string()) == "Isolated" && !part.value("invert", false);
            const bool kept = part.value("behavior", std::string()) == "Removed" && part.value("invert", false);
            if (!isolated && !kept) throw refused("its pre-tokeniser drops or joins pieces");
            out_.rule = *rule;
            split = true;
        } else {
            throw refused(fmt::format("its pre-tokeniser is {}, not ByteLevel alone or behind a Split",
                                      type_of(part).empty() ? "missing" : type_of(part)));
        }
    }
    if (!bytes) throw refused("its pre-tokeniser is not ByteLevel alone or behind a Split");
}

std::int32_t Reader::valid_id(const std::string& token, const json& id) {
    const auto n = id.get<std::int64_t>();
    if (n < 0 || n >= std::numeric_limits<std::int32_t>::max())
        throw Error({out_.place, fmt::format("gives \"{}\" the id {}", token, n), "ids count from 0 in 31 bits", ""});
    const auto [at, fresh] = out_.tokens.emplace(static_cast<std::int32_t>(n), token);
    if (!fresh && at->second != token)
        throw Error({out_.place, fmt::format("gives both \"{}\" and \"{}\" the id {}", at->second, token, n),
                     "the file is not whole", ""});
    out_.size = std::max(out_.size, n + 1);
    return static_cast<std::int32_t>(n);
}

void Reader::read_vocabulary(const json& vocab, Digest& digest) {
    for (const auto& [token, id] : vocab.items()) {
        out_.ids[token] = valid_id(token, id);
        digest.add(token).add(id.get<std::int64_t>());
    }
}

void Reader::read_added(const json& added, Digest& digest) {
    for (const json& a : added) {
        const auto content = a.at("content").get<std::string>();
        if (content.empty()) throw refused("an added token is empty");
        const auto in_vocabulary = out_.ids.find(content);
        const std::int32_t id = valid_id(content, a.at("id"));
        if (in_vocabulary != out_.ids.end() && in_vocabulary->second != id)
            throw Error({out_.place, fmt::format("gives \"{}\" the ids {} and {}", content, in_vocabulary->second, id),
                         "the file is not whole", ""});
        out_.added.push_back(
            {content, id, a.value("lstrip", false), a.value("rstrip", false), a.value("single_word", false)});
        digest.add(content).add(static_cast<std::int64_t>(id));
    }
    std::stable_sort(out_.added.begin(), out_.added.end(),
                     [](const AddedToken& a, const AddedToken& b) { return a.content.size() > b.content.size(); });
}

std::int32_t Reader::merge_part(const std::string& token) const {
    const auto found = out_.ids.find(token);
    if (found == out_.ids.end())
        throw Error({out_.place, fmt::format("merges \"{}\", which is no token of its vocabulary", token),
                     "the file is not whole", ""});
    return found->second;
}

void Reader::read_merges(const json& merges, Digest& digest) {
    std::int32_t rank = 0;
    for (const json& m : merges) {
        std::string left, right;
        if (m.is_array() && m.size() == 2) {
            left = m.at(0), right = m.at(1);
        } else if (m.is_string()) {
            const auto text = m.get<std::string>();
            const std::size_t blank = text.find(' ');
            if (blank != std::string::npos && text.find(' ', blank + 1) == std::string::npos)
                left = text.substr(0, blank), right = text.substr(blank + 1);
        }
        if (left.empty() || right.empty())
            throw Error({out_.place, fmt::format("merge {} is {}, not two tokens", rank + 1, m.dump()),
                         "the file is not whole", ""});
        digest.add(left).add(right);
        out_.merges[BpeTables::pair(merge_part(left), merge_part(right))] = {rank++, merge_part(left + right)};
    }
}

std::int32_t Reader::known(std::int64_t id) const {
    if (id < 0 || id >= out_.size || !out_.tokens.contains(static_cast<std::int32_t>(id)))
        throw Error({out_.place, fmt::format("its post-processor adds token {}, which it does not have", id),
                     "the file is not whole", ""});
    return static_cast<std::int32_t>(id);
}

/// What is put around a single text: begin and end of sentence, for one. Offsets are nobody's business here.
void Reader::read_surroundings(const json& post, Digest& digest) {
    if (post.is_null()) return;
    const json parts = type_of(post) == "Sequence" ? post.value("processors", json::array()) : json::array({post});
    for (const json& part : parts) {
        const std::string type = type_of(part);
        if (type == "TemplateProcessing")
            read_template(part);
        else if (type == "RobertaProcessing" || type == "BertProcessing")
            read_pair(part);
        else if (type != "ByteLevel")
            throw refused(fmt::format("its post-processor is {}", type.empty() ? "of no type" : type));
    }
    if (out_.before.empty() && out_.after.empty()) return;
    for (const std::vector<std::int32_t>* ids : {&out_.before, &out_.after}) {
        digest.add("around");
        for (const std::int32_t id : *ids) digest.add(static_cast<std::int64_t>(id));
    }
}

/// "single": special tokens by name, and the text once as sequence A.
void Reader::read_template(const json& post) {
    int texts = 0;
    for (const json& piece : post.at("single")) {
        if (piece.contains("Sequence")) {
            ++texts;
            continue;
        }
        const auto name = piece.at("SpecialToken").at("id").get<std::string>();
        for (const json& id : post.at("special_tokens").at(name).at("ids"))
            (texts == 0 ? out_.before : out_.after).push_back(known(id.get<std::int64_t>()));
    }
    if (texts != 1) throw refused(fmt::format("its template has the text {} times", texts));
}

/// The first class token, the text, the separator: each as [text, id].
void Reader::read_pair(const json& post) {
    out_.before.push_back(known(post.at("cls").at(1).get<std::int64_t>()));
    out_.after.push_back(known(post.at("sep").at(1).get<std::int64_t>()));
}

}  // namespace

BpeTables read_bpe(const std::string& text, const std::string& place) {
    try {
        return Reader(place).read(json::parse(text));
    } catch (const nlohmann::json::exception& e) {
        throw Error({place, "is no tokenizer.json", e.what(), "Use the file that comes with the model."});
    }
}

}  // namespace wb
