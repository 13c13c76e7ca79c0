#include "harness/tokenizer.hpp"

#include <doctest/doctest.h>

#include <algorithm>
#include <fstream>
#include <map>
#include <regex>
#include <sstream>

#include "core/error.hpp"
#include "harness/pieces.hpp"

using namespace wb;

namespace {

using Texts = std::vector<std::string>;
using Ids = std::vector<std::int32_t>;

const std::string gpt2_split = R"({"type": "ByteLevel", "add_prefix_space": false, "use_regex": true})";

std::string split_by(const std::string& regex) {
    std::string escaped;
    for (const char c : regex) escaped += c == '\\' ? "\\\\" : std::string(1, c);
    return R"({"type": "Sequence", "pretokenizers": [
               {"type": "Split", "pattern": {"Regex": ")" +
           escaped + R"("}, "behavior": "Isolated", "invert": false},
               {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]})";
}

const std::string llama3_split = split_by(
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)");

std::string utf8(unsigned c) {
    std::string s;
    if (c < 0x80) return s += static_cast<char>(c);
    s += static_cast<char>(0xC0 | c >> 6);
    return s += static_cast<char>(0x80 | (c & 0x3F));
}

/// How a tokenizer.json writes a byte.
std::string byte_name(unsigned char byte) {
    unsigned next = 256;
    for (unsigned b = 0; b < 256; ++b) {
        const bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        const unsigned code = printable ? b : next++;
        if (b == byte) return utf8(code);
    }
    return "";
}

std::string quoted(const std::string& s) {
    std::string out = "\"";
    for (const char c : s) out += c == '"' || c == '\\' ? std::string("\\") + c : std::string(1, c);
    return out + '"';
}

/// Byte pairs joined the slow way: symbols as texts, all merges tried in order until none applies; pieces by
/// std::regex, which knows ASCII only.
struct SlowBpe {
    std::map<std::string, int> ids;
    std::vector<std::pair<std::string, std::string>> merges;

    SlowBpe() {
        for (unsigned b = 0; b < 256; ++b) ids[byte_name(static_cast<unsigned char>(b))] = static_cast<int>(b);
    }
    void learn(const std::string& left, const std::string& right) {
        merges.emplace_back(left, right);
        ids.emplace(left + right, static_cast<int>(ids.size()));
    }
    static Texts symbols(const std::string& piece) {
        Texts out;
        for (const char c : piece) out.push_back(byte_name(static_cast<unsigned char>(c)));
        return out;
    }
    static bool join(Texts& word, const std::string& left, const std::string& right) {
        bool any = false;
        for (std::size_t i = 0; i + 1 < word.size(); ++i)
            if (word[i] == left && word[i + 1] == right) {
                word[i] += word[i + 1];
                word.erase(word.begin() + static_cast<std::ptrdiff_t>(i) + 1);
                any = true;
            }
        return any;
    }
    Ids encode(const std::string& text, const std::regex& split) const {
        Ids out;
        for (std::sregex_iterator p(text.begin(), text.end(), split), end; p != end; ++p) {
            Texts word = symbols(p->str());
            for (std::size_t i = 0; i < merges.size();) i = join(word, merges[i].first, merges[i].second) ? 0 : i + 1;
            for (const std::string& s : word) out.push_back(ids.at(s));
        }
        return out;
    }
    /// The commonest pair of the text becomes a merge, `count` times.
    void train(const std::string& text, const std::regex& split, int count) {
        std::map<std::string, int> pieces;
        for (std::sregex_iterator p(text.begin(), text.end(), split), end; p != end; ++p) ++pieces[p->str()];
        std::vector<std::pair<Texts, int>> words;
        for (const auto& [piece, n] : pieces) words.emplace_back(symbols(piece), n);
        for (int k = 0; k < count; ++k) {
            std::map<std::pair<std::string, std::string>, int> pairs;
            for (const auto& [word, n] : words)
                for (std::size_t i = 0; i + 1 < word.size(); ++i) pairs[{word[i], word[i + 1]}] += n;
            const auto best = std::max_element(pairs.begin(), pairs.end(),
                                               [](const auto& a, const auto& b) { return a.second < b.second; });
            learn(best->first.first, best->first.second);
            for (auto& [word, n] : words) join(word, best->first.first, best->first.second);
        }
    }
    /// As a file; merges as texts or as pairs.
    std::string file(const std::string& pre_tokenizer, bool as_pairs, const std::string& more = "",
                     const std::string& added = "[]") const {
        std::string vocab, rules;
        for (const auto& [token, id] : ids)
            vocab += (vocab.empty() ? "" : ", ") + quoted(token) + ": " + std::to_string(id);
        for (const auto& [l, r] : merges)
            rules += (rules.empty() ? "" : ", ") +
                     (as_pairs ? "[" + quoted(l) + ", " + quoted(r) + "]" : quoted(l + " " + r));
        return R"({"version": "1.0", "truncation": null, "normalizer": null, "added_tokens": )" + added +
               R"(, "pre_tokenizer": )" + pre_tokenizer + R"(, "post_processor": null, "decoder": {"type": "ByteLevel"},
               "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
               "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false)" +
               more + R"(, "vocab": {)" + vocab + R"(}, "merges": [)" + rules + "]}}";
    }
};

