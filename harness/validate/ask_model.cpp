#include <fmt/format.h>

#include <cstdio>

#include "harness/validate/case_maker.hpp"

namespace wb {
namespace {

/// Context of a decode row that does not state it, such as a public speed test of an interface.
constexpr std::int64_t unstated_context = 1024;
/// Tokens of the prompt before a cache is filled by decoding, where the row does not state it: that of the source's
/// other tables.
constexpr std::int64_t cache_prompt = 4096;

ParamList model_params(const Point& p, CaseMaker& make, std::int64_t batch, std::int64_t seq, int tensor = 1) {
    return {{"model", make.model(p, tensor)}, {"batch", batch}, {"seq", seq}, {"dtype", make.dtype(p)}};
}

Setting with_mesh(Setting s, const Point& p, const char* key) {
    if (!p.has(key)) return s;
    if (std::sscanf(p.word(key).c_str(), "%dx%d", &s.mapping.rows, &s.mapping.columns) != 2)
        throw Unanswerable(fmt::format("{} \"{}\" is not written RxC", key, p.word(key)));
    return s;
}

Question ask_prefill(const Point& p, CaseMaker& make) {
    const Setting s = make.setting(p);
    const std::int64_t batch = p.integer_or("batch", 1), input = p.integer("input");
    Question q;
    q.search_units = !s.units_known;
    q.terms.push_back({make.make("prefill", model_params(p, make, batch, input, s.mapping.tensor), s), 1});
    set_metric(q, p,
               {.tokens = static_cast<double>(batch * input),
                .samples = static_cast<double>(batch),
                .flops = q.terms[0].c.graph->flops().si()});
    return q;
}

Question ask_decode(const Point& p, CaseMaker& make) {
    const Setting s = make.setting(p);
    if (p.flag("speculative")) throw Unanswerable("no workload for speculative decoding yet");
    const std::int64_t batch = p.integer_or("batch", 1), context = p.integer_or("input", unstated_context);
    Question q;
    q.search_units = !s.units_known;
    if (!p.has("input")) q.note = fmt::format("context not stated: {} assumed", unstated_context);
    q.terms.push_back({make.make("decode", model_params(p, make, batch, context, s.mapping.tensor), s), 1});
    set_metric(q, p,
               {.tokens = static_cast<double>(batch),
                .samples = static_cast<double>(batch),
                .flops = q.terms[0].c.graph->flops().si()});
    return q;
}

/// output tokens of each of a fixed batch: a prefill, then `output` decode steps at the mean context.
Question ask_serve(const Point& p, CaseMaker& make) {
    if (p.word_or("schedule", "static") != "static") return ask_in_flight(p, make);
    const Setting s = make.setting(p);
    const std::int64_t batch = p.integer("batch"), input = p.integer("input"), output = p.integer("output");
    const Setting before = with_mesh(s, p, "prefill_mesh"), after = with_mesh(s, p, "decode_mesh");
    Question q;
    q.search_units = !s.units_known;
    q.terms.push_back({make.make("prefill", model_params(p, make, batch, input, s.mapping.tensor), before), 1});
    q.terms.push_back({make.make("decode", model_params(p, make, batch, input + output / 2, s.mapping.tensor), after),
                       static_cast<double>(output)});
    q.moves = before.mapping.text() != after.mapping.text();
    set_metric(q, p, {.tokens = static_cast<double>(batch * output), .samples = static_cast<double>(batch)});
    return q;
}

Question ask_train(const Point& p, CaseMaker& make) {
    const std::string tuned = p.word_or("finetune", "sft");  // of all weights, as pre-training does
    if (tuned != "sft" && tuned != "lora")
        throw Unanswerable(fmt::format("no workload for fine-tuning ({}) yet", tuned));
    const Setting s = make.setting(p);
    const std::int64_t batch = p.integer("global_batch");
    const std::int64_t seq = p.integer("seq"), alone = p.integer_or("packed", seq);  // tokens that see one another
    if (alone < 1 || seq % alone != 0)
        throw Unanswerable(fmt::format("{} tokens hold no whole number of {} packed ones", seq, alone));
    Question q;
    q.search_units = !s.units_known;
    q.terms.push_back(
        {make.make(tuned == "lora" ? "finetune" : "train", model_params(p, make, batch * (seq / alone), alone), s), 1});
    const Graph& g = *q.terms[0].c.graph;
    set_metric(q, p,
               {.tokens = static_cast<double>(batch * p.integer("seq")),
                .samples = static_cast<double>(batch),
                .flops = g.matmul_flops().si()});
    return q;
}

Question ask_memory(const Point& p, CaseMaker& make) {
    Question q;
    Setting s = make.setting(p);
    q.component = p.word("component");
    if (q.component == "kv_cache_capacity") {
        q.asks = Question::Asks::cache_tokens;
        s.mapping.algorithm = p.word_or("manager", "");
        const std::int64_t prompt = p.integer_or("input", cache_prompt);
        q.note = fmt::format("after a prompt of {} tokens", prompt);
        q.terms.push_back({make.make("decode", model_params(p, make, 1, prompt), s), 1});
        return q;
    }
    q.asks = Question::Asks::memory;
    // A filled pipeline; interleaved stages hold microbatches of the next round too.
    s.mapping.microbatches = (s.mapping.virtual_stages > 1 ? 2 : 1) * s.mapping.pipeline;
    q.terms.push_back(
        {make.make("train", model_params(p, make, p.integer("micro_batch") * s.mapping.microbatches, p.integer("seq")),
                   s),
         1});
    return q;
}

Case energy_case(const Point& p, CaseMaker& make, const Setting& s) {
    const std::string& op = p.word("op");
    if (op == "gemv" || op == "gemm")
        return make.make(
            "gemm", {{"m", p.integer("m")}, {"n", p.integer("n")}, {"k", p.integer("k")}, {"dtype", make.dtype(p)}}, s);
    if (op == "prefill" || op == "decode")
        return make.make(op, model_params(p, make, p.integer_or("batch", 1), p.integer("input"), s.mapping.tensor), s);
    throw Unanswerable(fmt::format("no workload for the energy of \"{}\" yet", op));
}

Question ask_energy(const Point& p, CaseMaker& make) {
    Question q;
    q.asks = Question::Asks::energy_ratio;
    Setting mine = make.setting(p), theirs = make.setting(p, p.word("reference"));
    mine.units = 1;  // gpus counts the devices of the reference
    mine.mapping = {};
    theirs.mapping.tensor = theirs.units;
    q.terms.push_back({energy_case(p, make, mine), 1});
    q.reference.push_back({energy_case(p, make, theirs), 1});
    if (p.word("op").starts_with("gem") && theirs.mapping.tensor > 1) {
        q.reference.push_back(gathered(q.reference.front().c, theirs, make));
        if (p.has("call_start")) q.reference_start_s = p.number("call_start");
    }
    return q;
}

}  // namespace

Question ask_model(const Point& p, CaseMaker& make) {
    if (p.workload == "prefill") return ask_prefill(p, make);
    if (p.workload == "decode") return ask_decode(p, make);
    return p.workload == "serve" ? ask_serve(p, make) : ask_train(p, make);
}

Question ask_other(const Point& p, CaseMaker& make) {
    if (p.workload == "memory") return ask_memory(p, make);
    if (p.workload == "energy") return ask_energy(p, make);
    throw Unanswerable(fmt::format("no workload for {} yet", p.workload));
}

}  // namespace wb
