#include "harness/tokenizer.hpp"

#include <fmt/format.h>
#include <locale.h>
#include <wctype.h>

#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "core/error.hpp"
#include "core/hash.hpp"

namespace wb {
namespace {

class ByteTokenizer final : public Tokenizer {
public:
    std::vector<std::int32_t> encode(std::string_view text) const override {
        std::vector<std::int32_t> out;
        out.reserve(text.size());
        for (const char c : text) out.push_back(static_cast<unsigned char>(c));
        return out;
    }
    std::int64_t vocabulary() const override { return 256; }
    std::string name() const override { return "bytes"; }
};

enum class Sort : std::uint8_t { letter, digit, space, other };

struct Letter {
    Sort sort;
    std::size_t bytes;
};

/// The character at the start of `text`; a byte that is no UTF-8 counts as one of its own.
Letter letter_at(std::string_view text) {
    const auto byte = static_cast<unsigned char>(text[0]);
    const std::size_t bytes = byte < 0x80 ? 1 : byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    if (bytes > text.size() || (byte >= 0x80 && bytes == 1)) return {Sort::other, 1};
    std::uint32_t code = bytes == 1 ? byte : byte & (0xFFU >> (bytes + 1));
    for (std::size_t i = 1; i < bytes; ++i) code = code << 6 | (static_cast<unsigned char>(text[i]) & 0x3FU);
    static const locale_t unicode = newlocale(LC_CTYPE_MASK, "C.UTF-8", nullptr);
    const auto c = static_cast<wint_t>(code);
    if (c < 0x80 ? (c >= '0' && c <= '9') : false) return {Sort::digit, bytes};
    if (c == 0xA0 || c == 0x85 || (unicode ? iswspace_l(c, unicode) : iswspace(c))) return {Sort::space, bytes};
    if (unicode ? iswalpha_l(c, unicode) : iswalpha(c)) return {Sort::letter, bytes};
    return {Sort::other, bytes};
}

std::size_t contraction(std::string_view text) {
    for (const std::string_view word : {"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"})
        if (text.starts_with(word)) return word.size();
    return 0;
}

/// Bytes of characters of one sort from `from` on.
std::size_t stretch(std::string_view text, std::size_t from, Sort sort) {
    std::size_t at = from;
    while (at < text.size()) {
        const Letter c = letter_at(text.substr(at));
        if (c.sort != sort) break;
        at += c.bytes;
    }
    return at - from;
}

std::size_t piece(std::string_view text) {
    if (const std::size_t n = contraction(text)) return n;
    const std::size_t blank = text[0] == ' ' && text.size() > 1 ? 1 : 0;
    if (const Sort sort = letter_at(text.substr(blank)).sort; sort != Sort::space)
        return blank + stretch(text, blank, sort);
    std::size_t spaces = stretch(text, 0, Sort::space);
    if (spaces == text.size()) return spaces;
    std::size_t last = 0;  // the last blank belongs to the word behind it, unless it is the only one
    for (std::size_t at = 0; at < spaces; at += letter_at(text.substr(at)).bytes) last = at;
    return last > 0 ? last : spaces;
}

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

class BpeTokenizer final : public Tokenizer {
public:
    BpeTokenizer(const nlohmann::json& j, const std::string& place) {
        const auto refuse = [&](const std::string& problem) {
            return Error({place, problem, "ids would differ from those the model knows",
                          "Use a byte-level BPE tokenizer.json, such as GPT-2's."});
        };
        const nlohmann::json& model = j.at("model");
        if (model.value("type", std::string("BPE")) != "BPE")
            throw refuse("its model is " + model["type"].get<std::string>());
        const nlohmann::json pre = j.value("pre_tokenizer", nlohmann::json());
        if (!pre.is_object() || pre.value("type", std::string()) != "ByteLevel" || !pre.value("use_regex", true))
            throw refuse("its pre-tokeniser is not ByteLevel with GPT-2's rule");
        if (!j.value("normalizer", nlohmann::json()).is_null()) throw refuse("it normalises the text");
        prefix_ = pre.value("add_prefix_space", false);
        Digest digest;
        for (const auto& [token, id] : model.at("vocab").items()) {
            ids_[token] = id.get<std::int32_t>();
            size_ = std::max<std::int64_t>(size_, id.get<std::int64_t>() + 1);
            digest.add(token).add(id.get<std::int64_t>());
        }
        for (const nlohmann::json& added : j.value("added_tokens", nlohmann::json::array()))
            size_ = std::max<std::int64_t>(size_, added.at("id").get<std::int64_t>() + 1);
        std::int32_t rank = 0;
        for (const nlohmann::json& m : model.at("merges")) {
            std::string left, right;
            if (m.is_array()) {
                left = m.at(0), right = m.at(1);
            } else {
                const auto text = m.get<std::string>();
                const std::size_t blank = text.find(' ');
                left = text.substr(0, blank), right = blank == std::string::npos ? "" : text.substr(blank + 1);
            }
            digest.add(left).add(right);
            merges_[pair(id(left, place), id(right, place))] = {rank++, id(left + right, place)};
        }
        const std::array<std::string, 256> names = byte_names();
        for (std::size_t b = 0; b < names.size(); ++b) {
            const auto found = ids_.find(names[b]);
            bytes_[b] = found == ids_.end() ? -1 : found->second;
        }
        name_ = "bpe " + digest.hex();
        place_ = place;
    }

