#include "kernels/reference/generating.hpp"

#include <algorithm>
#include <memory>

#include "core/error.hpp"
#include "kernels/reference/execution.hpp"

namespace wb::reference {
namespace {

/// A graph and its values, which refer to it.
struct Step {
    Graph graph;
    Execution values;
    Step(Graph g, std::uint64_t seed) : graph(std::move(g)), values(graph, seed) {}

    TensorId find(Role role, const std::string& name) const {
        for (std::size_t i = 0; i < graph.tensors().size(); ++i)
            if (const Tensor& t = graph.tensors()[i]; t.role == role && (name.empty() || t.name == name))
                return tensor_id(i);
        contract_failed("a step has the tensors of the step before", __FILE__, __LINE__);
    }
};

/// The caches of one step hold what those of the step before do, and have room for more behind each sequence.
void hand_over(const Step& from, Step& to, std::int64_t sequences) {
    for (std::size_t i = 0; i < to.graph.tensors().size(); ++i) {
        const Tensor& t = to.graph.tensors()[i];
        if (t.role != Role::state) continue;
        const TensorId before = from.find(Role::state, t.name);
        for (std::int64_t k = 0; k < to.graph.instances(tensor_id(i)); ++k) {
            const std::vector<double>& old = from.values.values(before, k);
            std::vector<double>& now = to.values.values(tensor_id(i), k);
            const auto each = static_cast<std::ptrdiff_t>(old.size()) / sequences;
            const auto room = static_cast<std::ptrdiff_t>(now.size()) / sequences;
            for (std::ptrdiff_t s = 0; s < sequences; ++s)
                std::copy_n(old.begin() + s * each, each, now.begin() + s * room);
        }
    }
}

std::vector<double> chosen(const std::vector<double>& logits, std::int64_t sequences, std::int64_t token,
                           const TokenChoice& choice) {
    const std::int64_t vocabulary = static_cast<std::int64_t>(logits.size()) / sequences;
    std::vector<double> out;
    for (std::int64_t s = 0; s < sequences; ++s) {
        std::int64_t best = 0;
        double highest = 0;
        for (std::int64_t id = 0; id < vocabulary; ++id) {
            const double score = choice.score(logits[static_cast<std::size_t>(s * vocabulary + id)], token, s, id);
            if (id == 0 || score > highest) best = id, highest = score;
        }
        out.push_back(static_cast<double>(best));
    }
    return out;
}

}  // namespace

Outputs generate(const Generation& generation, const TokenChoice& choice, std::uint64_t seed,
                 const std::vector<double>& prompt) {
    Outputs out;
    const std::int64_t sequences = generation.prompt.batch;
    std::unique_ptr<Step> before;
    for (std::int64_t token = 0; token < generation.tokens; ++token) {
        auto step = std::make_unique<Step>(token == 0 ? *generation.prefill : generation.step(token), seed);
        if (before) {
            hand_over(*before, *step, sequences);
            step->values.values(step->find(Role::input, "tokens")) = out[out.size() - 2].values;
        } else if (!prompt.empty()) {
            step->values.values(step->find(Role::input, "tokens")) = prompt;
        }
        step->values.run();
        const TensorId head = step->find(Role::output, "");
        const std::vector<double>& logits = step->values.values(head);
        out.push_back({"tokens", TensorId{}, token, DType::int32, chosen(logits, sequences, token, choice)});
        out.push_back({"logits", head, token, step->graph.tensor(head).dtype, logits});
        before = std::move(step);
    }
    return out;
}

}  // namespace wb::reference
