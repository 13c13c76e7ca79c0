#include <fmt/format.h>

#include "harness/composed_session.hpp"
#include "harness/validate/case_maker.hpp"

namespace wb {
namespace {

/// The buffer of CUDA's p2pBandwidthLatencyTest: 40 million integers (recalled).
constexpr std::int64_t integers = 40'000'000;
/// A model whose weights are sent from the host where a row tells no amount: what follows is the rate of the link.
constexpr const char* any_model = "gpt2";

/// Bytes per second that go one way while they do: a message, a copy or a load.
Question rate(Case c, double bytes) {
    Question q;
    q.terms.push_back({std::move(c), 1});
    q.factor = bytes;
    q.inverse = true;
    return q;
}

Question from_host(const Point& p, CaseMaker& make) {
    const Case whole = make.make("pipeline",
                                 {{"model", std::string(any_model)},
                                  {"batch", std::int64_t{1}},
                                  {"seq", std::int64_t{1}},
                                  {"steps", std::int64_t{1}},
                                  {"dtype", std::string("16-bit")}},
                                 make.setting(p));
    for (const Phase& x : whole.graph->phases()) {
        if (x.name != "load") continue;
        double bytes = 0;
        for (const Block& b : x.graph->blocks())
            for (int i = b.first; i < b.last; ++i)
                for (const TensorId id : x.graph->ops()[static_cast<std::size_t>(i)].in)
                    bytes += static_cast<double>(b.repeat) * x.graph->bytes(id).si();
        Case c = case_of(whole, x.graph);
        c.key = "load of " + whole.key;
        return rate(std::move(c), bytes);
    }
    throw Unanswerable("a pipeline has no phase load");
}

/// Read once and written once, both counted, as the test does on its diagonal.
Question through_memory(const Point& p, CaseMaker& make) {
    return rate(
        make.make(
            "vector",
            {{"op", std::string("gelu")}, {"rows", std::int64_t{1}}, {"cols", integers}, {"dtype", std::string("f32")}},
            make.setting(p)),
        2.0 * 4 * integers);
}

Question between_units(const Point& p, CaseMaker& make) {
    Setting s = make.setting(p);
    s.units = 2;
    s.units_known = true;
    return rate(make.make("collective",
                          {{"op", std::string("send_recv")},
                           {"bytes", fmt::format("{} B", 4 * integers)},
                           {"dtype", std::string("f32")}},
                          s),
                4.0 * integers);
}

}  // namespace

Question ask_link(const Point& p, CaseMaker& make) {
    const std::string& kind = p.word("kind");
    if (p.metric != "bandwidth")
        throw Unanswerable(fmt::format("the {} of a {} is a fact of its runtime, no model's", p.metric, kind));
    if (p.flag("bidirectional")) throw Unanswerable("no model of a link that is used both ways at once");
    if (kind == "p2p") return between_units(p, make);
    if (kind == "h2d" || kind == "d2h") return from_host(p, make);
    if (kind == "local_copy" || kind == "hbm_stream") return through_memory(p, make);
    if (kind == "rdma_write")
        throw Unanswerable(fmt::format("the fabric between nodes is the site's ({}), not the system file's",
                                       p.word_or("fabric", "not stated")));
    throw Unanswerable(fmt::format("a {} is a fact of its runtime, no model's", kind));
}

Question ask_program(const Point& p, CaseMaker& make) {
    Question q;
    q.asks = Question::Asks::program;
    q.system = make.setting(p).system;
    q.metric = p.metric;
    for (const auto& [key, value] : p.params) q.facts[key] = value;
    return q;
}

}  // namespace wb