const std::regex gpt2_ascii(R"('s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+)");
const std::regex llama3_ascii(
    R"('[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD]|[^\r\nA-Za-z0-9]?[A-Za-z]+|[0-9]{1,3}| ?[^\sA-Za-z0-9]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)");

const std::string& genesis() {
    static const std::string text = [] {
        std::ifstream in(std::string(WB_SOURCE_DIR) + "/configs/data/genesis.txt");
        std::ostringstream all;
        all << in.rdbuf();
        return all.str();
    }();
    return text;
}

/// Lines with everything that the rules treat apart.
const std::string& hard_text() {
    static const std::string text =
        "We'll SEE, it'S 20250  o'clock!!\r\n\r\n  x=3.14159;\t\ty  \n z\n\n\nI'D've \"quoted\"... 7\t8 \f9 'tis A'M "
        "--\n  ";
    return text;
}

Texts cut(std::string_view text, PieceRule rule = PieceRule::gpt2) {
    Texts out;
    for (const std::string_view p : pieces(text, rule)) out.emplace_back(p);
    return out;
}

SlowBpe the() {
    SlowBpe b;
    b.learn("t", "h");
    b.learn("th", "e");
    b.learn("\xC4\xA0", "the");
    return b;
}

}  // namespace

TEST_CASE("text is cut as GPT-2 cuts it") {
    CHECK(cut("Hello world") == Texts{"Hello", " world"});
    CHECK(cut("we'll see, it's 2 o'clock!") ==
          Texts{"we", "'ll", " see", ",", " it", "'s", " 2", " o", "'", "clock", "!"});
    CHECK(cut("a   b\n\n  c  ") == Texts{"a", "  ", " b", "\n\n ", " c", "  "});
    CHECK(cut("x\ny") == Texts{"x", "\n", "y"});
    CHECK(cut("caf\xC3\xA9 1611AD...") == Texts{"caf\xC3\xA9", " 1611", "AD", "..."});
    CHECK(cut("\xD9\xA3\xD9\xA4 \xE4\xB8\xAD\xE6\x96\x87") == Texts{"\xD9\xA3\xD9\xA4", " \xE4\xB8\xAD\xE6\x96\x87"});
    CHECK(cut("a\xC2\xA0 b\xE2\x82\xAC\xC2\xBD") == Texts{"a", "\xC2\xA0", " b", "\xE2\x82\xAC", "\xC2\xBD"});
    CHECK(cut("a\xFF\xC3(") == Texts{"a", "\xFF\xC3("});
    CHECK(cut("").empty());
}

