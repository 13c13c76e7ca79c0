#include "harness/tokenizer.hpp"

#include <doctest/doctest.h>

#include "core/error.hpp"

using namespace wb;

namespace {

/// All bytes as tokens 0 to 255 by their printable names, then "th", " t" and " th" would be merges of them.
std::string small_bpe(const std::string& merges, const std::string& more) {
    std::string vocab;
    const auto utf8 = [](unsigned c) {
        std::string s;
        if (c < 0x80) return s += static_cast<char>(c);
        s += static_cast<char>(0xC0 | c >> 6);
        return s += static_cast<char>(0x80 | (c & 0x3F));
    };
    unsigned next = 256;
    for (unsigned b = 0; b < 256; ++b) {
        const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        std::string name = utf8(printable ? b : next++);
        if (name == "\"" || name == "\\") name = "\\" + name;
        vocab += (b ? ", \"" : "\"") + name + "\": " + std::to_string(b);
    }
    return R"({"normalizer": null, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
               "model": {"type": "BPE", "vocab": {)" +
           vocab + more + R"(}, "merges": [)" + merges + "]}}";
}

std::vector<std::string> pieces(std::string_view text) {
    std::vector<std::string> out;
    for (const std::string_view p : gpt2_pieces(text)) out.emplace_back(p);
    return out;
}

using Texts = std::vector<std::string>;
using Ids = std::vector<std::int32_t>;

}  // namespace

TEST_CASE("text is cut as GPT-2 cuts it") {
    CHECK(pieces("Hello world") == Texts{"Hello", " world"});
    CHECK(pieces("we'll see, it's 2 o'clock!") ==
          Texts{"we", "'ll", " see", ",", " it", "'s", " 2", " o", "'", "clock", "!"});
    CHECK(pieces("a   b\n\n  c  ") == Texts{"a", "  ", " b", "\n\n ", " c", "  "});
    CHECK(pieces("x\ny") == Texts{"x", "\n", "y"});
    CHECK(pieces("caf\xC3\xA9 1611AD...") == Texts{"caf\xC3\xA9", " 1611", "AD", "..."});
    CHECK(pieces("").empty());
}

TEST_CASE("byte pairs are joined by rank, and every byte has a token") {
    const auto t = bpe_tokenizer(
        small_bpe("\"t h\", [\"th\", \"e\"], \"\xC4\xA0 the\"", ", \"th\": 256, \"the\": 257, \"\xC4\xA0the\": 258"),
        "tokenizer.json");
    CHECK(t->vocabulary() == 259);
    CHECK(t->encode("the cat the") == Ids{257, ' ', 'c', 'a', 't', 258});
    CHECK(t->encode("teth\n\xC3\xA9") == Ids{'t', 'e', 256, '\n', 0xC3, 0xA9});
    CHECK(byte_tokenizer()->encode("\xFFz") == Ids{255, 'z'});
}

TEST_CASE("a tokeniser that would give other ids is refused") {
    CHECK_THROWS_WITH(bpe_tokenizer("{", "t.json"), doctest::Contains("t.json: is no tokenizer.json ("));
    CHECK_THROWS_WITH(bpe_tokenizer(R"({"model": {"type": "WordPiece"}})", "t.json"),
                      doctest::Contains("t.json: its model is WordPiece (ids would differ"));
    CHECK_THROWS_WITH(bpe_tokenizer(R"({"model": {"type": "BPE"}, "pre_tokenizer": {"type": "Sequence"}})", "t.json"),
                      doctest::Contains("its pre-tokeniser is not ByteLevel with GPT-2's rule"));
    CHECK_THROWS_WITH(bpe_tokenizer(small_bpe("\"q z\"", ""), "t.json"),
                      "t.json: merges \"qz\", which is no token of its vocabulary (the file is not whole).");
}
