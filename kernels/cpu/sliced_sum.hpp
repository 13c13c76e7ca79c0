#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "kernels/cpu/gemm.hpp"
#include "kernels/cpu/runner.hpp"

namespace wb::cpu {

/// A sum over ranks that goes on while its rank computes, and the product before it: in slices of rows, the sum of each
/// begun while the next is multiplied (Wang et al., "Overlap Communication with Dependent Computation via
/// Decomposition", ASPLOS 2023).
class SlicedSum {
public:
    using Clock = std::chrono::steady_clock;

    /// 0 slices: a sum that is waited for at once. 1: begun when the product is whole.
    static constexpr int blocking = 0;

    /// `product`: whose rows may be sliced; null if there is none. Both sites are only looked at here.
    SlicedSum(const Site& sum, const Site* product);

    /// Numbers of slices that use() takes, `blocking` first. Makes ready nothing.
    std::vector<int> ways() const;
    void use(int slices);
    int slices() const { return slices_; }
    /// Whether slices give the product the bits that the whole of it has, on random operands: a library may add in
    /// another order where there are fewer rows.
    bool keeps_bits(int slices);

    /// The product, and its sum begun slice by slice.
    void multiply(Operands product, Operands sum);
    /// The sum begun, if multiply() has not begun it.
    void begin(Operands sum);
    void poll();
    void wait();
    bool under_way() const { return !pending_.empty(); }
    Clock::time_point begun() const { return begun_; }
    Clock::time_point ended() const { return ended_; }
    std::string library() const { return library_; }

private:
    struct Slice {
        std::int64_t first, rows;
        Gemm* product;
    };
    std::vector<Slice> cut(int slices);
    void run(const Slice& s, const void* a, const void* b, const void* bias, void* c);
    void start(const std::byte* in, std::byte* out, std::int64_t first, std::int64_t count);

    Comm& comm_;
    int threads_;
    DType type_;
    std::int64_t count_;
    bool ordered_;  ///< also the blocking sum adds in the order of the ranks
    bool has_product_, bias_ = false;
    GemmShape shape_;
    GemmType gemm_type_ = GemmType::f32;
    std::string library_;
    std::map<std::int64_t, Gemm> products_;  // by rows
    int slices_ = blocking;
    std::vector<Slice> parts_;
    std::vector<std::unique_ptr<Pending>> pending_;
    bool started_ = false;
    Clock::time_point begun_, ended_;
};

}  // namespace wb::cpu
