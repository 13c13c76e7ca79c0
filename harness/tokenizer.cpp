#include "harness/tokenizer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "harness/letters.hpp"
#include "harness/pieces.hpp"

namespace wb {
namespace {

using nlohmann::json;

Error no_token(const std::string& place, std::int32_t id, std::int64_t vocabulary) {
    return Error({place, fmt::format("has no token {}", id), fmt::format("its ids end at {}", vocabulary - 1),
                  "Use the tokeniser of the model."});
}

class ByteTokenizer final : public Tokenizer {
public:
    std::vector<std::int32_t> encode(std::string_view text) const override {
        std::vector<std::int32_t> out;
        out.reserve(text.size());
        for (const char c : text) out.push_back(static_cast<unsigned char>(c));
        return out;
    }
    std::string decode(std::span<const std::int32_t> ids) const override {
        std::string out;
        for (const std::int32_t id : ids) {
            if (id < 0 || id > 255) throw no_token("bytes", id, 256);
            out += static_cast<char>(id);
        }
        return out;
    }
    std::int64_t vocabulary() const override { return 256; }
    std::string name() const override { return "bytes"; }
};

void put_utf8(std::string& out, unsigned code) {
    if (code < 0x80) {
        out += static_cast<char>(code);
    } else {
        out += static_cast<char>(0xC0 | code >> 6);
        out += static_cast<char>(0x80 | (code & 0x3F));
    }
}

/// GPT-2 writes each byte as a printable character: itself where it is one, else 256, 257, ...
std::array<std::string, 256> byte_names() {
    std::array<std::string, 256> out;
    unsigned next = 256;
    for (unsigned b = 0; b < 256; ++b) {
        const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        put_utf8(out[b], printable ? b : next++);
    }
    return out;
}

/// A token that stands in the text as it is, whatever is around it.
struct AddedToken {
    std::string content;
    std::int32_t id;
    bool takes_left, takes_right, whole_word;  // spaces beside it are part of it; no letter may be
};

class BpeTokenizer final : public Tokenizer {
public:
    BpeTokenizer(const json& j, const std::string& place) : place_(place) {
        const json& model = j.at("model");
        check_model(model);
        if (!j.value("normalizer", json()).is_null()) throw refused("it normalises the text");
        read_splitting(j.value("pre_tokenizer", json()));
        whole_pieces_ = model.value("ignore_merges", false);
        Digest digest;
        digest.add(static_cast<int>(rule_)).add(prefix_).add(whole_pieces_);
        read_vocabulary(model.at("vocab"), digest);
        read_added(j.value("added_tokens", json::array()), digest);
        read_merges(model.at("merges"), digest);
        for (std::size_t b = 0; b < names_.size(); ++b) {
            const auto found = ids_.find(names_[b]);
            bytes_[b] = found == ids_.end() ? -1 : found->second;
        }
        name_ = "bpe " + digest.hex();
    }

    std::vector<std::int32_t> encode(std::string_view text) const override;
    std::string decode(std::span<const std::int32_t> ids) const override;
    std::int64_t vocabulary() const override { return size_; }
    std::string name() const override { return name_; }

private:
    struct Merge {
        std::int32_t rank, id;
    };
    using Known = std::unordered_map<std::string_view, std::vector<std::int32_t>>;

    Error refused(const std::string& problem) const {
        return Error({place_, problem, "ids would differ from those the model knows",
                      "Use a byte-level BPE tokenizer.json, such as GPT-2's or Llama 3's."});
    }
    static std::uint64_t pair(std::int32_t left, std::int32_t right) {
        return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
    }

    void check_model(const json& model) const;
    void read_splitting(const json& pre);
    void read_vocabulary(const json& vocab, Digest& digest);
    void read_added(const json& added, Digest& digest);
    void read_merges(const json& merges, Digest& digest);
    std::int32_t valid_id(const std::string& token, const json& id);
    std::int32_t merge_part(const std::string& token) const;
    const AddedToken* added_at(std::string_view text, std::size_t at) const;
    void encode_plain(std::string_view text, Known& known, std::vector<std::int32_t>& out) const;
    std::vector<std::int32_t> merged(std::string_view piece) const;

