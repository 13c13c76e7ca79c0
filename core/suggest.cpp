#include "core/suggest.hpp"

#include <algorithm>
#include <utility>

#include <fmt/core.h>

namespace wb {
namespace {

constexpr std::size_t longest_word = 64;    // a longer word is no misspelt name, and the search is quadratic
constexpr std::size_t longest_list = 12;    // words in a "Known:" list
constexpr std::size_t longest_quote = 100;  // bytes of a quoted text

std::string lower(std::string_view text) {
    std::string out(text);
    for (char& c : out) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
    }
    return out;
}

std::string escaped(std::string_view text) {
    std::string out;
    for (const char c : text) {
        const auto byte = static_cast<unsigned char>(c);
        if (byte < 0x20 || byte == 0x7f)
            out += fmt::format("\\x{:02x}", byte);
        else
            out += c;
    }
    return out;
}

bool continues_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

}  // namespace

std::size_t edit_distance(std::string_view a, std::string_view b) {
    std::vector<std::size_t> before(b.size() + 1), above(b.size() + 1), row(b.size() + 1);
    for (std::size_t j = 0; j <= b.size(); ++j) above[j] = j;
    for (std::size_t i = 1; i <= a.size(); ++i) {
        row[0] = i;
        for (std::size_t j = 1; j <= b.size(); ++j) {
            const std::size_t replaced = above[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
            row[j] = std::min({above[j] + 1, row[j - 1] + 1, replaced});
            const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
            if (swapped) row[j] = std::min(row[j], before[j - 2] + 1);
        }
        std::swap(before, above);
        std::swap(above, row);
    }
    return above[b.size()];
}

std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& known) {
    if (word.empty() || word.size() > longest_word) return std::nullopt;
    const std::string low = lower(word);
    std::pair best{word.size() / 3 + 1, std::size_t{0}};  // distance without, then with capitals; must be beaten
    if (word.size() < 3) best.first = 2;
    std::optional<std::string> found;
    for (const std::string& candidate : known) {
        if (candidate.size() > longest_word) continue;
        const std::pair far{edit_distance(low, lower(candidate)), edit_distance(word, candidate)};
        if (far.first >= candidate.size()) continue;  // nothing in common
        if (far < best) {
            best = far;
            found = candidate;
        }
    }
    return found;
}

std::string did_you_mean(std::string_view word, const std::vector<std::string>& known) {
    if (known.empty()) return "";
    if (const auto near = nearest(word, known)) return "Did you mean " + in_quotes(*near) + "?";
    std::string out = "Known: ";
    const std::size_t shown = known.size() > longest_list ? longest_list - 1 : known.size();
    for (std::size_t i = 0; i < shown; ++i) out += (i == 0 ? "" : ", ") + escaped(known[i]);
    if (shown < known.size()) out += fmt::format(" and {} more", known.size() - shown);
    return out + ".";
}

std::string in_quotes(std::string_view text) {
    if (text.size() <= longest_quote) return "\"" + escaped(text) + "\"";
    std::size_t head = longest_quote * 2 / 3;
    std::size_t tail = text.size() - longest_quote / 3;
    while (head > 0 && continues_character(text[head])) --head;
    while (tail < text.size() && continues_character(text[tail])) ++tail;
    return "\"" + escaped(text.substr(0, head)) + "..." + escaped(text.substr(tail)) + "\"";
}

}  // namespace wb
