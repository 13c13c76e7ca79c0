#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <list>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/hash.hpp"
#include "kernels/cuda/warpgroup.hpp"

namespace wb::cuda::emulated {

inline constexpr int group_warps = warpgroup_threads / warp_threads;

[[noreturn]] void fault(const std::string& what);

/// As set_pace() and set_defect() say.
Pace pace_now();
bool planted(Defect defect);

struct Phases {
    std::int64_t expected = 0, pending = 0, bytes = 0, number = 0;

    void settle() {
        if (pending > 0 || bytes != 0) return;
        ++number;
        pending = expected;
    }
};

struct Copy {
    unsigned char* to;
    std::vector<unsigned char> bytes;  // in the order of the box
    std::uint32_t barrier;
    bool swizzled;
};

/// The results of one warp that products under way will change: their values, while the registers hold NaN.
struct Results {
    std::array<float*, warp_threads> at;
    std::vector<float> values;  // [lane, columns / 2]
    int pending = 0;
};

struct Product {
    Request what;
    std::array<const std::uint32_t*, warp_threads> left_at;
    std::array<std::array<std::uint32_t, 4>, warp_threads> left;
    std::list<Results>::iterator to;
};

/// Floats that are added to device memory while their thread goes on.
struct Sum {
    float* to;
    const unsigned char* from;
    std::size_t count;
    std::vector<float> values = {};  // empty until they are read of shared memory
};
struct Sums {
    std::vector<Sum> open, groups;
    bool all_read() const;
    void read();
    void add();
};

struct WarpUnit {
    std::vector<Product> open;
    std::deque<std::vector<Product>> groups;
    std::list<Results> results;
    bool fenced = false;
    Digest asked;
    std::int64_t count = 0;
};

/// What goes on beside the threads of a block: copies, products and sums, and the barriers that count them.
class Units final : public Beside {
public:
    Units() : writers_(shared_bytes() / 4 + 1, -1) {}
    static Units& of_block() {
        return static_cast<Units&>(beside([]() -> std::unique_ptr<Beside> { return std::make_unique<Units>(); }));
    }

    Phases& barrier(const PhaseBarrier* at);
    void begin(PhaseBarrier* at, int arrivals);
    void add(Copy copy);
    bool advance() override;
    void end() override;

    WarpUnit& warp() {
        units_.resize(static_cast<std::size_t>(block_threads() / warp_threads));
        return units_[static_cast<std::size_t>(warp_index())];
    }
    void add(const unsigned char* requests);
    void compute(WarpUnit& unit, int left);

    /// Of this thread.
    Sums& sums() { return sums_[thread_index()]; }
    void write(unsigned char* at, const void* from, std::size_t bytes);
    void publish();
    /// Error if products or copies are to read what its writer has not published.
    void expect_published(std::size_t first, std::size_t bytes) const;

private:
    void land();
    void compute(const Product& p) const;
    static void finish(WarpUnit& unit, const std::vector<Product>& group);

    std::map<std::uint32_t, Phases> barriers_;
    std::deque<Copy> copies_;
    std::vector<WarpUnit> units_;
    std::map<int, Sums> sums_;
    std::vector<int> writers_;  // of words of shared memory that are not published yet; -1: nobody
    std::map<int, std::vector<std::size_t>> written_;
};

}  // namespace wb::cuda::emulated
