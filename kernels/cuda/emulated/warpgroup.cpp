#include "kernels/cuda/warpgroup.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <deque>
#include <limits>
#include <list>
#include <map>
#include <vector>

#include "core/hash.hpp"
#include "kernels/cuda/emulated/matrix_reader.hpp"

namespace wb::cuda {
namespace {

using emulated::Defect;
using emulated::Pace;
using emulated::Request;

thread_local Pace pace = Pace::late;
thread_local Defect defect = Defect::none;

constexpr std::uint64_t begun_mark = 0x6d62617272696572;  // stands where a barrier is, so that writing over it shows
constexpr int group_warps = warpgroup_threads / warp_threads, k_step = 16;

[[noreturn]] void fault(const std::string& what) { throw ContractError("emulated device: " + what); }

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

struct WarpUnit {
    std::vector<Product> open;
    std::deque<std::vector<Product>> groups;
    std::list<Results> results;
    bool fenced = false;
    Digest asked;
    std::int64_t count = 0;
};

class Units final : public emulated::Beside {
public:
    static Units& of_block() {
        return static_cast<Units&>(
            emulated::beside([]() -> std::unique_ptr<emulated::Beside> { return std::make_unique<Units>(); }));
    }

    Phases& barrier(const PhaseBarrier* at) {
        const std::uint32_t address = shared_address(at);
        if (address % 8 != 0 || address + 8 > emulated::shared_bytes()) fault("a barrier lies outside shared memory");
        const auto found = barriers_.find(address);
        if (found == barriers_.end()) fault("a barrier was used before it was begun");
        if (*at != begun_mark) fault("something was written over a barrier");
        return found->second;
    }
    void begin(PhaseBarrier* at, int arrivals) {
        WB_EXPECT(arrivals > 0 && arrivals < (1 << 20));
        *at = begun_mark;
        barriers_[shared_address(at)] = {arrivals, arrivals, 0, 0};
    }

    void add(Copy copy) {
        copies_.push_back(std::move(copy));
        if (pace == Pace::copies_at_once || (pace == Pace::drawn && emulated::drawn_now())) land();
    }
    bool advance() override {
        if (copies_.empty()) return false;
        land();
        return true;
    }
    void end() override;

    WarpUnit& warp() {
        units_.resize(static_cast<std::size_t>(block_threads() / warp_threads));
        return units_[static_cast<std::size_t>(warp_index())];
    }
    void add(const unsigned char* requests);
    void compute(WarpUnit& unit, int left);

private:
    void land();
    void compute(const Product& p) const;
    static void finish(WarpUnit& unit, const std::vector<Product>& group);