TEST_CASE("text is cut as Llama 3 and Qwen 2 cut it") {
    CHECK(cut("We'LL pay $1234567", PieceRule::llama3) == Texts{"We", "'LL", " pay", " $", "123", "456", "7"});
    CHECK(cut("(word) a\n\n b!\r\n", PieceRule::llama3) == Texts{"(word", ")", " a", "\n\n", " b", "!\r\n"});
    CHECK(cut("x  \n\n   y  ", PieceRule::llama3) == Texts{"x", "  \n\n", "  ", " y", "  "});
    CHECK(cut("\xE2\x82\xACuro \xC3\xA9t\xC3\xA9", PieceRule::llama3) ==
          Texts{"\xE2\x82\xACuro", " \xC3\xA9t\xC3\xA9"});
    CHECK(cut("in 42", PieceRule::qwen2) == Texts{"in", " ", "4", "2"});
    for (const auto& [rule, regex] : {std::pair{PieceRule::gpt2, &gpt2_ascii}, {PieceRule::llama3, &llama3_ascii}})
        for (const std::string& text : {hard_text(), genesis().substr(0, 20000)}) {
            Texts slow;
            for (std::sregex_iterator p(text.begin(), text.end(), *regex), end; p != end; ++p) slow.push_back(p->str());
            CHECK(cut(text, rule) == slow);
        }
}

TEST_CASE("a trained tokeniser gives the ids of a slow one, whatever the shape of its file") {
    SlowBpe gpt2, llama3;
    gpt2.train(genesis().substr(0, 20000), gpt2_ascii, 120);
    llama3.train(genesis().substr(0, 20000), llama3_ascii, 120);
    const std::string text = genesis().substr(60000, 6000) + hard_text();
    Ids seen;
    for (const bool as_pairs : {false, true}) {
        const auto a = bpe_tokenizer(gpt2.file(gpt2_split, as_pairs), "t.json");
        const auto b = bpe_tokenizer(llama3.file(llama3_split, as_pairs), "t.json");
        const Ids ids = a->encode(text);
        CHECK(ids == gpt2.encode(text, gpt2_ascii));
        CHECK(b->encode(text) == llama3.encode(text, llama3_ascii));
        CHECK(a->vocabulary() == 376);
        CHECK(ids.size() < text.size() * 6 / 10);
        CHECK(a->decode(ids) == text);
        CHECK(b->decode(b->encode(text)) == text);
        CHECK(a->name() != b->name());
        if (!seen.empty()) CHECK(ids == seen);
        seen = ids;
    }
}

TEST_CASE("byte pairs are joined by rank, and every byte has a token") {
    const auto t = bpe_tokenizer(the().file(gpt2_split, false), "tokenizer.json");
    CHECK(t->vocabulary() == 259);
    CHECK(t->encode("the cat the") == Ids{257, ' ', 'c', 'a', 't', 258});
    CHECK(t->encode("teth\n\xC3\xA9") == Ids{'t', 'e', 256, '\n', 0xC3, 0xA9});
    CHECK(t->decode(t->encode("\xFF the \xC3\xA9\n")) == "\xFF the \xC3\xA9\n");
    CHECK(byte_tokenizer()->encode("\xFFz") == Ids{255, 'z'});
    const auto prefixed =
        bpe_tokenizer(the().file(R"({"type": "ByteLevel", "add_prefix_space": true})", false), "t.json");
    CHECK(prefixed->encode("the the") == Ids{258, 258});
}

TEST_CASE("a piece that is a token is that token, where the file says that merges are ignored for it") {
    SlowBpe b = the();
    b.ids["cat"] = 259;  // no merge leads to it
    CHECK(bpe_tokenizer(b.file(gpt2_split, true), "t.json")->encode("cat") == Ids{'c', 'a', 't'});
    CHECK(bpe_tokenizer(b.file(gpt2_split, true, R"(, "ignore_merges": true)"), "t.json")->encode("cat catt") ==
          Ids{259, ' ', 'c', 'a', 't', 't'});
}