    std::string place_, name_;
    PieceRule rule_ = PieceRule::gpt2;
    bool prefix_ = false, whole_pieces_ = false;
    const std::array<std::string, 256> names_ = byte_names();
    std::unordered_map<std::string, std::int32_t> ids_;
    std::unordered_map<std::int32_t, std::string> tokens_;  // as the file writes them
    std::vector<AddedToken> added_;                         // the longest first
    std::array<bool, 256> added_starts_{};
    std::unordered_map<std::uint64_t, Merge> merges_;
    std::array<std::int32_t, 256> bytes_{};
    std::int64_t size_ = 0;
};

void BpeTokenizer::check_model(const json& model) const {
    if (const auto type = model.value("type", std::string("BPE")); type != "BPE")
        throw refused(fmt::format("its model is {}", type));
    if (model.value("byte_fallback", false)) throw refused("its bytes are tokens of last resort only");
    for (const char* affix : {"continuing_subword_prefix", "end_of_word_suffix"})
        if (const json a = model.value(affix, json()); a.is_string() && !a.get<std::string>().empty())
            throw refused(fmt::format("its tokens have a {}", affix));
    if (const json d = model.value("dropout", json()); d.is_number() && d.get<double>() > 0)
        throw refused("it leaves out merges at random");
}

/// ByteLevel with GPT-2's rule, or a Split by a known rule and then ByteLevel without one.
void BpeTokenizer::read_splitting(const json& pre) {
    const auto type = [](const json& j) { return j.is_object() ? j.value("type", std::string()) : std::string(); };
    const json parts = type(pre) == "Sequence" ? pre.value("pretokenizers", json::array()) : json::array({pre});
    bool split = false, bytes = false;
    for (const json& part : parts) {
        if (type(part) == "ByteLevel" && !bytes) {
            bytes = true;
            prefix_ = part.value("add_prefix_space", false);
            if (part.value("use_regex", true) == split) throw refused("its pre-tokeniser splits twice, or not at all");
        } else if (type(part) == "Split" && !split && !bytes) {
            const std::string regex = part.at("pattern").value("Regex", std::string());
            const std::optional<PieceRule> rule = rule_of(regex);
            if (!rule) throw refused(fmt::format("its pre-tokeniser splits by an unknown pattern, {}", regex));
            const bool isolated = part.value("behavior", std::string()) == "Isolated" && !part.value("invert", false);
            const bool kept = part.value("behavior", std::string()) == "Removed" && part.value("invert", false);
            if (!isolated && !kept) throw refused("its pre-tokeniser drops or joins pieces");
            rule_ = *rule;
            split = true;
        } else {
            throw refused(fmt::format("its pre-tokeniser is {}, not ByteLevel alone or behind a Split",
                                      type(part).empty() ? "missing" : type(part)));
        }
    }
    if (!bytes) throw refused("its pre-tokeniser is not ByteLevel alone or behind a Split");
}

std::int32_t BpeTokenizer::valid_id(const std::string& token, const json& id) {
    const auto n = id.get<std::int64_t>();
    if (n < 0 || n >= std::numeric_limits<std::int32_t>::max())
        throw Error({place_, fmt::format("gives \"{}\" the id {}", token, n), "ids count from 0 in 31 bits", ""});
    const auto [at, fresh] = tokens_.emplace(static_cast<std::int32_t>(n), token);
    if (!fresh && at->second != token)
        throw Error({place_, fmt::format("gives both \"{}\" and \"{}\" the id {}", at->second, token, n),
                     "the file is not whole", ""});
    size_ = std::max(size_, n + 1);
    return static_cast<std::int32_t>(n);
}

void BpeTokenizer::read_vocabulary(const json& vocab, Digest& digest) {
    for (const auto& [token, id] : vocab.items()) {
        ids_[token] = valid_id(token, id);
        digest.add(token).add(id.get<std::int64_t>());
    }
}

void BpeTokenizer::read_added(const json& added, Digest& digest) {
    for (const json& a : added) {
        const auto content = a.at("content").get<std::string>();
        if (content.empty()) throw refused("an added token is empty");
        const auto in_vocabulary = ids_.find(content);
        const std::int32_t id = valid_id(content, a.at("id"));
        if (in_vocabulary != ids_.end() && in_vocabulary->second != id)
            throw Error({place_, fmt::format("gives \"{}\" the ids {} and {}", content, in_vocabulary->second, id),
                         "the file is not whole", ""});
        added_.push_back(
            {content, id, a.value("lstrip", false), a.value("rstrip", false), a.value("single_word", false)});
        added_starts_[static_cast<unsigned char>(content[0])] = true;
        digest.add(content).add(static_cast<std::int64_t>(id));
    }
    std::stable_sort(added_.begin(), added_.end(),
                     [](const AddedToken& a, const AddedToken& b) { return a.content.size() > b.content.size(); });
}

std::int32_t BpeTokenizer::merge_part(const std::string& token) const {
    const auto found = ids_.find(token);
    if (found == ids_.end())
        throw Error({place_, fmt::format("merges \"{}\", which is no token of its vocabulary", token),
                     "the file is not whole", ""});
    return found->second;
}

void BpeTokenizer::read_merges(const json& merges, Digest& digest) {
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
            throw Error({place_, fmt::format("merge {} is {}, not two tokens", rank + 1, m.dump()),
                         "the file is not whole", ""});
        digest.add(left).add(right);
        merges_[pair(merge_part(left), merge_part(right))] = {rank++, merge_part(left + right)};
    }
}

/// The longest added token that stands here.
const AddedToken* BpeTokenizer::added_at(std::string_view text, std::size_t at) const {
    if (!added_starts_[static_cast<unsigned char>(text[at])]) return nullptr;
    const auto in_word = [&](std::size_t i) {  // bytes beyond ASCII are taken for parts of words
        const auto c = static_cast<unsigned char>(text[i]);
        return c >= 0x80 || c == '_' || is_letter(c) || is_number(c);
    };
    for (const AddedToken& a : added_) {
        if (!text.substr(at).starts_with(a.content)) continue;
        const std::size_t end = at + a.content.size();
        if (a.whole_word && ((at > 0 && in_word(at - 1)) || (end < text.size() && in_word(end)))) continue;
        return &a;
    }
    return nullptr;
}

std::vector<std::int32_t> BpeTokenizer::encode(std::string_view text) const {
    constexpr std::string_view spaces = " \t\n\r\v\f";
    std::vector<std::int32_t> out;
    Known known;
    std::size_t from = 0;
    for (std::size_t at = 0; at < text.size();) {
        const AddedToken* const a = added_at(text, at);
        if (!a) {
            ++at;
            continue;
        }
        std::string_view before = text.substr(from, at - from);
        if (a->takes_left) before = before.substr(0, before.find_last_not_of(spaces) + 1);
        encode_plain(before, known, out);
        out.push_back(a->id);
        at += a->content.size();
        if (a->takes_right) at = std::min(text.find_first_not_of(spaces, at), text.size());
        from = at;
    }
    encode_plain(text.substr(from), known, out);
    return out;
}

void BpeTokenizer::encode_plain(std::string_view text, Known& known, std::vector<std::int32_t>& out) const {
    const auto put = [&](std::string_view piece) {
        auto found = known.find(piece);
        if (found == known.end()) found = known.emplace(piece, merged(piece)).first;
        out.insert(out.end(), found->second.begin(), found->second.end());
    };
    if (!prefix_ || text.empty() || text[0] == ' ') {
        for (const std::string_view p : pieces(text, rule_)) put(p);
        return;
    }
    const std::string prefixed = " " + std::string(text);
    for (const std::string_view p : pieces(prefixed, rule_)) {
        const std::vector<std::int32_t> ids = merged(p);
        out.insert(out.end(), ids.begin(), ids.end());
    }
}

/// The pair with the lowest rank is joined until none is left.
std::vector<std::int32_t> BpeTokenizer::merged(std::string_view piece) const {
    if (whole_pieces_) {
        std::string name;
        for (const char c : piece) name += names_[static_cast<unsigned char>(c)];
        if (const auto found = ids_.find(name); found != ids_.end()) return {found->second};
    }
    std::vector<std::int32_t> out;
    for (const char c : piece) {
        const auto byte = static_cast<unsigned char>(c);
        if (bytes_[byte] < 0)
            throw Error({place_, fmt::format("has no token for the byte 0x{:02x}", byte), "the text holds it", ""});
        out.push_back(bytes_[byte]);
    }
    for (;;) {
        std::size_t best = out.size();
        Merge how{};
        for (std::size_t i = 0; i + 1 < out.size(); ++i) {
            const auto m = merges_.find(pair(out[i], out[i + 1]));
            if (m != merges_.end() && (best == out.size() || m->second.rank < how.rank)) best = i, how = m->second;
        }
        if (best == out.size()) return out;
        out[best] = how.id;
        out.erase(out.begin() + static_cast<std::ptrdiff_t>(best) + 1);
    }
}

std::string BpeTokenizer::decode(std::span<const std::int32_t> ids) const {
    std::unordered_map<std::string_view, char> bytes;
    for (std::size_t b = 0; b < names_.size(); ++b) bytes[names_[b]] = static_cast<char>(b);
    std::string out;
    for (const std::int32_t id : ids) {
        const auto found = tokens_.find(id);
        if (found == tokens_.end()) throw no_token(place_, id, size_);
        const std::string& token = found->second;
        if (std::any_of(added_.begin(), added_.end(), [id](const AddedToken& a) { return a.id == id; })) {
            out += token;
            continue;
        }
        for (std::size_t at = 0; at < token.size();) {
            const std::size_t n = static_cast<unsigned char>(token[at]) < 0x80 ? 1 : 2;
            const auto byte = bytes.find(std::string_view(token).substr(at, n));
            if (byte == bytes.end())
                throw Error({place_, fmt::format("token {}, \"{}\", does not spell bytes", id, token),
                             "the file is not byte-level", ""});
            out += byte->second;
            at += n;
        }
    }
    return out;
}

}  // namespace

std::unique_ptr<Tokenizer> byte_tokenizer() { return std::make_unique<ByteTokenizer>(); }

std::unique_ptr<Tokenizer> bpe_tokenizer(const std::string& text, const std::string& place) {
    try {
        return std::make_unique<BpeTokenizer>(json::parse(text), place);
    } catch (const nlohmann::json::exception& e) {
        throw Error({place, "is no tokenizer.json", e.what(), "Use the file that comes with the model."});
    }
}

}  // namespace wb