    std::map<std::uint32_t, Phases> barriers_;
    std::deque<Copy> copies_;
    std::vector<WarpUnit> units_;
};

void Units::land() {
    Copy c = std::move(copies_.front());
    copies_.pop_front();
    unsigned char* const memory = shared_memory();
    const auto first = static_cast<std::uint32_t>(c.to - memory);
    for (std::uint32_t i = 0; i < c.bytes.size(); ++i) {
        const std::uint32_t at = first + i;
        memory[at ^ ((at >> 7 & 7U) << 4)] = c.bytes[i];
    }
    Phases& b = barriers_.at(c.barrier);
    b.bytes -= static_cast<std::int64_t>(c.bytes.size());
    b.settle();
}

void Units::end() {
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
    for (std::size_t i = 0; i < all.size(); ++i)
        std::memcpy(&all[i], requests + i * emulated::slot_bytes, sizeof(Request));
    const Request& one = all[0];
    for (const Request& r : all)
        if (r.a != one.a || r.b != one.b || r.columns != one.columns || r.is_bf16 != one.is_bf16 || r.add != one.add ||
            (r.left == nullptr) != (one.left == nullptr))
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
    const emulated::MatrixReader shared(shared_memory(), emulated::shared_bytes(), p.what.is_bf16);
    std::array<std::array<float, k_step>, k_step> a;  // [row, k]
    for (int row = 0; row < k_step; ++row)
        for (int k = 0; k < k_step; ++k) {
            if (!p.what.left) {
                a[static_cast<std::size_t>(row)][static_cast<std::size_t>(k)] =
                    shared.by_rows(p.what.a, warp_index() % group_warps * k_step + row, k);
                continue;
            }
            const auto lane = static_cast<std::size_t>(row % 8 * 4 + k % 8 / 2);
            const std::uint32_t two = p.left[lane][static_cast<std::size_t>(row / 8 + 2 * (k / 8))];
            a[static_cast<std::size_t>(row)][static_cast<std::size_t>(k)] =
                shared.value(static_cast<std::uint16_t>(k % 2 == 0 ? two & 0xffffU : two >> 16));
        }
    const bool b_rows = (p.what.left != nullptr) != (defect == Defect::transposed);
    for (int column = 0; column < n; ++column) {
        std::array<float, k_step> b;
        for (int k = 0; k < k_step; ++k)
            b[static_cast<std::size_t>(k)] =
                b_rows ? shared.by_columns(p.what.b, column, k) : shared.by_rows(p.what.b, column, k);
        for (int row = 0; row < k_step; ++row) {
            const std::size_t lane = static_cast<std::size_t>(row % 8 * 4 + column % 8 / 2);
            float& to = p.to->values[lane * static_cast<std::size_t>(n / 2) +
                                     static_cast<std::size_t>(column / 8 * 4 + row / 8 * 2 + column % 2)];
            float sum = p.what.add ? to : 0.0F;
            for (std::size_t k = 0; k < k_step; ++k) sum += a[static_cast<std::size_t>(row)][k] * b[k];
            to = sum;
        }
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

bool products_now() { return pace == Pace::products_at_once || (pace == Pace::drawn && emulated::drawn_now()); }

struct Wait {
    const Phases* barrier;
    int parity;
};
bool over(const void* what) {
    const Wait& wait = *static_cast<const Wait*>(what);
    return (wait.barrier->number & 1) != wait.parity;
}

}  // namespace

namespace emulated {

void set_pace(Pace p) { pace = p; }
void set_defect(Defect d) { defect = d; }

void request(const Request& mine) {
    Request r = mine;
    constexpr std::uint64_t stride_field = std::uint64_t{0x3fff} << 32, swizzle_field = std::uint64_t{3} << 62;
    for (std::uint64_t* d : {&r.a, &r.b}) {
        if (defect == Defect::stride) *d = (*d & ~stride_field) | ((*d & stride_field) << 1 & stride_field);
        if (defect == Defect::swizzle) *d = (*d & ~swizzle_field) | std::uint64_t{2} << 62;
        if (defect == Defect::address) *d += 2;
    }
    static_assert(sizeof r <= slot_bytes);
    const unsigned char* const slots = warp_slots(&r, sizeof r);
    if (lane_index() == 0) Units::of_block().add(slots);
}

void wait_products(int left) {
    if (defect == Defect::no_wait) return;
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

void barrier_begin(PhaseBarrier* barrier, int arrivals) { Units::of_block().begin(barrier, arrivals); }
void all_barriers_begun() {}

void barrier_arrive(PhaseBarrier* barrier) {
    Phases& b = Units::of_block().barrier(barrier);
    if (defect == Defect::no_release && b.expected > 1) return;
    if (--b.pending < 0) fault("more arrivals at a barrier than it was begun with");
    b.settle();
}
void barrier_expect(PhaseBarrier* barrier, int bytes) {
    if (defect == Defect::few_bytes) bytes /= 2;
    if (defect == Defect::many_bytes) bytes += 16;
    Units::of_block().barrier(barrier).bytes += bytes;
    barrier_arrive(barrier);
}
void barrier_wait(PhaseBarrier* barrier, int parity) {
    WB_EXPECT(parity == 0 || parity == 1);
    const Phases& b = Units::of_block().barrier(barrier);
    if (defect == Defect::no_room && b.expected > 1) return;
    const Wait wait{&b, defect == Defect::phase ? 1 - parity : parity};
    emulated::wait_until(over, &wait);
}

void copy_box(void* to, const TensorMap& map, int c0, int c1, int c2, int c3, PhaseBarrier* barrier) {
    emulated::Box from;
    std::memcpy(&from, &map, sizeof from);
    const std::array<std::int64_t, 4> first{c0, c1, c2, c3};
    const auto& [extent, stride, box] = from.shape;
    Copy copy{static_cast<unsigned char*>(to), {}, shared_address(barrier)};
    Units::of_block().barrier(barrier);
    std::array<std::int64_t, 4> i{};
    for (i[3] = 0; i[3] < box[3]; ++i[3])
        for (i[2] = 0; i[2] < box[2]; ++i[2])
            for (i[1] = 0; i[1] < box[1]; ++i[1])
                for (i[0] = 0; i[0] < box[0]; ++i[0]) {
                    bool inside = true;
                    std::int64_t at = (first[0] + i[0]) * 2;
                    for (std::size_t d = 0; d < 4; ++d) {
                        inside = inside && first[d] + i[d] >= 0 && first[d] + i[d] < extent[d];
                        if (d > 0) at += (first[d] + i[d]) * stride[d - 1];
                    }
                    for (int byte = 0; byte < 2; ++byte) copy.bytes.push_back(inside ? from.base[at + byte] : 0);
                }
    const std::uint32_t address = shared_address(to);
    if (address % 1024 != 0) fault("a swizzled box must begin on 1024 bytes");
    if (address + copy.bytes.size() > emulated::shared_bytes()) fault("a box reaches over the end of shared memory");
    Units::of_block().add(std::move(copy));
}

void products_fence() {
    if (lane_index() == 0 && defect != Defect::no_fence) Units::of_block().warp().fenced = true;
}
void products_end_group() {
    if (lane_index() != 0) return;
    WarpUnit& unit = Units::of_block().warp();
    unit.groups.push_back(std::move(unit.open));
    unit.open.clear();
    if (products_now()) Units::of_block().compute(unit, 0);
}

}  // namespace wb::cuda
