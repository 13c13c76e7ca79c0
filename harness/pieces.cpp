#include "harness/pieces.hpp"

#include <algorithm>
#include <array>

#include "harness/letters.hpp"
#include "harness/utf8.hpp"

namespace wb {
namespace {

enum class Sort : std::uint8_t { letter, number, space, line_end, other };

constexpr bool blank(Sort s) { return s == Sort::space || s == Sort::line_end; }

struct Sorted {
    Sort sort = Sort::other;
    std::size_t bytes = 1;
};

/// The character at the start of a text that is not empty.
Sorted first_of(std::string_view text) {
    const auto [found, bytes] = first_character(text);
    if (!found) return {};
    const char32_t code = *found;
    if (code == '\r' || code == '\n') return {Sort::line_end, 1};
    return {is_space(code)    ? Sort::space
            : is_letter(code) ? Sort::letter
            : is_number(code) ? Sort::number
                              : Sort::other,
            bytes};
}

/// Bytes of the characters from `from` on that `belongs` takes, at most `most` of them.
template <class Belongs>
std::size_t stretch(std::string_view text, std::size_t from, const Belongs& belongs, std::size_t most = SIZE_MAX) {
    std::size_t at = from;
    for (std::size_t n = 0; at < text.size() && n < most; ++n) {
        const Sorted c = first_of(text.substr(at));
        if (!belongs(c.sort)) break;
        at += c.bytes;
    }
    return at - from;
}

std::size_t contraction(std::string_view text, bool any_case) {
    constexpr std::array<std::string_view, 7> words{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"};
    const auto same = [any_case](char a, char b) {
        return a == b || (any_case && a >= 'A' && a <= 'Z' && a + 32 == b);
    };
    for (const std::string_view w : words)
        if (text.size() >= w.size() &&
            std::equal(w.begin(), w.end(), text.begin(), [&](char b, char a) { return same(a, b); }))
            return w.size();
    return 0;
}

/// \s+(?!\S)|\s+ : the last space belongs to the word behind it, unless it is the only one.
std::size_t spaces(std::string_view text) {
    const std::size_t all = stretch(text, 0, blank);
    if (all == text.size()) return all;
    std::size_t last = 0;
    for (std::size_t at = 0; at < all; at += first_of(text.substr(at)).bytes) last = at;
    return last > 0 ? last : all;
}

std::size_t gpt2_piece(std::string_view text) {
    if (const std::size_t n = contraction(text, false)) return n;
    const std::size_t space = text[0] == ' ' && text.size() > 1 ? 1 : 0;
    const Sort sort = first_of(text.substr(space)).sort;
    if (blank(sort)) return spaces(text);
    return space + stretch(text, space, [sort](Sort s) { return s == sort; });
}

/// (?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,digits}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|...
std::size_t cl100k_piece(std::string_view text, std::size_t digits) {
    constexpr auto letter = [](Sort s) { return s == Sort::letter; };
    constexpr auto other = [](Sort s) { return s == Sort::other; };
    if (const std::size_t n = contraction(text, true)) return n;
    const Sorted c = first_of(text);
    const std::size_t before = c.sort == Sort::space || c.sort == Sort::other ? c.bytes : 0;
    if (const std::size_t word = stretch(text, before, letter)) return before + word;
    if (c.sort == Sort::number)
        return stretch(
            text, 0, [](Sort s) { return s == Sort::number; }, digits);
    const std::size_t space = text[0] == ' ' ? 1 : 0;
    if (const std::size_t signs = stretch(text, space, other))
        return space + signs + stretch(text, space + signs, [](Sort s) { return s == Sort::line_end; });
    const std::size_t all = stretch(text, 0, blank);
    if (const std::size_t end = text.substr(0, all).find_last_of("\r\n"); end != std::string_view::npos) return end + 1;
    return spaces(text);
}

}  // namespace

std::optional<PieceRule> rule_of(std::string_view regex) {
    if (regex == R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)")
        return PieceRule::gpt2;
    constexpr std::string_view start = R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N})";
    constexpr std::string_view end = R"(| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
    if (!regex.starts_with(start) || !regex.ends_with(end)) return {};
    const std::string_view count = regex.substr(start.size(), regex.size() - start.size() - end.size());
    if (count == "{1,3}") return PieceRule::llama3;
    return count.empty() ? std::optional(PieceRule::qwen2) : std::nullopt;
}

std::vector<std::string_view> pieces(std::string_view text, PieceRule rule) {
    std::vector<std::string_view> out;
    while (!text.empty()) {
        const std::size_t n =
            rule == PieceRule::gpt2 ? gpt2_piece(text) : cl100k_piece(text, rule == PieceRule::llama3 ? 3 : 1);
        out.push_back(text.substr(0, n));
        text.remove_prefix(n);
    }
    return out;
}

}  // namespace wb
