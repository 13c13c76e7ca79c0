#include <fmt/format.h>

#include <cmath>
#include <map>

#include "harness/composed_session.hpp"
#include "harness/validate/case_maker.hpp"

namespace wb {
namespace {

/// Which phase of the workload `pipeline` a stage of a published log is.
const std::map<std::string, std::string> phase_of{{"init", "compile"},      {"compile", "compile"},
                                                  {"weights_send", "load"}, {"checkpoint", "checkpoint"},
                                                  {"eval", "evaluate"},     {"eval_step", "evaluate"}};
/// Sequences of 2,048 tokens in the evaluation of MLPerf's GPT-3: 11,590,004 tokens of the validation split of C4
/// (recalled from the reference's description).
constexpr double gpt3_sequences = 5660;
/// Classes of an image classifier (ImageNet), in place of a vocabulary.
constexpr const char* classes = "1000";
/// Sequences of one batch where a row does not tell.
constexpr std::int64_t unstated_batch = 256;

Case phase_case(const Point& p, CaseMaker& make, const std::string& phase, std::int64_t batch, std::int64_t seq) {
    Point named = p;
    if (!named.has("vocab")) named.params.emplace_back("vocab", classes);
    const Case whole = make.make("pipeline",
                                 {{"model", make.model(named)},
                                  {"batch", batch},
                                  {"seq", seq},
                                  {"steps", std::int64_t{1}},
                                  {"dtype", make.dtype(p)}},
                                 make.setting(p));
    for (const Phase& x : whole.graph->phases())
        if (x.name == phase) {
            Case c = case_of(whole, x.graph);
            c.key = phase + " of " + whole.key;
            return c;
        }
    throw Unanswerable(fmt::format("a pipeline has no phase {}", phase));
}

}  // namespace

Question ask_pipeline(const Point& p, CaseMaker& make) {
    const std::string stage = p.word("stage");
    const auto phase = phase_of.find(stage);
    if (phase == phase_of.end())
        throw Unanswerable(fmt::format("stage {} moves an amount of data the row does not tell", stage));
    Question q;
    if (phase->second != "evaluate") {  // what moves does not depend on the batch
        q.terms.push_back({phase_case(p, make, phase->second, 1, 1), 1});
        set_metric(q, p, {});
        return q;
    }
    const std::int64_t batch = p.integer_or("global_batch", unstated_batch), seq = p.integer("seq");
    if (!p.has("global_batch")) q.note = fmt::format("batch not stated: {} assumed", batch);
    double sequences = static_cast<double>(p.integer_or("sequences", 0));
    if (sequences == 0 && p.word_or("model", "") == "gpt3-175b") {
        sequences = gpt3_sequences;
        q.note = fmt::format("sequences not stated: {:.0f} assumed", sequences);
    }
    const bool pass = stage == "eval" && p.metric == "time";
    if (pass && sequences == 0) throw Unanswerable("the row does not say how many sequences were evaluated");
    if (pass && p.has("pass_start")) q.start_s = p.number("pass_start");
    q.terms.push_back(
        {phase_case(p, make, "evaluate", batch, seq), pass ? std::ceil(sequences / static_cast<double>(batch)) : 1});
    set_metric(q, p, {.tokens = static_cast<double>(batch * seq), .samples = static_cast<double>(batch)});
    return q;
}

}  // namespace wb