TEST_CASE("added tokens are found in the text, the longest first") {
    const std::string added = R"([{"id": 300, "content": "<|end|>", "special": true, "lstrip": false, "rstrip": false},
        {"id": 301, "content": "<|end|>>", "special": true},
        {"id": 302, "content": "<mask>", "lstrip": true, "rstrip": true, "special": true},
        {"id": 303, "content": "then", "single_word": true}])";
    const auto t = bpe_tokenizer(the().file(gpt2_split, true, "", added), "t.json");
    CHECK(t->vocabulary() == 304);
    CHECK(t->encode("the<|end|>the<|end|>>") == Ids{257, 300, 257, 301});
    CHECK(t->encode("the  <mask> \nthe") == Ids{257, 302, 257});
    CHECK(t->encode("then thens") == Ids{303, 258, 'n', 's'});
    CHECK(t->decode(Ids{258, 300, 'x'}) == " the<|end|>x");
}

TEST_CASE("a template puts its special tokens around a text, once") {
    const std::string added = R"([{"id": 300, "content": "<s>", "special": true}, {"id": 301, "content": "</s>"}])";
    const auto with = [&](const std::string& post) {
        std::string text = the().file(gpt2_split, true, "", added);
        const std::string none = "\"post_processor\": null";
        return bpe_tokenizer(text.replace(text.find(none), none.size(), "\"post_processor\": " + post), "t.json");
    };
    const auto bare = bpe_tokenizer(the().file(gpt2_split, true, "", added), "t.json");
    const std::string tokens = R"("special_tokens": {"<s>": {"id": "<s>", "ids": [300], "tokens": ["<s>"]},
        "</s>": {"id": "</s>", "ids": [301, 301], "tokens": ["</s>", "</s>"]}})";
    const std::string begin =
        R"({"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}})";
    const auto first = with(R"({"type": "TemplateProcessing", "single": [)" + begin + "], " + tokens + "}");
    CHECK(first->encode("the the") == Ids{300, 257, 258});
    CHECK(first->encode("") == Ids{300});
    CHECK(first->decode(Ids{300, 257}) == "<s>the");
    CHECK(first->name() != bare->name());
    const auto both = with(R"({"type": "Sequence", "processors": [{"type": "ByteLevel", "trim_offsets": false},
        {"type": "TemplateProcessing", "single": [)" +
                           begin + R"(, {"SpecialToken": {"id": "</s>", "type_id": 0}}], )" + tokens + "}]}");
    CHECK(both->encode("the") == Ids{300, 257, 301, 301});
    CHECK(with(R"({"type": "RobertaProcessing", "sep": ["</s>", 301], "cls": ["<s>", 300]})")->encode("the") ==
          Ids{300, 257, 301});
    const auto plain = with(R"({"type": "ByteLevel", "trim_offsets": false})");
    CHECK(plain->encode("the") == Ids{257});
    CHECK(plain->name() == bare->name());
}

TEST_CASE("a tokeniser that composes characters takes texts that are composed, and names the place of any other") {
    std::string text = the().file(gpt2_split, true);
    const std::string none = "\"normalizer\": null";
    const auto t =
        bpe_tokenizer(text.replace(text.find(none), none.size(), R"("normalizer": {"type": "NFC"})"), "t.json");
    const std::string composed = "caf\xC3\xA9 \xE2\x80\x9Cthe\xE2\x80\x9D \xD0\xB4\xD0\xB0 \xE4\xB8\xAD";
    CHECK(t->encode(composed) == bpe_tokenizer(the().file(gpt2_split, true), "t.json")->encode(composed));
    CHECK_THROWS_WITH(t->encode("cafe\xCC\x81"),
                      "t.json: it brings texts into the form NFC, and \"\xCC\x81\" at byte 4 may need it (nothing here "
                      "composes characters). Compose the text before: uconv -x nfc, or leave it out.");
    CHECK_THROWS_AS(t->encode("the \xFF"), Error);
}

