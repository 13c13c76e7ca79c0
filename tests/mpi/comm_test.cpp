// Run under mpirun with 1 to 4 ranks. Every rank runs the same cases in the same order; only CHECK is used, since a
// rank that left a case early would leave the others waiting.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>

#include "core/counted_comm.hpp"
#include "core/element.hpp"
#include "core/error.hpp"
#include "harness/element_sum.hpp"
#include "harness/mpi_comm.hpp"

namespace {

using namespace wb;

Comm* comm = nullptr;
std::int64_t long_count = 300000;  // elements of a message that is no small one

const std::vector<DType> types{DType::f64,  DType::f32,      DType::tf32,     DType::bf16, DType::f16,
                               DType::int8, DType::fp8_e4m3, DType::fp8_e5m2, DType::fp4,  DType::int32};
const std::vector<std::int64_t> counts{0, 1, 2, 7, 64, 1001};

/// Small integers, whose sums over four ranks every type but fp4 holds exactly; fp4 is exact up to 4.
double value(int rank, std::int64_t i, DType type) {
    if (type == DType::fp4) return i % 3 == rank % 3 ? 1 : 0;
    return static_cast<double>((i * 5 + rank * 3) % 5) - 2;
}

struct Buffer {
    Buffer(std::int64_t count, DType of) : type(of), bytes(static_cast<std::size_t>(count * stored_bytes(of)) + 8) {}
    void set(std::int64_t i, double v) { encode(v, type, bytes.data() + i * stored_bytes(type)); }
    double operator[](std::int64_t i) const { return decode(type, bytes.data() + i * stored_bytes(type)); }
    void* data() { return bytes.data(); }
    DType type;
    std::vector<std::byte> bytes;
};

Buffer filled(int rank, std::int64_t count, DType type) {
    Buffer out(count, type);
    for (std::int64_t i = 0; i < count; ++i) out.set(i, value(rank, i, type));
    return out;
}

double total(std::int64_t i, DType type) {
    double sum = 0;
    for (int r = 0; r < comm->size(); ++r) sum += value(r, i, type);
    return sum;
}

/// Calls body(type, count, in_place) for all of them; compares with `expected(i)` for `results` elements.
template <class Run, class Expected>
void for_all(std::int64_t per_rank_in, std::int64_t per_rank_out, const Run& run, const Expected& expected) {
    for (const DType type : types)
        for (const std::int64_t n : counts)
            for (const bool in_place : {false, true}) {
                const std::int64_t n_in = n * per_rank_in, n_out = n * per_rank_out;
                Buffer in = filled(comm->rank(), std::max(n_in, n_out), type);
                Buffer out(std::max(n_in, n_out), type);
                run(in.data(), in_place ? in.data() : out.data(), n, type);
                const Buffer& result = in_place ? in : out;
                std::int64_t wrong = 0;
                for (std::int64_t i = 0; i < n_out; ++i) wrong += result[i] != expected(i, n, type);
                CHECK_MESSAGE(wrong == 0, name(type), " x ", n, in_place ? " in place" : "");
            }
}

}  // namespace

TEST_CASE("rank, size and library describe the job") {
    CHECK(comm->rank() >= 0);
    CHECK(comm->rank() < comm->size());
    CHECK(comm->library().size() > 3);
    CHECK(comm->library().find_first_of(",\n\t") == std::string::npos);
    CHECK(ranks_on_node() == comm->size());
}

TEST_CASE("allreduce adds every rank's elements") {
    for_all(
        1, 1, [](void* in, void* out, std::int64_t n, DType t) { comm->allreduce(in, out, n, t); },
        [](std::int64_t i, std::int64_t, DType t) { return total(i, t); });
}

TEST_CASE("allgather joins the ranks' blocks in order") {
    for_all(
        1, comm->size(), [](void* in, void* out, std::int64_t n, DType t) { comm->allgather(in, out, n, t); },
        [](std::int64_t i, std::int64_t n, DType t) { return value(static_cast<int>(i / n), i % n, t); });
}

TEST_CASE("reduce_scatter leaves each rank the sum of its block") {
    for_all(
        comm->size(), 1, [](void* in, void* out, std::int64_t n, DType t) { comm->reduce_scatter(in, out, n, t); },
        [](std::int64_t i, std::int64_t n, DType t) { return total(comm->rank() * n + i, t); });
}

