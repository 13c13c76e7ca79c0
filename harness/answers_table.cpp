// Reads and prints: compiled at -O1.
#include "harness/answers_table.hpp"

#include <fmt/format.h>

#include "harness/text_table.hpp"

namespace wb {
namespace {

/// On one line of any terminal, in quotes.
std::string on_one_line(const std::string& text) {
    std::string out = "\"";
    for (const char c : text) {
        if (c == '\n')
            out += "\\n";
        else if (c == '\t')
            out += "\\t";
        else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7F)
            out += fmt::format("\\x{:02x}", static_cast<unsigned char>(c));
        else
            out += c;
    }
    return out + '"';
}

}  // namespace

std::string show_answers(const ResultSet& set, Format format, bool colour, const std::string& filter) {
    TextTable t({{"system"}, {"backend"}, {"words"}, {"as the model's tokeniser spells them"}});
    std::string section;
    for (const Result& r : set.results) {
        if (r.m.texts.empty() || (!filter.empty() && r.key.find(filter) == std::string::npos)) continue;
        if (section != r.label) t.section(section = r.label);
        for (const Text& text : r.m.texts) t.row({r.system, r.backend, text.name, on_one_line(text.text)});
    }
    if (t.empty()) return "";
    return format == Format::markdown ? t.markdown() : t.terminal(colour);
}

}  // namespace wb
