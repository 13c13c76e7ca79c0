#include "models/cluster/parts.hpp"

namespace wb::cluster {
namespace {

constexpr std::size_t most = 512;  // a few hundred operators each

Part made(const Graph& graph, const Device& device, int ranks) {
    Part out;
    if (ranks == 1) {
        out.cut = {graph, {}};
    } else {
        Mapping m;
        m.tensor = ranks;
        out.cut = partition(graph, m, 0);
        // The rules of operators name classes of types again where a product is wider than its operands.
        const System& s = device.system();
        out.cut.local = out.cut.local.resolved(s.native16.value_or(DType::any16), s.native8.value_or(DType::any8));
    }
    out.memory = model_memory(out.cut, device);
    return out;
}

}  // namespace

std::shared_ptr<const Part> Parts::of(const std::shared_ptr<const Graph>& graph, const Device& device, int ranks) {
    const System& s = device.system();
    const bool unfused = device.constant_or("attention_score_passes", 0) > 0;
    for (const Entry& e : entries_)
        if (e.graph == graph && e.ranks == ranks && e.unfused == unfused && e.native16 == s.native16 &&
            e.native8 == s.native8)
            return e.part;
    auto part = std::make_shared<const Part>(made(*graph, device, ranks));
    if (entries_.size() >= most) entries_.clear();
    entries_.push_back({graph, ranks, unfused, s.native16, s.native8, part});
    return part;
}

}  // namespace wb::cluster
