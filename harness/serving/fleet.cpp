#include "harness/serving/fleet.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/units.hpp"
#include "harness/declined.hpp"

namespace wb::serving {
namespace {

struct Pool {
    std::vector<Served> served;
    Trace sum;
};

/// `requests` in the order they come, dealt in turn.
Pool run_pool(const std::vector<Request>& requests, const Engine& engine, int replicas, StepTimes& times) {
    Pool out;
    out.served.resize(requests.size());
    double batches = 0;
    int decoding = 0;
    for (int k = 0; k < replicas; ++k) {
        std::vector<Request> mine;
        for (std::size_t i = static_cast<std::size_t>(k); i < requests.size(); i += static_cast<std::size_t>(replicas))
            mine.push_back(requests[i]);
        if (mine.empty()) break;
        Trace t = simulate(mine, engine, times);
        for (std::size_t i = 0; i < mine.size(); ++i)
            out.served[static_cast<std::size_t>(k) + i * static_cast<std::size_t>(replicas)] = t.served[i];
        Trace& s = out.sum;
        if (k == 0) s.moments = std::move(t.moments);
        s.makespan_s = std::max(s.makespan_s, t.makespan_s);
        s.busy_s += t.busy_s;
        s.prefill_s += t.prefill_s;
        s.steps += t.steps;
        s.request_steps += t.request_steps;
        s.prompt_tokens += t.prompt_tokens;
        s.new_tokens += t.new_tokens;
        s.peak_cache_tokens = std::max(s.peak_cache_tokens, t.peak_cache_tokens);
        if (t.mean_batch > 0) batches += t.mean_batch, ++decoding;
    }
    out.sum.mean_batch = decoding > 0 ? batches / decoding : 0;
    return out;
}

/// Prompts on machines of their own; what they read arrives at the others when its cache does.
FleetRun disaggregated(const std::vector<Request>& requests, const Fleet& fleet, StepTimes& times) {
    Engine reader = fleet.engine;
    reader.policy = BatchPolicy::prefill_first;
    std::vector<Request> prompts = requests;
    for (Request& r : prompts) r.output = 1;
    Pool first = run_pool(prompts, reader, fleet.prefill_replicas, times);
    std::vector<std::size_t> order(requests.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    const auto handed_over = [&](std::size_t i) {
        return first.served[i].first_token_s + fleet.transfer_s_per_token * static_cast<double>(requests[i].input);
    };
    std::stable_sort(order.begin(), order.end(),
                     [&](std::size_t a, std::size_t b) { return handed_over(a) < handed_over(b); });
    std::vector<Request> answers;
    for (std::size_t i : order) answers.push_back({handed_over(i), requests[i].input, requests[i].output});
    Engine writer = fleet.engine;
    writer.prefilled = true;
    Pool second = run_pool(answers, writer, fleet.replicas - fleet.prefill_replicas, times);
    FleetRun out;
    out.served = std::move(first.served);
    for (std::size_t k = 0; k < order.size(); ++k)
        if (requests[order[k]].output > 1) out.served[order[k]].finish_s = second.served[k].finish_s;
    out.sum = std::move(second.sum);
    out.sum.busy_s += first.sum.busy_s;
    out.sum.prefill_s += first.sum.prefill_s;
    out.sum.steps += first.sum.steps;
    out.sum.request_steps += first.sum.request_steps;
    out.sum.prompt_tokens += first.sum.prompt_tokens;
    out.sum.new_tokens += first.sum.new_tokens;
    for (const Served& s : out.served) out.makespan_s = std::max(out.makespan_s, s.finish_s);
    return out;
}

std::vector<Request> stretched(std::vector<Request> requests, double factor) {
    for (Request& r : requests) r.arrival_s *= factor;
    return requests;
}

}  // namespace

FleetRun serve(const std::vector<Request>& requests, const Fleet& fleet, StepTimes& times) {
    if (fleet.prefill_replicas > 0) return disaggregated(requests, fleet, times);
    Pool pool = run_pool(requests, fleet.engine, fleet.replicas, times);
    FleetRun out;
    out.served = std::move(pool.served);
    out.makespan_s = pool.sum.makespan_s;
    out.sum = std::move(pool.sum);
    return out;
}

Knee find_knee(const Serving& serving, const Fleet& fleet, StepTimes& times) {
    constexpr double precision = 0.01, steepest = 64;
    const double span = serving.requests.back().arrival_s;
    const auto at = [&](double stretch) {
        Serving s = serving;
        s.requests = stretched(serving.requests, stretch);
        Knee k;
        k.stretch = stretch;
        k.rate_per_s = static_cast<double>(s.requests.size()) / (span * stretch);
        k.run = serve(s.requests, fleet, times);
        k.report = report(s, k.run.served, k.run.makespan_s);
        return k;
    };
    const auto good = [](const Knee& k) { return k.report.excess <= 1; };
    // All at once are served in `full`: no load far above that can last, and far below it nobody waits.
    const double full = at(0).run.makespan_s / span;
    double high = full * 0.8, low = full * 1.25;
    Knee best = at(low);
    while (!good(best) && low < full * steepest) {
        high = low;
        low *= 2;
        best = at(low);
    }
    if (!good(best))
        throw Declined(Error::Parts{
            "serve",
            fmt::format("nothing attains the service level: at almost no load the request at {:.3g} % still "
                        "takes {:.2f} times as long as allowed (TTFT {}, TPOT {})",
                        100 * serving.attained, best.report.excess,
                        format(Seconds(percentile(best.report.latency.ttft_s, serving.attained))),
                        format(Seconds(percentile(best.report.latency.tpot_s, serving.attained)))),
            "there is no load to find", "Relax slo_ttft or slo_tpot, or use faster units."});
    for (Knee k = at(high); good(k) && high > full / 4; k = at(high)) {
        best = std::move(k);
        low = high;
        high /= 2;
    }
    while (low > high * (1 + precision)) {
        const double middle = std::sqrt(low * high);
        Knee k = at(middle);
        if (good(k)) {
            low = middle;
            best = std::move(k);
        } else {
            high = middle;
        }
    }
    return best;
}

}  // namespace wb::serving
