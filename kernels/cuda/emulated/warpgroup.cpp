#include "kernels/cuda/warpgroup.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "kernels/cuda/emulated/matrix_reader.hpp"
#include "kernels/cuda/emulated/units.hpp"

namespace wb::cuda {
namespace emulated {
namespace {

thread_local Pace pace = Pace::late;
thread_local Defect defect = Defect::none;

constexpr int k_step = 16;

bool products_now() { return pace_now() == Pace::products_at_once || (pace_now() == Pace::drawn && drawn_now()); }

}  // namespace

void set_pace(Pace p) { pace = p; }
void set_defect(Defect d) { defect = d; }
Pace pace_now() { return pace; }
bool planted(Defect d) { return defect == d; }
void fault(const std::string& what) { throw ContractError("emulated device: " + what); }

void Units::end() {
    for (const auto& [thread, sums] : sums_)
        if (!sums.open.empty() || !sums.groups.empty()) fault("a block ended while its sums were under way");
    if (!copies_.empty()) fault("a block ended while copies were under way");
    for (const auto& [at, b] : barriers_)
        if (b.bytes != 0) fault(fmt::format("the barrier at {} still waits for {} bytes at the end", at, b.bytes));
    for (std::size_t w = 0; w < units_.size(); ++w) {
        if (!units_[w].open.empty() || !units_[w].groups.empty())
            fault("a block ended with products that were not waited for");
        const WarpUnit& first = units_[w / group_warps * group_warps];
        if (units_[w].count != first.count || units_[w].asked.low() != first.asked.low())
            fault("the warps of a group asked for different products");
    }
}

/// By lane 0 of a warp, once every lane has put its request into its slot.
void Units::add(const unsigned char* requests) {
    WarpUnit& unit = warp();
    std::array<Request, warp_threads> all;
    for (std::size_t i = 0; i < all.size(); ++i) std::memcpy(&all[i], requests + i * slot_bytes, sizeof(Request));
    const Request& one = all[0];
    for (const Request& r : all)
        if (r.a != one.a || r.b != one.b || r.columns != one.columns || r.is_bf16 != one.is_bf16 || r.add != one.add ||
            r.a_columns != one.a_columns || r.b_rows != one.b_rows || (r.left == nullptr) != (one.left == nullptr))
            fault("the threads of a warp asked for different products");
    if (!unit.fenced) fault("products without products_fence() before them");
    unit.asked.add(one.a).add(one.b).add(static_cast<std::int64_t>(one.columns)).add(std::int64_t{one.add});
    ++unit.count;
    Product p{one, {}, {}, {}};
    for (std::size_t i = 0; i < all.size() && one.left; ++i) {
        p.left_at[i] = all[i].left;
        std::copy_n(all[i].left, 4, p.left[i].begin());
    }
    const auto each = static_cast<std::size_t>(one.columns / 2);
    p.to = std::find_if(unit.results.begin(), unit.results.end(), [&](const Results& r) { return r.at[0] == one.c; });
    if (p.to == unit.results.end()) {
        p.to = unit.results.insert(unit.results.end(), Results{});
        p.to->values.resize(warp_threads * each);
        for (std::size_t i = 0; i < all.size(); ++i) {
            p.to->at[i] = all[i].c;
            std::copy_n(all[i].c, each, p.to->values.begin() + static_cast<std::ptrdiff_t>(i * each));
            std::fill_n(all[i].c, each, std::numeric_limits<float>::quiet_NaN());
        }
    }
    if (p.to->values.size() != warp_threads * each) fault("results of one place under way in two widths");
    ++p.to->pending;
    unit.open.push_back(std::move(p));
}

void Units::compute(WarpUnit& unit, int left) {
    while (unit.groups.size() > static_cast<std::size_t>(left)) {
        const std::vector<Product> group = std::move(unit.groups.front());
        unit.groups.pop_front();
        for (const Product& p : group) compute(p);
        finish(unit, group);
    }
}

/// Rows 16 w to 16 w + 15 of the product of warp w of its group.
void Units::compute(const Product& p) const {
    const int n = p.what.columns;
    const MatrixReader shared(shared_memory(), shared_bytes(), p.what.is_bf16, writers_);
    const bool a_columns = p.what.a_columns != planted(Defect::no_turned),
               b_rows = p.what.b_rows != planted(Defect::transposed);
    std::array<std::array<float, k_step>, k_step> a;  // [k, row]
    for (std::size_t row = 0; row < k_step; ++row)
        for (std::size_t k = 0; k < k_step; ++k) {
            const int i = warp_index() % group_warps * k_step + static_cast<int>(row), at = static_cast<int>(k);
            const std::uint32_t two = p.left[row % 8 * 4 + k % 8 / 2][row / 8 + 2 * (k / 8)];
            a[k][row] = p.what.left ? shared.value(static_cast<std::uint16_t>(k % 2 == 0 ? two & 0xffffU : two >> 16))
                        : a_columns ? shared.by_columns(p.what.a, i, at)
                                    : shared.by_rows(p.what.a, i, at);
        }
    const auto each = static_cast<std::size_t>(n / 2);
    for (std::size_t column = 0; column < static_cast<std::size_t>(n); ++column) {
        const auto to = [&](std::size_t row) -> float& {
            return p.to->values[(row % 8 * 4 + column % 8 / 2) * each + column / 8 * 4 + row / 8 * 2 + column % 2];
        };
        std::array<float, k_step> sums{};
        for (std::size_t row = 0; row < k_step && p.what.add; ++row) sums[row] = to(row);
        for (std::size_t k = 0; k < k_step; ++k) {
            const int i = static_cast<int>(column), at = static_cast<int>(k);
            const float b = b_rows ? shared.by_columns(p.what.b, i, at) : shared.by_rows(p.what.b, i, at);
            for (std::size_t row = 0; row < k_step; ++row) sums[row] += a[k][row] * b;
        }
        for (std::size_t row = 0; row < k_step; ++row) to(row) = sums[row];
    }
}

/// Results to their registers, where no later product is to change them.
void Units::finish(WarpUnit& unit, const std::vector<Product>& group) {
    for (const Product& p : group) {
        for (std::size_t i = 0; i < warp_threads && p.what.left; ++i)
            if (!std::equal(p.left[i].begin(), p.left[i].end(), p.left_at[i]))
                fault("an operand in registers was changed while its product was under way");
        Results& r = *p.to;
        if (--r.pending > 0) continue;
        const std::size_t each = r.values.size() / warp_threads;
        for (std::size_t i = 0; i < warp_threads; ++i)
            std::copy_n(r.values.begin() + static_cast<std::ptrdiff_t>(i * each), each, r.at[i]);
        unit.results.erase(p.to);
    }
}

void request(const Request& mine) {
    Request r = mine;
    constexpr std::uint64_t stride_field = std::uint64_t{0x3fff} << 32, swizzle_field = std::uint64_t{3} << 62;
    for (std::uint64_t* d : {&r.a, &r.b}) {
        if (planted(Defect::stride)) *d = (*d & ~stride_field) | ((*d & stride_field) << 1 & stride_field);
        if (planted(Defect::swizzle)) *d = (*d & ~swizzle_field) | std::uint64_t{2} << 62;
        if (planted(Defect::address)) *d += 2;
    }
    static_assert(sizeof r <= slot_bytes);
    const unsigned char* const slots = warp_slots(&r, sizeof r);
    if (lane_index() == 0) Units::of_block().add(slots);
}

void wait_products(int left) {
    if (planted(Defect::no_wait)) return;
    warp_slots(nullptr, 0);
    if (lane_index() == 0) {
        WarpUnit& unit = Units::of_block().warp();
        if (!unit.open.empty()) fault("products were waited for before products_end_group()");
        Units::of_block().compute(unit, left);
        unit.fenced = unit.fenced && left > 0;
    }
    warp_slots(nullptr, 0);
}

}  // namespace emulated

void products_fence() {
    if (lane_index() == 0 && !emulated::planted(emulated::Defect::no_fence))
        emulated::Units::of_block().warp().fenced = true;
}
void products_end_group() {
    if (lane_index() != 0) return;
    emulated::WarpUnit& unit = emulated::Units::of_block().warp();
    unit.groups.push_back(std::move(unit.open));
    unit.open.clear();
    if (emulated::products_now()) emulated::Units::of_block().compute(unit, 0);
}

}  // namespace wb::cuda
