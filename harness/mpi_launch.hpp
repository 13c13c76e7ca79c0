#pragma once

#include <optional>

namespace wb {

/// What the launcher says of the job. `pmi`: the process can find its peers through a process manager.
struct Launch {
    bool pmi = false;
    std::optional<int> ranks;
};

/// From the environment of this process; MPI is not touched.
Launch launch();

}  // namespace wb
