#pragma once

#include <string>
#include <utility>
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

    /// The same, with `folder` (of the experiment file) as the first place where paths of the user's are looked up.
    Files beside(const std::string& folder) const;
    /// A file or folder of the user's by its path: absolute, else in the folder of `beside`, else in the working
    /// folder. Nothing if there is none.
    std::string locate(const std::string& path) const;

private:
    std::vector<std::string> roots_;
    std::string beside_;
};

/// What was understood of a model or file, to be shown: name and value.
using Findings = std::vector<std::pair<std::string, std::string>>;

/// A row of the table of workloads the build generates from kernels/workloads/*.cpp: one file, one workload.
struct Workload {
    std::string name, about;
    std::vector<ParamSpec> params;
    Graph (*build)(const Params& params, const Files& files);
    /// Parameters of the same workload small enough for the reference backend to judge in seconds; may return its
    /// input.
    Params (*verify_size)(const Params& params);
    /// What the workload understood of the file its first parameter names; null: it reads none.
    Findings (*findings)(const Params& params, const Files& files) = nullptr;
};

}  // namespace wb
