#pragma once

#include <string_view>
#include <vector>

#include "kernels/workloads/model/config_keys.hpp"
#include "kernels/workloads/model/model_config.hpp"

namespace wb {

/// One architecture of Hugging Face: how its config.json is read.
struct Family {
    std::string_view type;  ///< "model_type" of the file
    void (*read)(const ConfigKeys&, ModelConfig&);
};
const std::vector<Family>& families();

/// Architectures of the same library that no graph of this program's operators computes, and what they need.
struct ForeignFamily {
    std::string_view type, needs;
};
const std::vector<ForeignFamily>& foreign_families();

}  // namespace wb