TEST_CASE("alltoall transposes blocks between ranks") {
    for_all(
        comm->size(), comm->size(), [](void* in, void* out, std::int64_t n, DType t) { comm->alltoall(in, out, n, t); },
        [](std::int64_t i, std::int64_t n, DType t) {
            return value(static_cast<int>(i / n), comm->rank() * n + i % n, t);
        });
}

TEST_CASE("broadcast copies the root's elements") {
    for (int root = 0; root < comm->size(); ++root)
        for_all(
            1, 1,
            [root](void* in, void* out, std::int64_t n, DType t) {
                std::memmove(out, in, static_cast<std::size_t>(n * stored_bytes(t)));
                comm->broadcast(out, n, t, root);
            },
            [root](std::int64_t i, std::int64_t, DType t) { return value(root, i, t); });
}

TEST_CASE("shift receives the elements of the rank before") {
    for_all(
        1, 1, [](void* in, void* out, std::int64_t n, DType t) { comm->shift(in, out, n, t); },
        [](std::int64_t i, std::int64_t, DType t) {
            return value((comm->rank() + comm->size() - 1) % comm->size(), i, t);
        });
}

TEST_CASE("reduce leaves the sum on its root alone") {
    for (int root = 0; root < comm->size(); ++root)
        for (const std::int64_t n : counts) {
            const Buffer in = filled(comm->rank(), n, DType::f32);
            Buffer out(n, DType::f32);
            for (std::int64_t i = 0; i < n; ++i) out.set(i, -99);
            comm->reduce(in.bytes.data(), out.data(), n, DType::f32, root);
            std::int64_t wrong = 0;
            for (std::int64_t i = 0; i < n; ++i) wrong += out[i] != (comm->rank() == root ? total(i, DType::f32) : -99);
            CHECK(wrong == 0);
        }
}

TEST_CASE("a split makes groups of their own, ordered by key") {
    const int colour = comm->rank() % 2, others = (comm->size() + 1 - colour) / 2;
    const auto group = comm->split(colour, -comm->rank());
    CHECK(group->size() == others);
    CHECK(group->rank() == others - 1 - comm->rank() / 2);
    const float mine = static_cast<float>(comm->rank());
    float sum = 0, expected = 0;
    group->allreduce(&mine, &sum, 1, DType::f32);
    for (int r = colour; r < comm->size(); r += 2) expected += static_cast<float>(r);
    CHECK(sum == expected);
    CHECK(group->max(comm->rank()) == colour + 2 * (others - 1));
}

TEST_CASE("messages between two ranks arrive in order, while their rank computes") {
    if (comm->size() == 1) return;
    const int to = (comm->rank() + 1) % comm->size(), from = (comm->rank() + comm->size() - 1) % comm->size();
    for (const std::int64_t n : {std::int64_t{0}, std::int64_t{1}, long_count}) {
        const Buffer first = filled(comm->rank(), n, DType::f64), second = filled(comm->rank() + 1, n, DType::f64);
        Buffer a(n, DType::f64), b(n, DType::f64);
        const auto take_a = comm->start_receive(a.data(), n, DType::f64, from);
        const auto take_b = comm->start_receive(b.data(), n, DType::f64, from);
        const auto give_a = comm->start_send(first.bytes.data(), n, DType::f64, to);
        const auto give_b = comm->start_send(second.bytes.data(), n, DType::f64, to);
        while (!take_a->test()) {
        }
        for (Pending* p : {take_b.get(), give_a.get(), give_b.get()}) p->wait();
        CHECK(take_a->test());
        std::int64_t wrong = 0;
        for (std::int64_t i = 0; i < n; ++i)
            wrong += a[i] != value(from, i, DType::f64) || b[i] != value(from + 1, i, DType::f64);
        CHECK(wrong == 0);
    }
}

TEST_CASE("broadcasts and barriers that were started end, in any order they are waited for") {
    for (const std::int64_t n : {std::int64_t{0}, std::int64_t{1}, long_count}) {
        std::vector<Buffer> buffers;
        for (int root = 0; root < comm->size(); ++root)
            buffers.push_back(filled(comm->rank() == root ? root : root + 1, n, DType::f32));
        std::vector<std::unique_ptr<Pending>> pending;
        for (int root = 0; root < comm->size(); ++root)
            pending.push_back(
                comm->start_broadcast(buffers[static_cast<std::size_t>(root)].data(), n, DType::f32, root));
        const auto barrier = comm->start_barrier();
        for (auto p = pending.rbegin(); p != pending.rend(); ++p) (*p)->wait();
        barrier->wait();
        std::int64_t wrong = 0;
        for (int root = 0; root < comm->size(); ++root)
            for (std::int64_t i = 0; i < n; ++i)
                wrong += buffers[static_cast<std::size_t>(root)][i] != value(root, i, DType::f32);
        CHECK(wrong == 0);
    }
}

