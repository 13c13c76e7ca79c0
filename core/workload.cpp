#include "core/workload.hpp"

#include <algorithm>
#include <filesystem>
#include <set>

namespace wb {

namespace fs = std::filesystem;

std::string Files::find(const std::string& relative) const {
    for (const std::string& root : roots_) {
        std::error_code ignored;
        const fs::path p = fs::path(root) / relative;
        if (fs::exists(p, ignored)) return p.string();
    }
    return {};
}

std::vector<std::string> Files::names(const std::string& folder, const std::string& extension) const {
    std::set<std::string> out;
    for (const std::string& root : roots_) {
        std::error_code ignored;
        for (const auto& entry : fs::directory_iterator(fs::path(root) / folder, ignored)) {
            const fs::path& p = entry.path();
            if (extension.empty() ? entry.is_directory() : p.extension() == extension)
                out.insert(extension.empty() ? p.filename().string() : p.stem().string());
        }
    }
    return {out.begin(), out.end()};
}

Files Files::beside(const std::string& folder) const {
    Files copy = *this;
    copy.beside_ = folder;
    return copy;
}

std::string Files::locate(const std::string& path) const {
    std::error_code ignored;
    if (path.empty()) return {};
    if (fs::path(path).is_relative() && !beside_.empty())
        if (const fs::path near = fs::path(beside_) / path; fs::exists(near, ignored)) return near.string();
    return fs::exists(path, ignored) ? path : std::string();
}

}  // namespace wb
