#include "core/mapping.hpp"

#include <algorithm>
#include <charconv>
#include <iterator>
#include <set>
#include <utility>
#include <vector>

#include "core/error.hpp"
#include "core/suggest.hpp"

namespace wb {
namespace {

struct Count {
    const char* name;
    int Mapping::*value;
};
constexpr Count counts[] = {{"tp", &Mapping::tensor},        {"pp", &Mapping::pipeline}, {"dp", &Mapping::data},
                            {"cp", &Mapping::context},       {"ep", &Mapping::expert},   {"mb", &Mapping::microbatches},
                            {"vp", &Mapping::virtual_stages}};

/// Words for ways to run: of a pipeline's microbatches, of recomputation, of a product spread over ranks, of sums over
/// the ranks of a model.
constexpr std::string_view algorithms[] = {"gpipe", "early-stop",  "summa",    "cannon",
                                           "2.5d",  "distributed", "blocking", "overlapped"};

/// A whole number of at least `least` and nothing after it, or -1.
int number(std::string_view text, int least) {
    int n = -1;
    const auto r = std::from_chars(text.data(), text.data() + text.size(), n);
    return r.ec == std::errc() && r.ptr == text.data() + text.size() && n >= least ? n : -1;
}

bool read_count(std::string_view word, Mapping& m) {
    for (const Count& c : counts)
        if (word.starts_with(c.name)) {
            const int n = number(word.substr(2), 1);
            if (n > 0) m.*c.value = n;
            return n > 0;
        }
    return false;
}

bool read_mesh(std::string_view word, Mapping& m) {
    const std::size_t x = word.find('x');
    if (x == std::string_view::npos) return false;
    const int rows = number(word.substr(0, x), 1), columns = number(word.substr(x + 1), 1);
    if (rows < 1 || columns < 1) return false;
    m.rows = rows;
    m.columns = columns;
    return true;
}

/// What sort of word it was: no two of one sort may stand in a mapping. Empty: not a word of a mapping.
std::string read_word(std::string_view word, Mapping& m) {
    if (read_count(word, m)) return std::string(word.substr(0, 2));
    if (read_mesh(word, m)) return "mesh";
    if (word == "sp") return m.sequence_parallel = true, "sp";
    if (word == "offload") return m.offload = true, "offload";
    if (word.starts_with("zero")) {
        const int n = number(word.substr(4), 0);
        if (n < 0 || n > 3) return "";
        return m.shard = n, "zero";
    }
    if (word == "selective" || word == "recompute") {
        m.recompute = word == "selective" ? Mapping::Recompute::selective : Mapping::Recompute::full;
        return "recompute";
    }
    return "";
}

std::vector<std::string> words_of(std::string_view text) {
    std::vector<std::string> out;
    std::string word;
    for (const char c : text) {
        if (c != ' ' && c != ',') word += c;
        if ((c == ' ' || c == ',') && !word.empty()) out.push_back(std::exchange(word, ""));
    }
    if (!word.empty()) out.push_back(word);
    return out;
}

}  // namespace

Mapping Mapping::parse(std::string_view text) {
    static const std::vector<std::string> known{"tp8",       "pp4",         "dp2",      "cp2",        "ep2",
                                                "mb16",      "vp2",         "sp",       "zero1",      "offload",
                                                "selective", "recompute",   "gpipe",    "summa",      "cannon",
                                                "2.5d",      "distributed", "blocking", "overlapped", "early-stop"};
    Mapping m;
    if (text == "1") return m;
    std::set<std::string> seen;
    for (const std::string& word : words_of(text)) {
        std::string sort = read_word(word, m);
        if (sort.empty() && std::find(std::begin(algorithms), std::end(algorithms), word) != std::end(algorithms))
            m.algorithm = word, sort = "algorithm";
        if (sort.empty())
            throw Error({"mapping", in_quotes(word) + " is no part of a mapping", "it would be ignored",
                         did_you_mean(word, known)});
        if (!seen.insert(sort).second)
            throw Error({"mapping", in_quotes(sort) + " stands twice", "only one can be true", ""});
    }
    if (seen.empty())
        throw Error({"mapping", in_quotes(std::string(text)) + " names nothing", "a mapping says how work is spread",
                     "Write \"tp8 pp8 dp64 mb32\"."});
    return m;
}

}  // namespace wb
