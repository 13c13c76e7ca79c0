#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "core/graph.hpp"
#include "kernels/workloads/model/model_config.hpp"
#include "kernels/workloads/weights/safetensors.hpp"

namespace wb {

/// Layers that the instances of a weight in a repeated block stand for: instance k is layer first + k * step.
struct LayerRange {
    std::int64_t first = 0, step = 1, count = 1;
};

/// The trained weights of a model, as what fills the weights of its graphs.
class ModelWeights : public std::enable_shared_from_this<ModelWeights> {
public:
    /// Null if the folder holds no safetensors files.
    static std::shared_ptr<const ModelWeights> find(const std::string& folder, const ModelConfig& model);

    ModelWeights(std::shared_ptr<const Safetensors> files, const ModelConfig& model, std::string folder);

    /// What fills the graph's weight `role` of this shape. Throws Error that names the tensor if it is not in the
    /// files, has another shape than config.json says, or is of a type whose values cannot be read.
    Fill fill(const std::string& role, const Shape& shape, const LayerRange& layers) const;

    const Safetensors& files() const { return *files_; }
    /// Stored tensors that no fill() has asked for, layers folded into one name with "*".
    std::vector<std::string> unused() const;

private:
    const StoredTensor& stored(const std::string& name, const std::string& role) const;

    std::shared_ptr<const Safetensors> files_;
    ModelConfig model_;
    std::string folder_;
    mutable std::mutex guard_;
    mutable std::set<std::string> used_;
};

}  // namespace wb
