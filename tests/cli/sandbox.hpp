#pragma once

#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <vector>

namespace cli {

namespace fs = std::filesystem;

/// How a call of the program ended. `code` is what a shell would see: 128 + the signal where one ended it.
struct Outcome {
    int code = -1;
    std::string out, err;
    double wall_s = 0, cpu_s = 0;
    double rss_bytes = 0;  ///< largest resident set

    bool says(const std::string& text) const {
        return err.find(text) != std::string::npos || out.find(text) != std::string::npos;
    }
};

/// A call that may still be running.
class Child {
public:
    Child(pid_t pid, fs::path out, fs::path err, double begin_s)
        : pid_(pid), out_(std::move(out)), err_(std::move(err)), begin_s_(begin_s) {}
    void send(int signal) const;
    Outcome wait();

private:
    pid_t pid_;
    fs::path out_, err_;
    double begin_s_;
};

/// A temporary folder in which the real program runs: its cache is in it, with a host that needs no measuring.
class Sandbox {
public:
    Sandbox();
    ~Sandbox();
    Sandbox(const Sandbox&) = delete;
    Sandbox& operator=(const Sandbox&) = delete;

    const fs::path& path() const { return path_; }
    fs::path operator/(const std::string& name) const { return path_ / name; }
    void write(const std::string& name, const std::string& text) const;
    std::string read(const std::string& name) const;

    /// Runs waferbench with these arguments in the folder. `in_child` runs between fork and exec.
    Outcome run(const std::vector<std::string>& arguments, const std::function<void()>& in_child = {}) const;
    Child start(const std::vector<std::string>& arguments, const std::function<void()>& in_child = {}) const;

    std::map<std::string, std::string> environment;  ///< set for every call

private:
    fs::path path_;
    mutable int calls_ = 0;
};

std::string slurp(const fs::path& path);
void spill(const fs::path& path, const std::string& bytes);

/// Two products on the bound and the fake clock of one GPU: four cases.
std::string small_experiment();
/// `cases` cases of `slow_s` wall clock each on the fake backend.
std::string slow_experiment(int cases);

/// Lines of a journal's finished cases: key -> record, from the file as it is now.
std::map<std::string, std::string> finished_cases(const fs::path& journal);

}  // namespace cli
