#include "harness/tokenizer.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <unordered_map>

#include "core/error.hpp"
#include "harness/bpe_tables.hpp"
#include "harness/letters.hpp"
#include "harness/pieces.hpp"
#include "harness/utf8.hpp"

namespace wb {
namespace {

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

class BpeTokenizer final : public Tokenizer {
public:
    explicit BpeTokenizer(BpeTables tables) : tables_(std::move(tables)) {
        for (const AddedToken& a : tables_.added) added_starts_[static_cast<unsigned char>(a.content[0])] = true;
        for (std::size_t b = 0; b < names_.size(); ++b) {
            const auto found = tables_.ids.find(names_[b]);
            bytes_[b] = found == tables_.ids.end() ? -1 : found->second;
        }
    }

    std::vector<std::int32_t> encode(std::string_view text) const override;
    std::string decode(std::span<const std::int32_t> ids) const override;
    std::int64_t vocabulary() const override { return tables_.size; }
    std::string name() const override { return tables_.name; }

private:
    using Known = std::unordered_map<std::string_view, std::vector<std::int32_t>>;

    void check_composed(std::string_view text) const;
    const AddedToken* added_at(std::string_view text, std::size_t at) const;
    void encode_plain(std::string_view text, Known& known, std::vector<std::int32_t>& out) const;
    std::vector<std::int32_t> merged(std::string_view piece) const;

    const BpeTables tables_;
    const std::array<std::string, 256> names_ = byte_names();
    std::array<bool, 256> added_starts_{};
    std::array<std::int32_t, 256> bytes_{};
};

/// The longest added token that stands here.
const AddedToken* BpeTokenizer::added_at(std::string_view text, std::size_t at) const {
    if (!added_starts_[static_cast<unsigned char>(text[at])]) return nullptr;
    const auto in_word = [&](std::size_t i) {  // bytes beyond ASCII are taken for parts of words
        const auto c = static_cast<unsigned char>(text[i]);
        return c >= 0x80 || c == '_' || is_letter(c) || is_number(c);
    };
    for (const AddedToken& a : tables_.added) {
        if (!text.substr(at).starts_with(a.content)) continue;
        const std::size_t end = at + a.content.size();
        if (a.whole_word && ((at > 0 && in_word(at - 1)) || (end < text.size() && in_word(end)))) continue;
        return &a;
    }
    return nullptr;
}

std::vector<std::int32_t> BpeTokenizer::encode(std::string_view text) const {
    constexpr std::string_view spaces = " \t\n\r\v\f";
    if (tables_.composes) check_composed(text);
    std::vector<std::int32_t> out = tables_.before;
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
    out.insert(out.end(), tables_.after.begin(), tables_.after.end());
    return out;
}

void BpeTokenizer::check_composed(std::string_view text) const {
    for (std::size_t at = 0; at < text.size();) {
        const Character c = first_character(text.substr(at));
        if (!c.code || !is_composed(*c.code))
            throw Error({tables_.place,
                         fmt::format("it brings texts into the form NFC, and \"{}\" at byte {} may need it",
                                     text.substr(at, c.bytes), at),
                         "nothing here composes characters",
                         "Compose the text before: uconv -x nfc, or leave it out."});
        at += c.bytes;
    }
}

void BpeTokenizer::encode_plain(std::string_view text, Known& known, std::vector<std::int32_t>& out) const {
    const auto put = [&](std::string_view piece) {
        auto found = known.find(piece);
        if (found == known.end()) found = known.emplace(piece, merged(piece)).first;
        out.insert(out.end(), found->second.begin(), found->second.end());
    };
    if (!tables_.prefix || text.empty() || text[0] == ' ') {
        for (const std::string_view p : pieces(text, tables_.rule)) put(p);
        return;
    }
    const std::string prefixed = " " + std::string(text);
    for (const std::string_view p : pieces(prefixed, tables_.rule)) {
        const std::vector<std::int32_t> ids = merged(p);
        out.insert(out.end(), ids.begin(), ids.end());
    }
}

/// The pair with the lowest rank is joined until none is left.
std::vector<std::int32_t> BpeTokenizer::merged(std::string_view piece) const {
    if (tables_.whole_pieces) {
        std::string name;
        for (const char c : piece) name += names_[static_cast<unsigned char>(c)];
        if (const auto found = tables_.ids.find(name); found != tables_.ids.end()) return {found->second};
    }
    std::vector<std::int32_t> out;
    for (const char c : piece) {
        const auto byte = static_cast<unsigned char>(c);
        if (bytes_[byte] < 0)
            throw Error(
                {tables_.place, fmt::format("has no token for the byte 0x{:02x}", byte), "the text holds it", ""});
        out.push_back(bytes_[byte]);
    }
    for (;;) {
        std::size_t best = out.size();
        BpeTables::Merge how{};
        for (std::size_t i = 0; i + 1 < out.size(); ++i) {
            const auto m = tables_.merges.find(BpeTables::pair(out[i], out[i + 1]));
            if (m != tables_.merges.end() && (best == out.size() || m->second.rank < how.rank))
                best = i, how = m->second;
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
        const auto found = tables_.tokens.find(id);
        if (found == tables_.tokens.end()) throw no_token(tables_.place, id, tables_.size);
        const std::string& token = found->second;
        if (std::any_of(tables_.added.begin(), tables_.added.end(), [id](const AddedToken& a) { return a.id == id; })) {
            out += token;
            continue;
        }
        for (std::size_t at = 0; at < token.size();) {
            const std::size_t n = static_cast<unsigned char>(token[at]) < 0x80 ? 1 : 2;
            const auto byte = bytes.find(std::string_view(token).substr(at, n));
            if (byte == bytes.end())
                throw Error({tables_.place, fmt::format("token {}, \"{}\", does not spell bytes", id, token),
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
    return std::make_unique<BpeTokenizer>(read_bpe(text, place));
}

}  // namespace wb
