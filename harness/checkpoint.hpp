#pragma once

#include <filesystem>
#include <memory>

#include "core/comm.hpp"
#include "core/storage.hpp"
#include "harness/dataset.hpp"

namespace wb {

/// Storage in files: tokens of `tokens` (may be null), checkpoints in `folder`, one HDF5 file a step, the newest two
/// kept. A file is written aside, sealed with its CRC-32C, synced and renamed. Without `resume` a run begins anew: the
/// first checkpoint it writes removes those of earlier runs. `comm` must outlive this.
std::shared_ptr<Storage> file_storage(std::shared_ptr<TokenSource> tokens, std::filesystem::path folder, bool resume,
                                      Comm& comm);

}  // namespace wb