TEST_CASE("a sum that was started adds every rank's elements") {
    for_all(
        1, 1,
        [](void* in, void* out, std::int64_t n, DType t) {
            const auto sum = comm->start_allreduce(in, out, n, t);
            while (!sum->test()) {
            }
        },
        [](std::int64_t i, std::int64_t, DType t) { return total(i, t); });
}

TEST_CASE("sums under way at once do not mix, and their bits do not depend on how a buffer is cut") {
    for (const DType type : {DType::f32, DType::bf16})
        for (const std::int64_t n : {std::int64_t{5}, long_count}) {
            Buffer in(n, type), whole(n, type), cut(n, type), blocking(n, type);
            for (std::int64_t i = 0; i < n; ++i) in.set(i, std::sin(static_cast<double>(i * 3 + comm->rank() * 7 + 1)));
            const std::int64_t size = stored_bytes(type);
            comm->start_allreduce(in.data(), whole.data(), n, type)->wait();
            comm->allreduce(in.data(), blocking.data(), n, type);
            std::vector<std::unique_ptr<Pending>> pending;
            for (std::int64_t at = 0, part = 3; at < n; at += part, part = part * 5 / 2 + 1)
                pending.push_back(comm->start_allreduce(in.bytes.data() + at * size, cut.bytes.data() + at * size,
                                                        std::min(part, n - at), type));
            for (const auto& p : pending) p->wait();
            const auto bytes = static_cast<std::size_t>(n * size);
            CHECK(std::memcmp(whole.data(), cut.data(), bytes) == 0);
            if (comm->size() == 2) CHECK(std::memcmp(whole.data(), blocking.data(), bytes) == 0);
            double worst = 0;
            for (std::int64_t i = 0; i < n; ++i) worst = std::max(worst, std::abs(whole[i] - blocking[i]));
            CHECK(worst < (type == DType::f32 ? 1e-6 : 5e-2));
        }
}

TEST_CASE("the ledger holds every call, with what of its time was exposed") {
    CommLedger ledger;
    const auto ranks = counted(*comm, ledger);
    std::vector<float> x(1000, 1.0F), y(1000);
    ranks->allreduce(x.data(), y.data(), 1000, DType::f32);
    ranks->allreduce(x.data(), y.data(), 500, DType::f32);
    const auto group = ranks->split(0, ranks->rank());
    auto pending = group->start_broadcast(y.data(), 250, DType::f32, 0);
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(20);
    while (std::chrono::steady_clock::now() < until) {
    }
    pending->wait();
    pending.reset();
    ranks->max(1);
    REQUIRE(ledger.uses().size() == 2);
    const CommUse &sum = ledger.uses()[0], &told = ledger.uses()[1];
    CHECK((sum.operation == "allreduce" && sum.calls == 2 && sum.bytes.si() == 6000));
    CHECK(sum.exposed.si() == sum.time.si());
    CHECK((told.operation == "broadcast" && told.calls == 1 && told.bytes.si() == 1000));
    CHECK(told.time.si() >= 0.020);
    CHECK(told.exposed.si() <= told.time.si() - 0.019);  // all but what the calls themselves took
    CHECK(ledger.time().si() == doctest::Approx(sum.time.si() + told.time.si()).epsilon(1e-12).scale(0));
    ledger.clear();
    CHECK(ledger.uses().empty());
}

TEST_CASE("max is the largest of all ranks, and a NaN of any rank is seen by all") {
    CHECK(comm->max(-1.0 - comm->rank()) == -1.0);
    CHECK(comm->max(comm->rank()) == comm->size() - 1);
    const double inf = std::numeric_limits<double>::infinity();
    CHECK(comm->max(comm->rank() == 0 ? inf : 0) == inf);
    CHECK(comm->max(-inf) == -inf);
    const bool last = comm->rank() == comm->size() - 1;
    CHECK(std::isnan(comm->max(last ? std::numeric_limits<double>::quiet_NaN() : inf)));
}

