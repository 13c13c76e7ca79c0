#include "core/serving.hpp"

#include <fmt/format.h>

#include <charconv>
#include <memory>

#include "core/error.hpp"

namespace wb {
namespace {

constexpr const char* phase_name = "requests";

/// Numbers separated by single characters.
class Reader {
public:
    explicit Reader(std::string_view text) : at_(text.data()), end_(text.data() + text.size()) {}
    bool done() const { return at_ == end_; }
    template <class T>
    T next() {
        T value{};
        const auto r = std::from_chars(at_, end_, value);
        WB_EXPECT(r.ec == std::errc());
        at_ = r.ptr == end_ ? end_ : r.ptr + 1;
        return value;
    }

private:
    const char *at_, *end_;
};

}  // namespace

std::string text(const Serving& s) {
    std::string out =
        fmt::format("{} {} {} {} {} {} {} {} {}", static_cast<int>(s.policy), s.max_batch, s.token_budget,
                    s.cache_fraction, s.prefill_share, s.ttft_s, s.tpot_s, s.attained, s.knee ? 1 : 0);
    for (const Request& r : s.requests) out += fmt::format(" {},{},{}", r.arrival_s, r.input, r.output);
    return out;
}

Serving serving_from(std::string_view text) {
    Reader in(text);
    Serving s;
    s.policy = BatchPolicy{static_cast<std::uint8_t>(in.next<int>())};
    s.max_batch = in.next<std::int64_t>();
    s.token_budget = in.next<std::int64_t>();
    for (double* v : {&s.cache_fraction, &s.prefill_share, &s.ttft_s, &s.tpot_s, &s.attained}) *v = in.next<double>();
    s.knee = in.next<int>() != 0;
    while (!in.done()) {
        Request r;
        r.arrival_s = in.next<double>();
        r.input = in.next<std::int64_t>();
        r.output = in.next<std::int64_t>();
        s.requests.push_back(r);
    }
    return s;
}

void then_requests(Graph& composition, const Serving& serving) {
    auto g = std::make_shared<Graph>(phase_name);
    g->input(phase_name, {static_cast<std::int64_t>(serving.requests.size())}, DType::int32,
             {Fill::Kind::none, 0, text(serving)});
    composition.then(phase_name, 1, std::move(g));
}

std::optional<Serving> serving_of(const Graph& graph) {
    if (graph.phases().empty() || graph.phases().front().name != phase_name) return std::nullopt;
    return serving_from(graph.phases().front().graph->tensors().front().fill.stream);
}

}  // namespace wb
