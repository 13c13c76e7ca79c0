#pragma once

#include <string>
#include <utility>
#include <vector>

namespace wb {

/// What this program was built from and how; stored with every result.
struct BuildInfo {
    std::string version;                                           ///< of the project: "0.1.0"
    std::string git_revision;                                      ///< 40 hexadecimal digits; "unknown" without git
    bool git_dirty = false;                                        ///< tracked files differed from that revision
    std::string compiler;                                          ///< "GNU 12.2.0"
    std::string flags;                                             ///< of the build type, then those of every target
    std::string build_type;                                        ///< "Release"
    std::vector<std::pair<std::string, std::string>> libraries{};  ///< name, version; "unknown" where it has none
};

const BuildInfo& build_info();

}  // namespace wb
