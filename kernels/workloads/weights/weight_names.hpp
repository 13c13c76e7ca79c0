#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/workloads/model/model_config.hpp"

namespace wb {

/// Where a weight of a graph, or one of its equal parts along its first dimension, lies in a stored tensor: its element
/// i, written in the mixed base of the extents, is at offset + the sum of digit x stride.
struct StoredView {
    struct Digit {
        std::int64_t extent, stride;
    };
    std::string tensor;  ///< its name in the files
    Shape stored;        ///< its shape there, by config.json
    std::int64_t offset = 0;
    std::vector<Digit> digits;  ///< the last one runs fastest

    std::int64_t size() const;
    std::int64_t at(std::int64_t i) const;
};

/// The parts of the weight `role` of a graph ("attention.q.weight", "final_norm.bias") with this shape in the files of
/// the model's family: names, transpositions and fused matrices of Hugging Face. `layer` counts from the model's first.
/// Nothing if the family keeps no such weight.
std::vector<StoredView> stored_views(const ModelConfig& model, const std::string& role, std::int64_t layer,
                                     const Shape& shape);

}  // namespace wb
