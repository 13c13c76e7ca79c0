#pragma once

#include <dlfcn.h>

#include <string>

#include "core/error.hpp"

namespace wb::cuda {

/// A shared library that is opened when it is first needed: large ones would slow every start of the program, and one
/// that is missing is a reason to decline a case, not to fail to start.
class Library {
public:
    /// `name` is looked for as the loader does, then in `folder`.
    Library(const std::string& name, const std::string& folder)
        : name_(name), file_(dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL)) {
        if (!file_) file_ = dlopen((folder + "/" + name).c_str(), RTLD_NOW | RTLD_LOCAL);
        if (!file_)
            if (const char* why = dlerror()) why_ = why;
    }
    bool found() const { return file_ != nullptr; }
    const std::string& why_not() const { return why_; }

    template <class F>
    F find(const char* symbol) const {
        void* const at = file_ ? dlsym(file_, symbol) : nullptr;
        if (!at)
            throw Error({name_, file_ ? std::string("has no ") + symbol : why_, "CUDA needs it", ""}, Exit::failed);
        return reinterpret_cast<F>(at);
    }

private:
    std::string name_, why_;
    void* file_;  // never closed: what it has started may outlive every user
};

}  // namespace wb::cuda