TEST_CASE("gather keeps each rank's own length") {
    const std::vector<double> mine(static_cast<std::size_t>(comm->rank() * 40), comm->rank() + 0.5);
    const auto lists = comm->gather(mine);
    const auto texts = comm->gather(std::string(static_cast<std::size_t>(comm->rank()), 'x') + "\0y");
    if (comm->rank() != 0) {
        CHECK(lists.empty());
        CHECK(texts.empty());
        return;
    }
    CHECK(lists.size() == static_cast<std::size_t>(comm->size()));
    CHECK(texts.size() == static_cast<std::size_t>(comm->size()));
    for (std::size_t r = 0; r < lists.size(); ++r) {
        CHECK(lists[r] == std::vector<double>(r * 40, static_cast<double>(r) + 0.5));
        CHECK(texts[r] == std::string(r, 'x') + "\0y");
    }
}

TEST_CASE("deliver hands each rank its own bytes") {
    const auto text = [](int from, int to) {
        return std::string(static_cast<std::size_t>(from * 10 + to * 3), 'a') + '\0';
    };
    std::vector<std::string> mine;
    for (int r = 0; r < comm->size(); ++r) mine.push_back(r == 1 ? "" : text(comm->rank(), r));
    const auto got = comm->deliver(mine);
    CHECK(got.size() == static_cast<std::size_t>(comm->size()));
    for (std::size_t r = 0; r < got.size(); ++r)
        CHECK(got[r] == (comm->rank() == 1 ? "" : text(static_cast<int>(r), comm->rank())));
}

TEST_CASE("share gives all ranks the text of rank 0") {
    for (const std::string& text : {std::string(), std::string("plan"), std::string(5000, '\1')})
        CHECK(comm->share(comm->rank() == 0 ? text : "other") == text);
}

TEST_CASE("a failure on one rank is known to all, and work goes on") {
    for (int failing = 0; failing <= comm->size(); ++failing) {
        bool mine = true;
        try {
            if (comm->rank() == failing) throw std::runtime_error("on purpose");
        } catch (const std::runtime_error&) {
            mine = false;
        }
        CHECK(comm->all(mine) == (failing == comm->size()));
        comm->barrier();
    }
}

TEST_CASE("a class of types has no bytes to send") {
    float x = 0;
    CHECK_THROWS_AS(comm->allreduce(&x, &x, comm->size() > 1 ? 1 : -1, DType::any16), ContractError);
}

TEST_CASE("fast 16-bit sums agree with encode and decode for every value") {
    for (const DType type : {DType::bf16, DType::f16}) {
        std::vector<std::uint16_t> all(1 << 16), sum;
        for (std::size_t i = 0; i < all.size(); ++i) all[i] = static_cast<std::uint16_t>(i);
        for (const double addend : {0.0, 1.0, -1.0, 3e-8, 1e-3, 60000.0, 3e38}) {
            std::uint16_t other = 0;
            encode(addend, type, &other);
            const std::vector<std::uint16_t> in(all.size(), other);
            sum = all;
            const auto count = static_cast<std::int64_t>(sum.size());
            if (type == DType::bf16) add_elements<DType::bf16>(in.data(), sum.data(), count);
            if (type == DType::f16) add_elements<DType::f16>(in.data(), sum.data(), count);
            std::int64_t wrong = 0;
            for (std::size_t i = 0; i < sum.size(); ++i) {
                const auto a = static_cast<float>(decode(type, &all[i])), b = static_cast<float>(decode(type, &other));
                std::uint16_t expected = 0;
                encode(a + b, type, &expected);
                const bool both_nan = std::isnan(decode(type, &expected)) && std::isnan(decode(type, &sum[i]));
                wrong += !both_nan && expected != sum[i];
            }
            CHECK_MESSAGE(wrong == 0, name(type), " + ", addend);
        }
    }
}

int main(int argc, char** argv) {
    // "comm_test LARGEST": at most so many elements in one MPI call, to test the division of long buffers.
    const std::int64_t largest = argc > 1 ? std::stoll(argv[1]) : std::int64_t{1} << 30;
    const auto ranks = world(argc, argv, largest);
    comm = ranks.get();
    if (largest < 1000) long_count = 1001;
    doctest::Context context;
    context.setOption("no-intro", true);
    const int failed = context.run();
    return ranks->all(failed == 0) ? 0 : 1;
}
