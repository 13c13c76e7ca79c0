#include "kernels/cpu/sliced_sum.hpp"

#include <algorithm>
#include <cstring>

#include "core/element.hpp"
#include "core/partition.hpp"
#include "kernels/cpu/run_matmul.hpp"

namespace wb::cpu {
namespace {

constexpr std::int64_t fewest_rows = 16, fewest_bytes = 4096;  ///< of a slice: below, a message costs its latency
constexpr int most_slices = 16;

/// Values in [-1, 1) whose sums are rounded.
Buffer random_values(std::int64_t count, DType type, std::uint64_t state) {
    Buffer out(count * stored_bytes(type));
    for (std::int64_t i = 0; i < count; ++i) {
        state = state * 6364136223846793005U + 1442695040888963407U;  // Knuth's MMIX
        encode(static_cast<double>(static_cast<std::int64_t>(state) >> 11) * 0x1p-52, type,
               out.data() + i * stored_bytes(type));
    }
    return out;
}

}  // namespace

SlicedSum::SlicedSum(const Site& sum, const Site* product)
    : comm_(sum.setup.comm),
      threads_(sum.threads()),
      type_(sum.in(0).dtype),
      count_(elements(sum.in(0).shape)),
      ordered_(comm_.size() > 2),
      has_product_(product != nullptr) {
    if (!product) return;
    shape_ = product_shape(*product);
    gemm_type_ = product_type(product->out(0).dtype);
    bias_ = product->inputs() > 2;
    use(blocking);
    library_ = parts_.front().product->library();
}

std::vector<int> SlicedSum::ways() const {
    std::vector<int> out{blocking, 1};
    if (!has_product_) return out;
    for (int n = 2; n <= most_slices; n *= 2)
        if (shape_.m / n >= fewest_rows && count_ * stored_bytes(type_) / n >= fewest_bytes) out.push_back(n);
    return out;
}

std::vector<SlicedSum::Slice> SlicedSum::cut(int slices) {
    std::vector<Slice> out;
    for (int i = 0; i < std::max(1, slices); ++i) {
        const Range r = shard(shape_.m, i, std::max(1, slices));
        auto at = products_.find(r.count);
        if (at == products_.end()) {
            GemmShape part = shape_;
            part.m = r.count;
            at = products_.try_emplace(r.count, part, gemm_type_, threads_, shape_).first;
        }
        out.push_back({r.first, r.count, &at->second});
    }
    return out;
}

void SlicedSum::use(int slices) {
    slices_ = slices;
    if (has_product_) parts_ = cut(slices);
    pending_.reserve(static_cast<std::size_t>(std::max(1, slices)));
}

void SlicedSum::run(const Slice& s, const void* a, const void* b, const void* bias, void* c) {
    const std::int64_t size = stored_bytes(type_);
    (*s.product)(static_cast<const std::byte*>(a) + s.first * shape_.k * size, b, bias,
                 static_cast<std::byte*>(c) + s.first * shape_.n * size);
}

bool SlicedSum::keeps_bits(int slices) {
    if (slices < 2) return true;
    const Buffer a = random_values(shape_.m * shape_.k, type_, 1), b = random_values(shape_.k * shape_.n, type_, 2),
                 bias = random_values(shape_.n, type_, 3);
    const Buffer whole(count_ * stored_bytes(type_)), sliced(count_ * stored_bytes(type_));
    for (const auto& [n, c] : {std::pair{1, &whole}, {slices, &sliced}})
        for (const Slice& s : cut(n)) run(s, a.data(), b.data(), bias_ ? bias.data() : nullptr, c->data());
    return std::memcmp(whole.data(), sliced.data(), static_cast<std::size_t>(whole.bytes())) == 0;
}

void SlicedSum::start(const std::byte* in, std::byte* out, std::int64_t first, std::int64_t count) {
    if (!started_) begun_ = Clock::now();
    started_ = true;
    const std::int64_t at = first * stored_bytes(type_);
    pending_.push_back(comm_.start_allreduce(in + at, out + at, count, type_));
}

void SlicedSum::multiply(Operands product, Operands sum) {
    const void* const bias = bias_ ? product[2] : nullptr;
    void* const c = product[bias_ ? 3 : 2];
    for (const Slice& s : parts_) {
        run(s, product[0], product[1], bias, c);
        poll();
        if (slices_ > 1)
            start(static_cast<const std::byte*>(c), static_cast<std::byte*>(sum[1]), s.first * shape_.n,
                  s.rows * shape_.n);
    }
}

void SlicedSum::begin(Operands sum) {
    if (started_) return poll();
    begun_ = Clock::now();
    if (slices_ == blocking && !ordered_) {
        comm_.allreduce(sum[0], sum[1], count_, type_);
        ended_ = Clock::now();
        return;
    }
    start(static_cast<const std::byte*>(sum[0]), static_cast<std::byte*>(sum[1]), 0, count_);
    if (slices_ == blocking) wait();
}

void SlicedSum::poll() {
    for (const auto& p : pending_) p->test();
}

void SlicedSum::wait() {
    if (!started_) return;
    for (const auto& p : pending_) p->wait();
    pending_.clear();
    started_ = false;
    ended_ = Clock::now();
}

}  // namespace wb::cpu
