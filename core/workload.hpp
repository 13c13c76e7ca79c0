#pragma once

#include <string>
#include <vector>

#include "core/graph.hpp"
#include "core/params.hpp"

namespace wb {

/// Folders of configuration, searched in order; the user's own come first.
class Files {
public:
    explicit Files(std::vector<std::string> roots) : roots_(std::move(roots)) {}
    /// The first existing root/relative, or nothing.
    std::string find(const std::string& relative) const;
    /// Names in root/folder of all roots, without extension, sorted, each once.
    std::vector<std::string> names(const std::string& folder, const std::string& extension) const;
    const std::vector<std::string>& roots() const { return roots_; }

private:
    std::vector<std::string> roots_;
};

/// A row of the table of workloads the build generates from kernels/workloads/*.cpp: one file, one workload.
struct Workload {
    std::string name, about;
    std::vector<ParamSpec> params;
    Graph (*build)(const Params& params, const Files& files);
    /// Parameters of the same workload small enough for the reference backend to judge in seconds; may return its
    /// input.
    Params (*verify_size)(const Params& params);
};

}  // namespace wb
