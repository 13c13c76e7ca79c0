// Reads and prints: compiled at -O1.
#include "harness/tokenize_verb.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>

#include "core/units.hpp"
#include "harness/dataset.hpp"
#include "harness/tokenizer.hpp"

namespace wb {
namespace {

struct TokenizeOptions {
    std::string input, output, tokenizer, held_out = "5%";
};

double share(const std::string& text) {
    std::string spaced = text;
    if (spaced.ends_with('%') && spaced.find(' ') == std::string::npos) spaced.insert(spaced.size() - 1, " ");
    double value = 0;
    try {
        value = parse<double>(spaced);
    } catch (const UnitProblem& p) {
        throw p.at("--held-out");
    }
    if (!(value >= 0 && value < 1))
        throw Error({"--held-out", fmt::format("is {}", text), "something must be left to train on", "Use 0% to 50%."});
    return value;
}

Exit tokenize(const TokenizeOptions& o, Comm& comm) {
    if (comm.rank() != 0) return Exit::ok;
    const std::string text = read_text(o.input);
    const auto tokenizer = o.tokenizer.empty() ? byte_tokenizer() : bpe_tokenizer(read_text(o.tokenizer), o.tokenizer);
    const Tokens tokens = tokenised(std::filesystem::path(o.input).stem(), text, *tokenizer, share(o.held_out));
    write_dataset(o.output, tokens);
    fmt::print("{}: {} bytes -> {} tokens of a vocabulary of {}, the last {} held out -> {}\n", o.input, text.size(),
               tokens.ids.size(), tokens.vocabulary, tokens.held_out, o.output);
    return Exit::ok;
}

}  // namespace

void define_tokenize_verb(CLI::App& app, const VerbContext& context) {
    const auto o = std::make_shared<TokenizeOptions>();
    auto* verb = app.add_subcommand("tokenize", "turn a text into a dataset that experiments name as data");
    verb->add_option("text", o->input, "any text file")->required();
    verb->add_option("--output,-o", o->output, "dataset to write (.h5)")->required();
    verb->add_option("--tokenizer", o->tokenizer, "tokenizer.json of byte-level BPE (default: one token a byte)");
    verb->add_option("--held-out", o->held_out, "the last part of the text, kept from training")->capture_default_str();
    verb->callback([o, context] { context.chosen = [o, context] { return tokenize(*o, context.comm); }; });
}

}  // namespace wb