    std::vector<std::int32_t> encode(std::string_view text) const override {
        std::vector<std::int32_t> out;
        std::unordered_map<std::string_view, std::vector<std::int32_t>> known;
        std::string prefixed;
        if (prefix_ && !text.empty() && text[0] != ' ') text = prefixed = " " + std::string(text);
        for (const std::string_view p : gpt2_pieces(text)) {
            auto found = known.find(p);
            if (found == known.end()) found = known.emplace(p, merged(p)).first;
            out.insert(out.end(), found->second.begin(), found->second.end());
        }
        return out;
    }
    std::int64_t vocabulary() const override { return size_; }
    std::string name() const override { return name_; }

private:
    struct Merge {
        std::int32_t rank, id;
    };
    static std::uint64_t pair(std::int32_t left, std::int32_t right) {
        return static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32 | static_cast<std::uint32_t>(right);
    }
    std::int32_t id(const std::string& token, const std::string& place) const {
        const auto found = ids_.find(token);
        if (found == ids_.end())
            throw Error({place, fmt::format("merges \"{}\", which is no token of its vocabulary", token),
                         "the file is not whole", ""});
        return found->second;
    }

    /// The pair with the lowest rank is joined until none is left.
    std::vector<std::int32_t> merged(std::string_view word) const {
        std::vector<std::int32_t> out;
        for (const char c : word) {
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

    std::map<std::string, std::int32_t> ids_;
    std::unordered_map<std::uint64_t, Merge> merges_;
    std::array<std::int32_t, 256> bytes_{};
    std::int64_t size_ = 0;
    bool prefix_ = false;
    std::string name_, place_;
};

}  // namespace

std::vector<std::string_view> gpt2_pieces(std::string_view text) {
    std::vector<std::string_view> out;
    while (!text.empty()) {
        const std::size_t n = piece(text);
        out.push_back(text.substr(0, n));
        text.remove_prefix(n);
    }
    return out;
}

std::unique_ptr<Tokenizer> byte_tokenizer() { return std::make_unique<ByteTokenizer>(); }

std::unique_ptr<Tokenizer> bpe_tokenizer(const std::string& json, const std::string& place) {
    try {
        return std::make_unique<BpeTokenizer>(nlohmann::json::parse(json), place);
    } catch (const nlohmann::json::exception& e) {
        throw Error({place, "is no tokenizer.json", e.what(), "Use the file that comes with the model."});
    }
}

}  // namespace wb
