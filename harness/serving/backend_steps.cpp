#include "harness/serving/backend_steps.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "core/error.hpp"
#include "core/resize.hpp"

namespace wb::serving {
namespace {

constexpr double short_prompt = 64;  // tokens; its own attention is no matter

/// Sizes 1, 2, 3, 4, 6, 8, 12, ...
constexpr std::int64_t size_at(int level) {
    if (level <= 0) return 1;
    return level % 2 == 1 ? std::int64_t{1} << ((level + 1) / 2) : 3 * (std::int64_t{1} << (level / 2 - 1));
}

/// The same as a table: a server looks sizes up in every step, some millions of times in a run.
constexpr auto sizes = [] {
    std::array<double, 80> out{};
    for (int level = 0; level < 80; ++level) out[static_cast<std::size_t>(level)] = static_cast<double>(size_at(level));
    return out;
}();
double size_of(int level) { return sizes[static_cast<std::size_t>(level)]; }

/// The highest level whose size is not above x.
int level_below(double x) {
    if (x < 2) return 0;
    const int level = 2 * std::bit_width(static_cast<std::uint64_t>(x)) - 3;
    return size_of(level + 1) <= x ? level + 1 : level;
}

double between(double x, int level, double low, double high) {
    const double a = size_of(level), b = size_of(level + 1);
    return low + (high - low) * (x - a) / (b - a);
}

}  // namespace

std::optional<double> LazyGrid::value(int level_x, int level_y) {
    WB_EXPECT(level_x >= 0 && level_x < levels && level_y >= 0 && level_y < levels);
    Known& k = known_[static_cast<std::size_t>(level_x * levels + level_y)];
    if (!k.asked) {
        k = {true, ask_(size_at(level_x), size_at(level_y))};
        ++asked_;
    }
    return k.value;
}

std::optional<double> LazyGrid::along_y(int level_x, double y) {
    int level = level_below(y);
    const double exact = size_of(level);
    const std::optional<double> low = value(level_x, level);
    if (low && y == exact) return low;
    if (low)
        if (const std::optional<double> high = value(level_x, level + 1)) return between(y, level, *low, *high);
    for (; level > 0; --level) {  // the last two that are known go on
        const std::optional<double> a = value(level_x, level - 1), b = value(level_x, level);
        if (a && b) return between(y, level - 1, *a, *b);
    }
    return value(level_x, 0);
}

double LazyGrid::at(double x, double y) {
    int level = level_below(x);
    const double exact = size_of(level);
    const std::optional<double> low = along_y(level, y);
    if (low && x == exact) return *low;
    if (low)
        if (const std::optional<double> high = along_y(level + 1, y)) return between(x, level, *low, *high);
    for (; level > 0; --level) {
        const std::optional<double> a = along_y(level - 1, y), b = along_y(level, y);
        if (a && b) return between(x, level - 1, *a, *b);
    }
    if (const std::optional<double> only = along_y(0, y)) return *only;
    throw Error({"serve", "the backend answers no step of any size", "requests cannot be served", ""});
}

BackendSteps::BackendSteps(const Backend& backend, Case leaf, std::shared_ptr<const Graph> prefill,
                           std::shared_ptr<const Graph> decode, EngineTime engine, Comm& comm)
    : backend_(backend),
      leaf_(std::move(leaf)),
      prefill_graph_(std::move(prefill)),
      decode_graph_(std::move(decode)),
      engine_(engine),
      comm_(comm),
      prefill_([this](std::int64_t batch, std::int64_t tokens) { return ask(*prefill_graph_, batch, tokens, 0); }),
      decode_([this](std::int64_t batch, std::int64_t cached) { return ask(*decode_graph_, batch, 1, cached); }) {}

std::optional<double> BackendSteps::ask(const Graph& graph, std::int64_t batch, std::int64_t step,
                                        std::int64_t cached) {
    constexpr double never = -1;
    double time_s = never;
    try {
        Case c = leaf_;
        c.graph = c.small = std::make_shared<const Graph>(resized(graph, {batch, step, cached}));
        const std::unique_ptr<Session> session = backend_.prepare(c, comm_);
        std::vector<double> runs{session->run().elapsed.si()};
        if (backend_.kind() == Kind::measured) {  // the first run is never timed; of three the middle one
            for (double& s : runs = std::vector<double>(3)) s = session->run().elapsed.si();
            std::sort(runs.begin(), runs.end());
        }
        time_s = runs[runs.size() / 2];
    } catch (const std::exception&) {
        time_s = never;  // this step is too large for it
    }
    if (backend_.collective() && comm_.size() > 1) {
        const double unable = comm_.max(time_s > 0 ? 0.0 : 1.0);
        time_s = unable > 0 ? never : comm_.max(time_s);
    }
    return time_s > 0 && std::isfinite(time_s) ? std::optional(time_s) : std::nullopt;
}

/// As many tokens in short prompts: what the products and the weights take, without the attention of long prompts.
double BackendSteps::rows(double tokens) {
    return tokens <= short_prompt ? prefill_.at(1, tokens) : prefill_.at(tokens / short_prompt, short_prompt);
}

/// Seconds that one query-key pair of attention in a long prompt takes: what is more than linear in a prompt's length.
double BackendSteps::pair_s() {
    constexpr double length = 8192;
    if (!pair_s_) {
        const double more = prefill_.at(1, 2 * length) - 2 * prefill_.at(1, length);
        pair_s_ = std::max(0.0, more / (length * length));  // 2 L^2 pairs less twice L^2 / 2
    }
    return *pair_s_;
}

double BackendSteps::seconds(const Step& step) {
    double t = engine_.step_s + engine_.sequence_s * static_cast<double>(step.decodes + step.prompts);
    double reading = 0, writing = 0;
    if (step.prompts > 0) {
        const auto n = static_cast<double>(step.prompts);
        reading = prefill_.at(n, static_cast<double>(step.prompt_tokens) / n);
        if (step.context_pairs > 0) reading += step.context_pairs * pair_s();
    }
    if (step.decodes > 0) {
        const auto n = static_cast<double>(step.decodes);
        writing = decode_.at(n, std::max(1.0, step.cached_tokens / n));
    }
    if (reading > 0 && writing > 0) {
        const auto p = static_cast<double>(step.prompt_tokens), d = static_cast<double>(step.decodes);
        const double shared = rows(p) + rows(d) - rows(p + d);
        return t + std::max({reading, writing, reading + writing - std::max(0.0, shared)});
    }
    return t + reading + writing;
}

}  // namespace wb::serving
