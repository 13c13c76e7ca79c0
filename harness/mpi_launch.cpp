#include "harness/mpi_launch.hpp"

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace wb {
namespace {

std::optional<int> number_in_environment(const char* variable) {
    const char* text = std::getenv(variable);
    if (text == nullptr) return {};
    const std::string_view view(text);
    int value = 0;
    const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
    if (error != std::errc() || end != view.data() + view.size()) return {};
    return value;
}

}  // namespace

Launch launch() {
    Launch found;
    for (const char* size : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"})
        if (!found.ranks) found.ranks = number_in_environment(size);
    found.pmi = found.ranks.has_value();
    for (const char* rank : {"PMIX_RANK", "PMI_RANK", "PALS_RANKID"}) found.pmi |= std::getenv(rank) != nullptr;
    // A step has this count; the batch script itself, which is one process, has not.
    if (!found.ranks) found.ranks = number_in_environment("SLURM_STEP_NUM_TASKS");
    return found;
}

}  // namespace wb
