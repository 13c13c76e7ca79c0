#include "kernels/cuda/simt.hpp"

#include <ucontext.h>

#include <array>
#include <deque>
#include <exception>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

namespace wb::cuda {
namespace {

constexpr std::size_t stack_bytes = std::size_t{128} << 10;

/// What threads wait for: `arrived` of `all` are there. A new generation begins when the last one comes.
struct Barrier {
    int all = 0, arrived = 0;
    std::int64_t generation = 0;
};

struct Copy {
    void* to;
    unsigned char bytes[16];
};

struct Thread {
    ucontext_t context;
    bool done = false;
    const Barrier* waiting = nullptr;
    std::int64_t generation = 0;           // at which it began to wait
    std::deque<std::vector<Copy>> groups;  // of copies under way; the last is open
    bool (*until)(const void*) = nullptr;
    const void* what = nullptr;
    bool ready() const { return !done && (!waiting || waiting->generation != generation) && (!until || until(what)); }
};

struct Warp {
    Barrier barrier;
    alignas(16) unsigned char slots[2][warp_threads * emulated::slot_bytes];
};

struct Block {
    int threads = 0;
    std::int64_t x = 0, y = 0, z = 0;
    Grid grid;
    Barrier barrier;
    std::array<Barrier, 16> named;
    std::unique_ptr<emulated::Beside> beside;
    std::exception_ptr failure;
    std::vector<Thread> all;
    std::vector<Warp> warps;
    std::unique_ptr<unsigned char[]> stacks;
    std::vector<std::max_align_t> shared;
    unsigned char* shared_at = nullptr;
    std::size_t shared_bytes = 0;
    int now = 0, left = 0;  // left: threads that have not ended
    std::vector<int> turn;
    ucontext_t scheduler;
    const std::function<void()>* kernel = nullptr;
};

thread_local Block* block = nullptr;
thread_local emulated::Order order = emulated::Order::forward;
thread_local std::minstd_rand draw(1);
thread_local int most_together = 1;
thread_local emulated::Order block_order = emulated::Order::forward;

Thread& self() { return block->all[static_cast<std::size_t>(block->now)]; }

void wait_at(Barrier& b) {
    Thread& me = self();
    if (++b.arrived == b.all) {
        b.arrived = 0;
        ++b.generation;
        return;
    }
    me.waiting = &b;
    me.generation = b.generation;
    swapcontext(&me.context, &block->scheduler);
    me.waiting = nullptr;
}

void body() {
    try {
        (*block->kernel)();
    } catch (...) {
        block->failure = std::current_exception();
    }
    self().done = true;
}

void prepare_threads(Block& b) {
    for (int i = 0; i < b.threads; ++i) {
        Thread& t = b.all[static_cast<std::size_t>(i)];
        t.done = false;
        t.waiting = nullptr;
        t.until = nullptr;
        t.groups.assign(1, {});
        getcontext(&t.context);
        t.context.uc_stack.ss_sp = b.stacks.get() + static_cast<std::size_t>(i) * stack_bytes;
        t.context.uc_stack.ss_size = stack_bytes;
        t.context.uc_link = &b.scheduler;
        makecontext(&t.context, body, 0);
    }
    b.barrier = {b.threads, 0, 0};
    b.named.fill({});
    b.beside.reset();
    b.failure = nullptr;
    for (Warp& w : b.warps) w.barrier = {warp_threads, 0, 0};
    std::memset(b.shared.data(), 0xff, b.shared.size() * sizeof(std::max_align_t));
}

void begin_block(Block& b) {
    prepare_threads(b);
    b.left = b.threads;
    b.turn.resize(static_cast<std::size_t>(b.threads));
    std::iota(b.turn.begin(), b.turn.end(), 0);
    if (order == emulated::Order::backward) std::reverse(b.turn.begin(), b.turn.end());
}

/// Each thread that can go on does, until it waits; false if none can.
bool play_round(Block& b) {
    block = &b;
    bool moved = false;
    if (order == emulated::Order::drawn) std::shuffle(b.turn.begin(), b.turn.end(), draw);
    for (const int i : b.turn) {
        Thread& t = b.all[static_cast<std::size_t>(i)];
        if (!t.ready()) continue;
        moved = true;
        b.now = i;
        swapcontext(&b.scheduler, &t.context);
        if (b.failure) std::rethrow_exception(b.failure);
        if (t.done) --b.left;
    }
    if (b.left == 0 && b.beside) b.beside->end();
    return moved;
}

/// What goes on beside the threads of one of the blocks; false if nothing does.
bool advance(const std::vector<Block*>& playing) {
    return std::any_of(playing.begin(), playing.end(), [](Block* b) {
        block = b;
        return b->beside && b->beside->advance();
    });
}

/// Puts `b` at the place of block `index` of the launch.
void place_block(Block& b, std::int64_t index) {
    b.x = index % b.grid.x;
    b.y = index / b.grid.x % b.grid.y;
    b.z = index / b.grid.x / b.grid.y;
}

/// Makes room for a block of this launch.
void make_ready(Block& b, const Grid& grid, int threads, std::size_t shared_bytes,
                const std::function<void()>& kernel) {
    if (b.all.size() < static_cast<std::size_t>(threads)) {
        b.all = std::vector<Thread>(static_cast<std::size_t>(threads));
        b.stacks = std::make_unique_for_overwrite<unsigned char[]>(static_cast<std::size_t>(threads) * stack_bytes);
    }
    b.threads = threads;
    b.grid = grid;
    b.warps.resize(static_cast<std::size_t>(threads / warp_threads));
    b.shared.resize((shared_bytes + 1024) / sizeof(std::max_align_t) + 1);
    b.shared_at =
        reinterpret_cast<unsigned char*>((reinterpret_cast<std::uintptr_t>(b.shared.data()) + 1023) / 1024 * 1024);
    b.shared_bytes = shared_bytes;
    b.kernel = &kernel;
}

/// Plays blocks in this order, as many side by side as there are in `playing`.
void play_all(std::vector<Block*> playing, const std::vector<std::int64_t>& indices) {
    std::size_t next = 0;
    for (Block* b : playing) place_block(*b, indices[next++]), begin_block(*b);
    while (!playing.empty()) {
        bool moved = false;
        if (block_order == emulated::Order::drawn) std::shuffle(playing.begin(), playing.end(), draw);
        for (Block* b : playing) {
            moved = play_round(*b) || moved;
            if (b->left == 0 && next < indices.size()) place_block(*b, indices[next++]), begin_block(*b);
        }
        std::erase_if(playing, [](const Block* b) { return b->left == 0; });
        if (!moved && !advance(playing))
            contract_failed("every thread of a block reaches the barrier", __FILE__, __LINE__);
    }
}

}  // namespace

int thread_index() { return block->now; }
int block_threads() { return block->threads; }
int block_x() { return static_cast<int>(block->x); }
int block_y() { return static_cast<int>(block->y); }
int block_z() { return static_cast<int>(block->z); }
int blocks_x() { return static_cast<int>(block->grid.x); }
int blocks_y() { return static_cast<int>(block->grid.y); }
unsigned char* shared_memory() { return block->shared_at; }
void sync_block() { wait_at(block->barrier); }

namespace emulated {

void set_order(Order o) { order = o; }
void set_blocks(int together, Order o) {
    most_together = together;
    block_order = o;
}
bool drawn_now() { return order == Order::drawn && draw() % 2 == 0; }

void wait_until(bool (*ready)(const void*), const void* what) {
    Thread& me = self();
    while (!ready(what)) {
        me.until = ready;
        me.what = what;
        swapcontext(&me.context, &block->scheduler);
        me.until = nullptr;
    }
}

void meet(int number, int threads, bool waits) {
    WB_EXPECT(number > 0 && number < 16 && threads % warp_threads == 0 && threads <= block->threads);
    Barrier& b = block->named[static_cast<std::size_t>(number)];
    WB_EXPECT(b.arrived == 0 || b.all == threads);
    b.all = threads;
    if (waits) return wait_at(b);
    if (++b.arrived == b.all) {
        b.arrived = 0;
        ++b.generation;
    }
}

Beside& beside(std::unique_ptr<Beside> (*make)()) {
    if (!block->beside) block->beside = make();
    return *block->beside;
}
std::size_t shared_bytes() { return block->shared_bytes; }

void play(const Grid& grid, int threads, std::size_t shared_bytes, const std::function<void()>& kernel) {
    WB_EXPECT(threads > 0 && threads <= 1024 && threads % warp_threads == 0);
    WB_EXPECT(grid.x > 0 && grid.x < (std::int64_t{1} << 31) && grid.y > 0 && grid.y < 65536 && grid.z > 0 &&
              grid.z < 65536);
    static thread_local std::deque<Block> blocks;
    WB_EXPECT(block == nullptr);
    std::vector<std::int64_t> indices(static_cast<std::size_t>(grid.x * grid.y * grid.z));
    std::iota(indices.begin(), indices.end(), 0);
    if (block_order == Order::backward) std::reverse(indices.begin(), indices.end());
    if (block_order == Order::drawn) std::shuffle(indices.begin(), indices.end(), draw);
    const auto together = std::min(static_cast<std::size_t>(most_together), indices.size());
    while (blocks.size() < together) blocks.emplace_back();
    std::vector<Block*> playing;
    for (std::size_t i = 0; i < together; ++i) {
        make_ready(blocks[i], grid, threads, shared_bytes, kernel);
        playing.push_back(&blocks[i]);
    }
    try {
        play_all(playing, indices);
    } catch (...) {
        block = nullptr;
        for (Block* b : playing) b->beside.reset();
        throw;
    }
    block = nullptr;
}

const unsigned char* warp_slots(const void* mine, std::size_t bytes) {
    Warp& w = block->warps[static_cast<std::size_t>(block->now / warp_threads)];
    unsigned char* const slots = w.slots[w.barrier.generation & 1];
    if (bytes > 0) std::memcpy(slots + static_cast<std::size_t>(block->now % warp_threads) * slot_bytes, mine, bytes);
    wait_at(w.barrier);
    return slots;
}

void queue_copy(void* to, const void* from) {
    WB_EXPECT(reinterpret_cast<std::uintptr_t>(to) % 16 == 0 && reinterpret_cast<std::uintptr_t>(from) % 16 == 0);
    Copy c{to, {}};
    if (from) std::memcpy(c.bytes, from, sizeof c.bytes);
    self().groups.back().push_back(c);
}
void end_group() { self().groups.emplace_back(); }
void wait_groups(int left) {
    auto& groups = self().groups;
    while (groups.size() > static_cast<std::size_t>(left) + 1) {
        for (const Copy& c : groups.front()) std::memcpy(c.to, c.bytes, sizeof c.bytes);
        groups.pop_front();
    }
}

}  // namespace emulated

namespace {

std::uint32_t two_elements(const void* row, int first) {
    std::uint32_t out;
    std::memcpy(&out, static_cast<const std::uint16_t*>(row) + first, sizeof out);
    return out;
}
std::uint32_t one_element(const void* row, int at) { return static_cast<const std::uint16_t*>(row)[at]; }

const void* row_of(const unsigned char* slots, int thread) {
    const void* row;
    std::memcpy(&row, slots + static_cast<std::size_t>(thread) * emulated::slot_bytes, sizeof row);
    WB_EXPECT(reinterpret_cast<std::uintptr_t>(row) % 16 == 0);
    return row;
}

template <class T>
float low_of(std::uint32_t two) {
    return to_float(T{static_cast<std::uint16_t>(two & 0xffffU)});
}
template <class T>
float high_of(std::uint32_t two) {
    return to_float(T{static_cast<std::uint16_t>(two >> 16)});
}

}  // namespace

void load_matrices(std::uint32_t (&to)[4], const void* row) {
    const unsigned char* slots = emulated::warp_slots(&row, sizeof row);
    const int lane = block->now % warp_threads;
    for (int j = 0; j < 4; ++j) to[j] = two_elements(row_of(slots, 8 * j + lane / 4), 2 * (lane % 4));
}

void load_matrices_transposed(std::uint32_t (&to)[4], const void* row) {
    const unsigned char* slots = emulated::warp_slots(&row, sizeof row);
    const int lane = block->now % warp_threads, first = 2 * (lane % 4), column = lane / 4;
    for (int j = 0; j < 4; ++j)
        to[j] = one_element(row_of(slots, 8 * j + first), column) |
                one_element(row_of(slots, 8 * j + first + 1), column) << 16;
}

template <class T>
void multiply_add(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1) {
    struct Fragments {
        std::uint32_t a[4], b[2];
    } mine{{a[0], a[1], a[2], a[3]}, {b0, b1}};
    const unsigned char* slots = emulated::warp_slots(&mine, sizeof mine);
    const int lane = block->now % warp_threads, group = lane / 4, column = 2 * (lane % 4);
    const auto of = [&](int thread) {
        Fragments f;
        std::memcpy(&f, slots + static_cast<std::size_t>(thread) * emulated::slot_bytes, sizeof f);
        return f;
    };
    for (int i = 0; i < 4; ++i) {
        const int n = column + i % 2, upper = i / 2;  // of rows group and group + 8
        for (int t = 0; t < 4; ++t) {
            const Fragments row = of(4 * group + t), col = of(4 * n + t);  // a's row group, b's column n
            for (int half = 0; half < 2; ++half) {                         // k = 2 t, 2 t + 1, and 8 more
                const std::uint32_t x = row.a[2 * half + upper], y = col.b[half];
                c[i] += low_of<T>(x) * low_of<T>(y) + high_of<T>(x) * high_of<T>(y);
            }
        }
    }
}
template void multiply_add<bf16>(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);
template void multiply_add<f16>(float (&c)[4], const std::uint32_t (&a)[4], std::uint32_t b0, std::uint32_t b1);

}  // namespace wb::cuda
