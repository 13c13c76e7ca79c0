#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "core/backend.hpp"
#include "harness/serving/engine.hpp"

namespace wb::serving {

/// Values of a function of two sizes, asked for at 1, 2, 3, 4, 6, 8, 12, ... when first needed, linear between.
class LazyGrid {
public:
    /// Nothing where the function cannot say; then the two sizes below go on in a straight line.
    using Ask = std::function<std::optional<double>(std::int64_t, std::int64_t)>;
    explicit LazyGrid(Ask ask) : ask_(std::move(ask)) {}
    /// Throws Error where nothing is known at all.
    double at(double x, double y);
    std::size_t asked() const { return known_.size(); }

private:
    std::optional<double> value(int level_x, int level_y);
    std::optional<double> along_y(int level_x, double y);
    Ask ask_;
    std::map<std::pair<int, int>, std::optional<double>> known_;
};

/// What of a step is neither prefill nor decode kernels: the engine's own time on the host.
struct EngineTime {
    double step_s = 0, sequence_s = 0;  ///< per step, and per sequence in it
};

/// Step times from a backend's answers to the prefill and decode graphs of one composition, resized. A step of both
/// costs the sum less what both kinds of rows share, taken from prefills of as many tokens in short prompts: weights
/// are read once, and kernels are launched once.
class BackendSteps final : public StepTimes {
public:
    /// `leaf` is the case of one replica, whose graph is replaced; it names the units and the mapping. `decode` may be
    /// null where all answers have one token. Collective over `comm` where the backend is: ranks agree on every time.
    BackendSteps(const Backend& backend, Case leaf, std::shared_ptr<const Graph> prefill,
                 std::shared_ptr<const Graph> decode, EngineTime engine, Comm& comm);
    double seconds(const Step& step) override;
    std::size_t asked() const { return prefill_.asked() + decode_.asked(); }

private:
    std::optional<double> ask(const Graph& graph, std::int64_t batch, std::int64_t step, std::int64_t cached);
    double rows(double tokens);
    double pair_s();
    const Backend& backend_;
    Case leaf_;
    std::shared_ptr<const Graph> prefill_graph_, decode_graph_;
    EngineTime engine_;
    Comm& comm_;
    LazyGrid prefill_, decode_;
    std::optional<double> pair_s_;
};

}  // namespace wb::serving
