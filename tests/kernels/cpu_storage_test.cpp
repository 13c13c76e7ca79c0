// Where the pages of large buffers come to lie: near the threads that write them first, and in huge pages if wanted.
#include "kernels/cpu/storage.hpp"

#include <doctest/doctest.h>
#include <omp.h>
#include <sys/resource.h>

#include <cstdlib>
#include <fstream>
#include <optional>
#include <string>

#include "core/error.hpp"
#include "core/huge_pages.hpp"

using namespace wb;
using cpu::Buffer;

namespace {

constexpr std::int64_t bytes = 64 << 20;  // beyond what malloc keeps for reuse: its pages are fresh

/// WB_HUGE_PAGES for a while.
class Wanted {
public:
    explicit Wanted(const char* word) {
        if (const char* before = std::getenv(name)) before_ = before;
        setenv(name, word, 1);
    }
    ~Wanted() {
        if (before_)
            setenv(name, before_->c_str(), 1);
        else
            unsetenv(name);
    }
    Wanted(const Wanted&) = delete;
    Wanted& operator=(const Wanted&) = delete;

private:
    static constexpr const char* name = "WB_HUGE_PAGES";
    std::optional<std::string> before_;
};

long faults_of_this_thread() {
    rusage use{};
    getrusage(RUSAGE_THREAD, &use);
    return use.ru_minflt;
}

bool kernel_gives_huge_pages() {
    std::ifstream in("/sys/kernel/mm/transparent_hugepage/enabled");
    std::string words;
    std::getline(in, words);
    return !words.empty() && words.find("[never]") == std::string::npos && huge_page_bytes() >= 0;
}

double grown_by(const char* word) {
    const Wanted wanted(word);
    const double before = huge_page_bytes();
    const Buffer buffer(bytes);
    buffer.fill(1, 2);
    return huge_page_bytes() - before;
}

}  // namespace

TEST_CASE("cpu storage: each thread touches its own part of a buffer first") {
    const Wanted off("off");
    const Buffer buffer(bytes);
    long faults[2] = {0, 0};
    const auto note = [&](int sign) {
#pragma omp parallel num_threads(2)
        faults[omp_get_thread_num()] += sign * faults_of_this_thread();
    };
    note(-1);
    buffer.fill(1, 2);
    note(1);
    const long pages = bytes / 4096;
    CHECK(faults[0] + faults[1] >= pages / 16);  // kernels may map several pages at a fault
    for (const long mine : faults) CHECK(mine >= (faults[0] + faults[1]) / 4);
}

TEST_CASE("cpu storage: large buffers lie in huge pages if that is wanted, and not if it is not") {
    CHECK(grown_by("off") <= 0);
    if (kernel_gives_huge_pages()) CHECK(grown_by("on") >= 2 << 20);
    const Wanted other("maybe");
    CHECK_THROWS_WITH_AS(huge_pages_wanted(),
                         "WB_HUGE_PAGES: is \"maybe\" (it says whether large buffers ask for huge pages). Set it to on "
                         "or off.",
                         Error);
}
