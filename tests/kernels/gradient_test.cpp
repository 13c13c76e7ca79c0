// Gradients of whole models: the graph's backward pass, as the reference and as the cpu backend execute it, against
// central differences of the reference's loss in float64.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "core/backend.hpp"
#include "core/backward.hpp"
#include "core/hash.hpp"
#include "core/tables.hpp"
#include "kernels/reference/execution.hpp"

namespace wb {
std::unique_ptr<Backend> make_cpu();
}

using namespace wb;
using reference::Execution;

namespace {

constexpr std::uint64_t seed = 7;
constexpr double tolerance = 1e-3, step = 1e-4, beta1 = 0.9;  // AdamW's, see AdamW

Graph graph_of(const std::string& workload, const std::string& model, const char* dtype) {
    return build_workload(
        workload,
        {{"model", model}, {"batch", std::int64_t{2}}, {"seq", std::int64_t{5}}, {"dtype", std::string(dtype)}},
        Files({std::string(WB_SOURCE_DIR) + "/configs"}));
}

/// Differences below a thousandth of a gradient, or of `noise` where it vanishes by cancellation.
bool agree(double gradient, double difference, double noise) {
    return std::abs(gradient - difference) <= tolerance * std::max(std::abs(difference), noise);
}

/// One element of every weight: the one with the largest gradient among some drawn.
struct Probe {
    TensorId weight;
    std::int64_t instance = 0, element = 0;
    double gradient = 0;
};

std::vector<Probe> probes(const Graph& g, const std::vector<Gradient>& gradients, const Execution& values) {
    std::vector<Probe> out;
    std::uint64_t state = 1;
    for (const Gradient& each : gradients) {
        Probe best{each.of};
        for (int i = 0; i < 16; ++i) {
            state = mix64(state);
            const auto below = [&](std::int64_t n) {
                return static_cast<std::int64_t>((state >> 20) % static_cast<std::uint64_t>(n));
            };
            Probe p{each.of, i % g.instances(each.of), below(g.elements(each.of))};
            p.gradient = values.values(each.gradient, p.instance)[static_cast<std::size_t>(p.element)];
            if (i == 0 || std::abs(p.gradient) > std::abs(best.gradient)) best = p;
        }
        out.push_back(best);
    }
    return out;
}

double loss_of(Execution& forward, const Graph& g) {
    forward.run();
    double sum = 0, rows = 0;
    for (const Output& o : forward.outputs())
        if (g.tensor(o.tensor).role == Role::output)
            for (const double x : o.values) sum += x, ++rows;
    return sum / rows;
}

/// First moments after one step in f32: a tenth of the gradients.
Outputs moments_on_cpu(const std::string& model) {
    Case c;
    c.graph = c.small = std::make_shared<const Graph>(graph_of("train", model, "f32"));
    auto host = std::make_shared<System>();
    host->id = host->title = "this host";
    host->kind = SystemKind::host;
    c.system = host;
    c.threads = 1;
    c.seed = seed;
    const auto comm = single_process();
    const auto session = make_cpu()->prepare(c, *comm);
    session->run();
    return session->outputs().value();
}

double moment(const Outputs& all, const std::string& weight, const Probe& p) {
    for (const Output& o : all)
        if (o.name == weight + ".m" && o.instance == p.instance)
            return o.values[static_cast<std::size_t>(p.element)] / (1 - beta1);
    return NAN;
}

}  // namespace

TEST_CASE("gradients of whole models are the differences of their loss") {
    for (const std::string model : {"tiny-gpt2", "tiny-llama", "tiny-moe", "tiny-mla"}) {
        CAPTURE(model);
        Graph g = graph_of("evaluate", model, "f64");
        const Graph plain = g;
        const std::vector<Gradient> gradients = derive_backward(g);
        Execution analytic(g, seed), numeric(plain, seed);
        analytic.run();
        const Outputs moments = moments_on_cpu(model);
        const std::vector<Probe> all = probes(g, gradients, analytic);
        double largest = 0;
        for (const Probe& p : all) largest = std::max(largest, std::abs(p.gradient));
        std::size_t told_apart = 0;
        for (const Probe& p : all) {
            CAPTURE(plain.tensor(p.weight).name);
            double& x = numeric.values(p.weight, p.instance)[static_cast<std::size_t>(p.element)];
            const double at = x;
            x = at + step;
            const double above = loss_of(numeric, plain);
            x = at - step;
            const double below = loss_of(numeric, plain);
            x = at;
            const double difference = (above - below) / (2 * step), noise = 1e-5 * largest;
            CHECK(agree(p.gradient, difference, noise));
            CHECK(agree(moment(moments, plain.tensor(p.weight).name, p), difference, 1e-2 * largest));
            told_apart += !agree(1.01 * p.gradient, difference, noise) && !agree(-p.gradient, difference, noise);
        }
        CHECK(told_apart + 4 >= all.size());  // biases of keys have no gradient, routers of unlikely experts hardly one
        CHECK(all.size() >= 12);
    }
}
