// Reads and prints: compiled at -O1.
#include "harness/validate/case_maker.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "core/tables.hpp"

namespace wb {
namespace {

/// "RxC" as rows and columns of PEs.
std::pair<int, int> rectangle(const std::string& text) {
    int rows = 0, columns = 0;
    char end = 0;
    if (std::sscanf(text.c_str(), "%dx%d%c", &rows, &columns, &end) != 2 || rows < 1 || columns < 1)
        throw Unanswerable(fmt::format("mesh \"{}\" is not written RxC", text));
    return {rows, columns};
}

std::string case_key(const Case& c) {
    std::string key = fmt::format("{} {} | {}", c.workload, c.params.key(), c.system->id);
    for (const auto& [option, choice] : c.system->chosen) key += fmt::format(" {}={}", option, choice);
    if (const auto node = c.system->node.find("units"); node != c.system->node.end())
        key += fmt::format(" node={}", node->second.value);
    return key + fmt::format(" units={} | {}", c.units, c.mapping.text());
}

}  // namespace

CaseMaker::CaseMaker(const Files& files, SystemBook& systems, std::vector<Condition> conditions)
    : files_(files), systems_(systems), conditions_(std::move(conditions)) {}

Point CaseMaker::completed(Point point) const {
    for (const Condition& c : conditions_)
        if (c.holds(point))
            for (const auto& [key, value] : c.states)
                if (!point.has(key)) point.params.emplace_back(key, value);
    return point;
}

std::map<std::string, std::string> CaseMaker::choices(const Point& point, const std::string& system) {
    const auto plain = systems_.load(system);
    std::map<std::string, std::string> out;
    const auto choose = [&](const std::string& option, const std::string& choice) {
        const auto offered = plain->options.find(option);
        if (offered == plain->options.end()) return;
        const auto& names = offered->second;
        if (std::find(names.begin(), names.end(), choice) != names.end()) out[option] = choice;
    };
    for (const Condition& c : conditions_)
        if (c.holds(point))
            for (const auto& [option, choice] : c.options) choose(option, choice);
    for (const auto& [key, value] : point.params) choose(key, value);
    if (!point.has("clock_mhz") || !plain->options.contains("clock")) return out;
    for (const std::string& name : plain->options.at("clock")) {
        const auto other = systems_.load(system, {{"clock", name}});
        if (!other->clock || std::abs(other->clock->value / 1e6 - point.number("clock_mhz")) > 0.5) continue;
        for (const auto& [option, names] : plain->options) choose(option, name);  // what goes with that clock
    }
    return out;
}

Setting CaseMaker::setting(const Point& point, const std::string& system) {
    Setting s;
    s.system = systems_.load(system, choices(point, system), static_cast<int>(point.integer_or("gpus_per_node", 0)));
    Mapping& m = s.mapping;
    m.tensor = static_cast<int>(point.integer_or("tp", 1));
    m.pipeline = static_cast<int>(point.integer_or("pp", 1));
    m.context = static_cast<int>(point.integer_or("cp", 1));
    m.virtual_stages = static_cast<int>(point.integer_or("vp", 1));
    // Frameworks since 2022 deal by tokens what tensor ranks would repeat, unless told otherwise.
    m.sequence_parallel = point.has("sequence_parallel")
                              ? point.flag("sequence_parallel")
                              : (point.workload == "train_step" || point.workload == "pipeline") && m.tensor > 1;
    const std::string again = point.word_or("recompute", "none");
    m.recompute = again == "full"        ? Mapping::Recompute::full
                  : again == "selective" ? Mapping::Recompute::selective
                                         : Mapping::Recompute::none;
    const bool spread = point.has("tp") || point.has("pp") || point.has("dp");
    const int inner = m.tensor * m.pipeline * m.context;
    const auto gpus = static_cast<int>(point.integer_or("gpus", 0));
    int data = static_cast<int>(point.integer_or("dp", spread && gpus > 0 ? std::max(1, gpus / inner) : 1));
    int experts = static_cast<int>(point.integer_or("ep", 1));  // a way to use data-parallel ranks
    // Or tensor ranks too, each of which then has whole experts: as many bytes and FLOPs as a part of each.
    if (data % experts != 0 && experts % m.tensor == 0) experts /= m.tensor;
    m.expert = experts > 1 && data % experts == 0 ? experts : 1;
    m.data = data / m.expert;
    m.open = point.workload == "train_step";
    const bool serves = point.workload == "prefill" || point.workload == "decode" || point.workload == "serve";
    if (serves && !spread && gpus > 1 && s.system->kind == SystemKind::cluster)
        m.tensor = gpus;  // as serving does unless told otherwise
    s.units_known = gpus > 0 || m.units() > 1 || system != point.system;
    s.units = gpus > 0 ? gpus : m.units();
    // Replicas that share the weights count the sequences of a device: tensor ranks work on theirs together. Beside a
    // pipeline they keep gathered weights (Llama 3, section 3.3.2).
    const bool shares = point.integer_or("fsdp", 1) > 1 && m.pipeline == 1;
    if (shares) m.shard = 3;
    const std::int64_t together = point.integer_or("micro_batch", 1) * (shares ? m.tensor : 1);
    // A pipeline is filled with the smallest microbatches unless the row says otherwise.
    if (point.has("global_batch") && (point.has("micro_batch") || m.pipeline > 1))
        m.microbatches = static_cast<int>(std::max<std::int64_t>(1, point.integer("global_batch") / (data * together)));
    if (point.has("mesh")) std::tie(m.rows, m.columns) = rectangle(point.word("mesh"));
    m.algorithm = point.flag("partial_layers") ? "partial" : point.word_or("algorithm", "");
    for (const Condition& c : conditions_)
        if (!c.algorithm.empty() && c.holds(point)) m.algorithm = c.algorithm;
    return s;
}

Case CaseMaker::make(const std::string& workload, const ParamList& given, const Setting& setting) {
    const Workload& w = workload_named(workload);
    Case c;
    c.workload = workload;
    c.params = complete(w.params, given);
    c.system = setting.system;
    c.units = setting.units;
    c.mapping = setting.mapping;
    c.protocol.verify = false;
    c.protocol.brief = true;
    c.protocol.warmup = 0;
    c.protocol.min_samples = c.protocol.max_samples = 1;
    const auto n16 = c.system->native16, n8 = c.system->native8;
    const std::string plain = workload + " " + c.params.key();
    std::shared_ptr<const Graph>& asked = graphs_[plain];
    if (!asked) asked = std::make_shared<const Graph>(w.build(c.params, files_));
    std::shared_ptr<const Graph>& resolved =
        graphs_[fmt::format("{} {}/{}", plain, n16 ? name(*n16) : "", n8 ? name(*n8) : "")];
    if (!resolved)
        resolved = std::make_shared<const Graph>(asked->resolved(n16.value_or(DType::any16), n8.value_or(DType::any8)));
    for (const Tensor& t : resolved->tensors())
        if (is_class(t.dtype)) throw Unanswerable(fmt::format("{} has no native {} type", c.system->id, name(t.dtype)));
    c.graph = c.small = resolved;
    c.key = case_key(c);
    return c;
}

std::string CaseMaker::dtype(const Point& point) {
    static const std::map<std::string, std::string> names{{"fp64", "f64"},      {"fp32", "f32"},  {"bf16", "bf16"},
                                                          {"fp16", "f16"},      {"int8", "int8"}, {"fp8", "fp8_e4m3"},
                                                          {"mxfp8", "fp8_e4m3"}};
    if (!point.has("dtype")) return "16-bit";
    // Quantised training keeps floats, and rounds them to the 8-bit type of the unit where it multiplies.
    if (point.workload == "train_step" && point.word("dtype") == "int8") return "fp8_e4m3";
    // Served models keep weights in 8-bit integers, and values in 16-bit floats.
    const bool serves = point.workload == "prefill" || point.workload == "decode" || point.workload == "serve";
    if (serves && point.word("dtype") == "int8") return "8-bit";
    const auto at = names.find(point.word("dtype"));
    if (at == names.end()) throw Unanswerable(fmt::format("no workload in {} yet", point.word("dtype")));
    return at->second;
}

std::string CaseMaker::model(const Point& point, int tensor) const {
    std::string name = point.word("model");
    const std::int64_t shared = point.integer_or("kv_heads", tensor);
    const bool copies = tensor > shared && tensor % shared == 0 && point.has("hidden");
    const bool known = !files_.find("models/" + name + "/config.json").empty();
    if (known && !copies) return name;
    std::string shape;
    for (const char* key : {"hidden", "layers", "heads", "kv_heads", "head_dim", "ffn", "vocab", "gated", "experts",
                            "topk", "moe_ffn", "shared_experts"})
        if (point.has(key))
            shape += fmt::format("{}{}={}", shape.empty() ? "" : ",", key,
                                 copies && key == std::string("kv_heads") ? std::to_string(tensor) : point.word(key));
    if (!point.has("ffn") && !point.flag("gated") && point.has("hidden"))  // the convention of the GPT family
        shape += fmt::format(",ffn={}", 4 * point.integer("hidden"));
    for (const char* key : {"hidden", "layers", "heads", "vocab"})
        if (!point.has(key))
            throw Unanswerable(
                fmt::format("model \"{}\" is not in configs/models and the row does not say {}", name, key));
    return "{" + shape + "}";
}

Question question_of(const Point& row, CaseMaker& make) {
    const Point point = make.completed(row);
    using Ask = Question (*)(const Point&, CaseMaker&);
    static const std::map<std::string, Ask> table{
        {"gemm", ask_operator}, {"attention", ask_operator}, {"vector", ask_operator},   {"collective", ask_operator},
        {"layer", ask_layer},   {"prefill", ask_model},      {"pipeline", ask_pipeline}, {"decode", ask_model},
        {"serve", ask_model},   {"train_step", ask_model},   {"hpc", ask_program},       {"link", ask_link}};
    Question q;
    try {
        const auto at = table.find(point.workload);
        q = !point.run.empty()  ? ask_run(point, make)
            : at == table.end() ? ask_other(point, make)
                                : at->second(point, make);
    } catch (const std::exception& e) {
        q = {};
        q.reason = without_stop(e.what());
    }
    return q;
}

void set_metric(Question& q, const Point& point, const Amounts& amounts) {
    const Case& c = q.terms.front().c;
    const double units = c.units;
    q.inverse = point.sense() == Sense::rate;
    const std::string& metric = point.metric;
    if (metric == "time") q.factor = 1;
    if (metric == "cycles") q.factor = c.system->clock ? c.system->clock->value : 0;
    if (metric == "steps_per_s") q.factor = 1;
    if (metric == "tokens_per_s") q.factor = amounts.tokens;
    if (metric == "samples_per_s") q.factor = amounts.samples;
    if (metric == "flop_per_s") q.factor = amounts.flops;
    if (metric == "flop_per_s_per_device") q.factor = amounts.flops / units;
    if (metric == "bandwidth" || metric == "logical_bandwidth") q.factor = amounts.bytes;
    if (metric == "bus_bandwidth") q.factor = amounts.bus_bytes;
    if (metric == "mfu") {
        DType type = DType::any16;
        for (const Op& op : c.graph->ops())
            if (op.kind == OpKind::matmul && !op.in.empty()) type = c.graph->tensor(op.in[0]).dtype;
        const auto peak = c.system->peak.find(type);
        q.factor = peak == c.system->peak.end() ? 0 : amounts.flops / units / peak->second.value;
    }
    const bool told = metric != "ttft_mean" && metric != "ttft_p99" && metric != "tpot_mean";
    if (!told || !(q.factor > 0) || point.sense() == Sense::amount)
        throw Unanswerable(fmt::format("{} does not follow from one run of {}", metric, point.workload));
}

}  // namespace wb