TEST_CASE("a tokeniser that would give other ids is refused") {
    const auto with = [](const std::string& from, const std::string& to) {
        std::string text = the().file(gpt2_split, false);
        const std::size_t at = text.find(from);
        REQUIRE(at != std::string::npos);
        return text.replace(at, from.size(), to);
    };
    const auto said = [](const std::string& text) {
        try {
            bpe_tokenizer(text, "t.json");
        } catch (const Error& e) {
            return std::string(e.what());
        }
        return std::string();
    };
    CHECK(said("{").starts_with("t.json: is no tokenizer.json ("));
    CHECK(said(R"({"model": {"type": "WordPiece"}})").starts_with("t.json: its model is WordPiece (ids would differ"));
    CHECK(said(with("null, \"added", "{\"type\": \"Lowercase\"}, \"added"))
              .starts_with("t.json: it normalises the text (Lowercase)"));
    const std::string around = "\"post_processor\": null";
    CHECK(said(with(around, R"("post_processor": {"type": "Sequence", "processors": [{"type": "Odd"}]})"))
              .starts_with("t.json: its post-processor is Odd (ids would differ"));
    CHECK(said(with(around, R"("post_processor": {"type": "TemplateProcessing", "special_tokens": {},
                              "single": [{"Sequence": {"id": "A"}}, {"Sequence": {"id": "A"}}]})"))
              .starts_with("t.json: its template has the text 2 times"));
    CHECK(said(with(around,
                    R"("post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 999]})"))
              .starts_with("t.json: its post-processor adds token 999, which it does not have"));
    CHECK(said(with(gpt2_split, R"({"type": "Sequence"})")).starts_with("t.json: its pre-tokeniser is not ByteLevel"));
    CHECK(said(with(gpt2_split, R"({"type": "Metaspace"})")).starts_with("t.json: its pre-tokeniser is Metaspace"));
    CHECK(said(with(gpt2_split, split_by(R"(\w+)")))
              .starts_with("t.json: its pre-tokeniser splits by an unknown pattern, \\w+"));
    CHECK(said(with("\"byte_fallback\": false", "\"byte_fallback\": true"))
              .starts_with("t.json: its bytes are tokens of last"));
    CHECK(said(with("\"t h\"", "\"q z\"")) ==
          "t.json: merges \"qz\", which is no token of its vocabulary (the file is not whole).");
    CHECK(said(with("\"t h\"", "\"t yy\"")) ==
          "t.json: merges \"yy\", which is no token of its vocabulary (the file is not whole).");
    CHECK(said(with("\"t h\"", "\"th\"")) == "t.json: merge 1 is \"th\", not two tokens (the file is not whole).");
    CHECK(said(with("\"th\": 256", "\"th\": -1")) == "t.json: gives \"th\" the id -1 (ids count from 0 in 31 bits).");
    CHECK(said(with("\"th\": 256", "\"th\": 257")).find("the id 257 (the file is not whole).") != std::string::npos);
    CHECK(said(with("\"A\": 65, ", "")).empty());  // a byte that no text may hold
    const auto without_a = bpe_tokenizer(with("\"A\": 65, ", ""), "t.json");
    CHECK_THROWS_WITH(without_a->encode("A"), "t.json: has no token for the byte 0x41 (the text holds it).");
    const auto t = bpe_tokenizer(the().file(gpt2_split, false), "t.json");
    CHECK_THROWS_WITH(t->decode(Ids{259}),
                      "t.json: has no token 259 (its ids end at 258). Use the tokeniser of the model.");
    CHECK_THROWS_WITH(byte_tokenizer()->decode(Ids{256}),
                      doctest::Contains("bytes: has no token 256 (its ids end at 255)"));
}
