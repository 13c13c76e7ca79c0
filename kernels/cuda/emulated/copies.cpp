#include <algorithm>
#include <array>
#include <cstring>

#include "kernels/cuda/emulated/units.hpp"

namespace wb::cuda {
namespace emulated {
namespace {

constexpr std::uint64_t begun_mark = 0x6d62617272696572;  // stands where a barrier is, so that writing over it shows

bool sums_now() { return pace_now() == Pace::copies_at_once || (pace_now() == Pace::drawn && drawn_now()); }

struct Wait {
    const Phases* barrier;
    int parity;
};
bool over(const void* what) {
    const Wait& wait = *static_cast<const Wait*>(what);
    return (wait.barrier->number & 1) != wait.parity;
}

}  // namespace

Phases& Units::barrier(const PhaseBarrier* at) {
    const std::uint32_t address = shared_address(at);
    if (address % 8 != 0 || address + 8 > shared_bytes()) fault("a barrier lies outside shared memory");
    const auto found = barriers_.find(address);
    if (found == barriers_.end()) fault("a barrier was used before it was begun");
    if (*at != begun_mark) fault("something was written over a barrier");
    return found->second;
}

void Units::begin(PhaseBarrier* at, int arrivals) {
    WB_EXPECT(arrivals > 0 && arrivals < (1 << 20));
    *at = begun_mark;
    barriers_[shared_address(at)] = {arrivals, arrivals, 0, 0};
}

void Units::add(Copy copy) {
    copies_.push_back(std::move(copy));
    if (pace_now() == Pace::copies_at_once || (pace_now() == Pace::drawn && drawn_now())) land();
}

void Units::land() {
    Copy c = std::move(copies_.front());
    copies_.pop_front();
    unsigned char* const memory = shared_memory();
    const auto first = static_cast<std::uint32_t>(c.to - memory);
    for (std::uint32_t i = 0; i < c.bytes.size(); ++i) {
        const std::uint32_t at = first + i;
        memory[c.swizzled ? at ^ ((at >> 7 & 7U) << 4) : at] = c.bytes[i];
    }
    Phases& b = barriers_.at(c.barrier);
    b.bytes -= static_cast<std::int64_t>(c.bytes.size());
    b.settle();
}

/// Late: one thing, when nothing else can go on.
bool Units::advance() {
    if (!copies_.empty()) return land(), true;
    for (auto& [thread, sums] : sums_) {
        if (sums.groups.empty()) continue;
        sums.all_read() ? sums.add() : sums.read();
        return true;
    }
    return false;
}

bool Sums::all_read() const {
    return std::none_of(groups.begin(), groups.end(), [](const Sum& s) { return s.values.empty(); });
}
void Sums::read() {
    for (Sum& s : groups) {
        if (!s.values.empty()) continue;
        Units::of_block().expect_published(static_cast<std::size_t>(s.from - shared_memory()), s.count * sizeof(float));
        s.values.resize(s.count);
        std::memcpy(s.values.data(), s.from, s.count * sizeof(float));
    }
}
void Sums::add() {
    read();
    for (const Sum& s : groups)
        for (std::size_t i = 0; i < s.count; ++i) s.to[i] += s.values[i];
    groups.clear();
}

void Units::write(unsigned char* at, const void* from, std::size_t bytes) {
    const auto first = static_cast<std::size_t>(at - shared_memory());
    if (at < shared_memory() || first + bytes > shared_bytes()) fault("a thread writes outside shared memory");
    std::memcpy(at, from, bytes);
    for (std::size_t word = first / 4; word < (first + bytes) / 4; ++word) {
        writers_[word] = thread_index();
        written_[thread_index()].push_back(word);
    }
}
void Units::publish() {
    std::vector<std::size_t>& mine = written_[thread_index()];
    for (const std::size_t word : mine)
        if (writers_[word] == thread_index()) writers_[word] = -1;
    mine.clear();
}
void Units::expect_published(std::size_t first, std::size_t bytes) const {
    for (std::size_t word = first / 4; word < (first + bytes) / 4; ++word)
        if (writers_[word] >= 0) fault("sums read what a thread wrote without units_fence()");
}

void put_bytes(void* at, const void* from, std::size_t bytes) {
    WB_EXPECT(reinterpret_cast<std::uintptr_t>(at) % bytes == 0 && bytes % 4 == 0);
    Units::of_block().write(static_cast<unsigned char*>(at), from, bytes);
}

}  // namespace emulated

using emulated::Defect;

void barrier_begin(PhaseBarrier* barrier, int arrivals) { emulated::Units::of_block().begin(barrier, arrivals); }
void all_barriers_begun() {}

void barrier_arrive(PhaseBarrier* barrier) {
    emulated::Phases& b = emulated::Units::of_block().barrier(barrier);
    if (emulated::planted(Defect::no_release) && b.expected > 1) return;
    if (--b.pending < 0) emulated::fault("more arrivals at a barrier than it was begun with");
    b.settle();
}
void barrier_expect(PhaseBarrier* barrier, int bytes) {
    if (emulated::planted(Defect::few_bytes)) bytes /= 2;
    if (emulated::planted(Defect::many_bytes)) bytes += 16;
    emulated::Units::of_block().barrier(barrier).bytes += bytes;
    barrier_arrive(barrier);
}
void barrier_wait(PhaseBarrier* barrier, int parity) {
    WB_EXPECT(parity == 0 || parity == 1);
    const emulated::Phases& b = emulated::Units::of_block().barrier(barrier);
    if (emulated::planted(Defect::no_room) && b.expected > 1) return;
    const emulated::Wait wait{&b, emulated::planted(Defect::phase) ? 1 - parity : parity};
    emulated::wait_until(emulated::over, &wait);
}

void copy_box(void* to, const TensorMap& map, int c0, int c1, int c2, int c3, PhaseBarrier* barrier) {
    emulated::Box from;
    std::memcpy(&from, &map, sizeof from);
    const std::array<std::int64_t, 4> first{c0, c1, c2, c3};
    const auto& [extent, stride, box] = from.shape;
    emulated::Copy copy{static_cast<unsigned char*>(to), {}, shared_address(barrier), true};
    emulated::Units::of_block().barrier(barrier);
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
    if (address % 1024 != 0) emulated::fault("a swizzled box must begin on 1024 bytes");
    if (address + copy.bytes.size() > emulated::shared_bytes())
        emulated::fault("a box reaches over the end of shared memory");
    emulated::Units::of_block().add(std::move(copy));
}

void copy_bytes(void* to, const void* from, int bytes, PhaseBarrier* barrier) {
    const std::uint32_t address = shared_address(to);
    if (address % 16 != 0 || reinterpret_cast<std::uintptr_t>(from) % 16 != 0 || bytes % 16 != 0)
        emulated::fault("a bulk copy lies on boundaries of 16 bytes");
    if (address + static_cast<std::size_t>(bytes) > emulated::shared_bytes())
        emulated::fault("a bulk copy reaches over the end of shared memory");
    emulated::Units::of_block().barrier(barrier);
    const auto* const first = static_cast<const unsigned char*>(from);
    emulated::Units::of_block().add(
        {static_cast<unsigned char*>(to), {first, first + bytes}, shared_address(barrier), false});
}

void add_floats(float* to, const void* from, int bytes) {
    if (shared_address(from) % 16 != 0 || reinterpret_cast<std::uintptr_t>(to) % 16 != 0 || bytes % 16 != 0)
        emulated::fault("bulk sums lie on boundaries of 16 bytes");
    emulated::Units::of_block().sums().open.push_back(
        {to, static_cast<const unsigned char*>(from), static_cast<std::size_t>(bytes) / sizeof(float)});
}
void sums_end_group() {
    emulated::Sums& sums = emulated::Units::of_block().sums();
    sums.groups.insert(sums.groups.end(), sums.open.begin(), sums.open.end());
    sums.open.clear();
    if (emulated::sums_now()) sums.add();
}
void sums_wait_read() {
    const emulated::Sums& sums = emulated::Units::of_block().sums();
    if (emulated::planted(Defect::no_read)) return;
    emulated::wait_until([](const void* what) { return static_cast<const emulated::Sums*>(what)->all_read(); }, &sums);
}
void sums_wait() {
    const emulated::Sums& sums = emulated::Units::of_block().sums();
    if (emulated::planted(Defect::no_landing)) return;
    emulated::wait_until([](const void* what) { return static_cast<const emulated::Sums*>(what)->groups.empty(); },
                         &sums);
}
void units_fence() {
    if (!emulated::planted(Defect::no_publish)) emulated::Units::of_block().publish();
}

namespace {

struct Turn {
    const int* at;
    int wanted;
};
bool come(const void* what) {
    const Turn& turn = *static_cast<const Turn*>(what);
    return *turn.at == turn.wanted;
}

}  // namespace

void take_turn(const int* at, int turn) {
    const Turn wanted{at, turn};
    if (!emulated::planted(Defect::no_turn)) emulated::wait_until(come, &wanted);
}
void pass_turn(int* at, int turn) {
    if (emulated::planted(Defect::no_pass)) return;
    if (!emulated::Units::of_block().sums().groups.empty())
        emulated::fault("a turn was passed on while its sums were under way");
    if (*at != turn) emulated::fault("a turn was passed on before it had come");
    *at = turn + 1;
}

}  // namespace wb::cuda
