#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

#include "core/graph.hpp"

namespace wb {

/// The one way to assemble a graph whose block structure is already known. It is the same work, unless said otherwise.
class GraphEditor {
public:
    explicit GraphEditor(const Graph& whole, bool same_work = true) : local(whole.name()) {
        local.blocks_ = whole.blocks_;
        if (same_work) local.fingerprint_ = whole.fingerprint();
    }
    TensorId tensor(Tensor t) { return local.append(std::move(t)); }
    std::vector<TensorId> op(OpKind kind, std::string name, std::vector<TensorId> in, const Attributes& a, int block) {
        local.open_ = true;
        std::swap(local.blocks_[block], local.blocks_.back());  // apply() appends to the last block
        const int here = static_cast<int>(local.blocks_.size()) - 1;
        std::vector<TensorId> out = local.apply(kind, std::move(name), in, a);
        std::swap(local.blocks_[block], local.blocks_.back());
        for (TensorId id : out)
            if (local.tensors_[index(id)].block == here && std::find(in.begin(), in.end(), id) == in.end())
                local.tensors_[index(id)].block = block;
        return out;
    }
    Tensor& at(TensorId id) { return local.tensors_[index(id)]; }
    Block& block(int i) { return local.blocks_[i]; }
    int ops() const { return static_cast<int>(local.ops_.size()); }

    Graph local;
};

}  // namespace wb
