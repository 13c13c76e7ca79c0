#include "harness/mpi_comm.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cstdlib>
#include <optional>
#include <string_view>

#include "core/error.hpp"

#ifdef WB_HAVE_MPI
#include <mpi.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <exception>
#include <limits>
#include <thread>

#include "core/element.hpp"
#include "harness/element_sum.hpp"
#endif

namespace wb {
namespace {

std::optional<int> number_in_environment(const char* variable) {
    const char* text = std::getenv(variable);
    if (text == nullptr) return {};
    const std::string_view view(text);
    int value = 0;
    const auto [end, error] = std::from_chars(view.data(), view.data() + view.size(), value);
    if (error != std::errc() || end != view.data() + view.size()) return {};
    return value;
}

/// What the launcher says of the job. `pmi`: the process can find its peers through a process manager.
struct Launch {
    bool pmi = false;
    std::optional<int> ranks;
};

Launch launch() {
    Launch found;
    for (const char* size : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE"})
        if (!found.ranks) found.ranks = number_in_environment(size);
    found.pmi = found.ranks.has_value();
    for (const char* rank : {"PMIX_RANK", "PMI_RANK", "PALS_RANKID"}) found.pmi |= std::getenv(rank) != nullptr;
    // A step has this count; the batch script itself, which is one process, has not.
    if (!found.ranks) found.ranks = number_in_environment("SLURM_STEP_NUM_TASKS");
    return found;
}

#ifdef WB_HAVE_MPI

void check(int code, std::string_view call) {
    if (code == MPI_SUCCESS) return;
    std::array<char, MPI_MAX_ERROR_STRING> text{};
    int length = 0;
    MPI_Error_string(code, text.data(), &length);
    throw Error({.place = std::string(call),
                 .problem = "MPI reports \"" + std::string(text.data(), static_cast<std::size_t>(length)) + "\"",
                 .why = "the ranks can no longer work together",
                 .hint = ""},
                Exit::failed);
}

/// An MPI_User_function. The 16-bit types and the rarer ones are added by us, since MPI does not know them.
template <DType type>
void own_sum(void* in, void* inout, int* count, MPI_Datatype*) {
    add_elements<type>(in, inout, *count);
}

/// How elements of one DType travel and are added.
struct Wire {
    MPI_Datatype type;
    MPI_Op sum;
    bool own = false;
};

Wire wire_of(DType type) {
    const auto own = [](MPI_Datatype wire, MPI_User_function* function) {
        Wire out{wire, MPI_OP_NULL, true};
        check(MPI_Op_create(function, 1, &out.sum), "MPI_Op_create");
        return out;
    };
    switch (type) {
        case DType::f64: return {MPI_DOUBLE, MPI_SUM};
        case DType::f32: return {MPI_FLOAT, MPI_SUM};
        case DType::int32: return {MPI_INT32_T, MPI_SUM};
        case DType::int8: return {MPI_INT8_T, MPI_SUM};
        case DType::bf16: return own(MPI_UINT16_T, own_sum<DType::bf16>);
        case DType::f16: return own(MPI_UINT16_T, own_sum<DType::f16>);
        case DType::tf32: return own(MPI_FLOAT, own_sum<DType::tf32>);
        case DType::fp8_e4m3: return own(MPI_UINT8_T, own_sum<DType::fp8_e4m3>);
        case DType::fp8_e5m2: return own(MPI_UINT8_T, own_sum<DType::fp8_e5m2>);
        case DType::fp4: return own(MPI_UINT8_T, own_sum<DType::fp4>);
        case DType::any16:
        case DType::any8: break;
    }
    return {MPI_DATATYPE_NULL, MPI_OP_NULL};
}

/// "Open MPI v4.1.4, package: ..." and "MPICH Version:\t4.0.2\n..." become "Open MPI 4.1.4" and "MPICH 4.0.2".
std::string short_name(std::string_view text) {
    std::string out(text.substr(0, text.find_first_of(",\n")));
    if (const auto at = out.find(" Version:"); at != std::string::npos) {
        const auto number = out.find_first_not_of(" \t", at + 9);
        out.replace(at, (number == std::string::npos ? out.size() : number) - at, " ");
    }
    if (const auto at = out.find(" v"); at != std::string::npos) out.erase(at + 1, 1);
    return out;
}

class MpiComm final : public Comm {
public:
    MpiComm(int& argc, char**& argv, std::int64_t largest_count) : largest_(largest_count) {
        WB_EXPECT(largest_count > 0 && largest_count <= std::int64_t{1} << 30);
        int provided = 0;
        check(MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
        MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
        MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
        check(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
        check(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
        for (std::size_t i = 0; i < wires_.size(); ++i) wires_[i] = wire_of(static_cast<DType>(i));
        WB_EXPECT(provided >= MPI_THREAD_FUNNELED);
    }
    MpiComm(const MpiComm&) = delete;
    MpiComm& operator=(const MpiComm&) = delete;
    ~MpiComm() override {
        if (comm_ != MPI_COMM_WORLD) {
            MPI_Comm_free(&comm_);
            return;
        }
        if (!all_leave()) {
            fmt::print(stderr, "MPI: rank {} stops alone, by an error the other ranks do not share; ending the job.\n",
                       rank_);
            end_job(static_cast<int>(Exit::failed));
        }
        for (Wire& wire : wires_)
            if (wire.own) MPI_Op_free(&wire.sum);
        MPI_Finalize();
    }

    int rank() const override { return rank_; }
    int size() const override { return size_; }
    std::string library() const override {
        std::array<char, MPI_MAX_LIBRARY_VERSION_STRING> text{};
        int length = 0;
        MPI_Get_library_version(text.data(), &length);
        return short_name({text.data(), static_cast<std::size_t>(length)});
    }

    void barrier() override { check(MPI_Barrier(comm_), "MPI_Barrier"); }

    void allreduce(const void* in, void* out, std::int64_t count, DType type) override {
        const Wire& how = wire(type);
        in_parts(count, [&](std::int64_t start, int part) {
            const void* from = in == out ? MPI_IN_PLACE : at(in, start, type);
            check(MPI_Allreduce(from, at(out, start, type), part, how.type, how.sum, comm_), "MPI_Allreduce");
        });
    }

    void allgather(const void* in, void* out, std::int64_t count_each, DType type) override {
        void* mine = at(out, rank_ * count_each, type);
        if (in == out) copy(in, mine, count_each, type);
        if (count_each > largest_) {
            if (in != out) copy(in, mine, count_each, type);
            for (int r = 0; r < size_; ++r) broadcast(at(out, r * count_each, type), count_each, type, r);
        } else if (count_each > 0) {
            const int n = static_cast<int>(count_each);
            const void* from = in == out || in == mine ? MPI_IN_PLACE : in;
            const Wire& how = wire(type);
            check(MPI_Allgather(from, n, how.type, out, n, how.type, comm_), "MPI_Allgather");
        }
    }

    void reduce_scatter(const void* in, void* out, std::int64_t count_each, DType type) override {
        if (count_each == 0) return;
        if (count_each * size_ > largest_) return reduce_each(in, out, count_each, type);
        const Wire& how = wire(type);
        check(MPI_Reduce_scatter_block(in == out ? MPI_IN_PLACE : in, out, static_cast<int>(count_each), how.type,
                                       how.sum, comm_),
              "MPI_Reduce_scatter_block");
    }

    void alltoall(const void* in, void* out, std::int64_t count_each, DType type) override {
        std::vector<std::byte> aside;  // Open MPI's own in-place algorithm is slower than this copy
        if (in == out) {
            const auto* bytes = static_cast<const std::byte*>(in);
            aside.assign(bytes, bytes + size_ * count_each * stored_bytes(type));
            in = aside.data();
        }
        const Wire& how = wire(type);
        if (count_each > largest_) {
            for (int step = 0; step < size_; ++step) {
                const int to = (rank_ + step) % size_, from = (rank_ + size_ - step) % size_;
                exchange(at(in, to * count_each, type), to, at(out, from * count_each, type), from, count_each, type);
            }
        } else if (count_each > 0) {
            const int n = static_cast<int>(count_each);
            check(MPI_Alltoall(in, n, how.type, out, n, how.type, comm_), "MPI_Alltoall");
        }
    }

    void broadcast(void* buffer, std::int64_t count, DType type, int root) override {
        WB_EXPECT(root >= 0 && root < size_);
        const Wire& how = wire(type);
        in_parts(count, [&](std::int64_t start, int part) {
            check(MPI_Bcast(at(buffer, start, type), part, how.type, root, comm_), "MPI_Bcast");
        });
    }

    void shift(const void* in, void* out, std::int64_t count, DType type) override {
        exchange(in, (rank_ + 1) % size_, out, (rank_ + size_ - 1) % size_, count, type);
    }

    double max(double value) override {
        // MPI_MAX leaves open what becomes of a NaN; here one rank's NaN is everybody's.
        const bool nan = value != value;
        std::array<double, 2> both{nan ? 1.0 : 0.0, nan ? 0.0 : value};
        check(MPI_Allreduce(MPI_IN_PLACE, both.data(), 2, MPI_DOUBLE, MPI_MAX, comm_), "MPI_Allreduce");
        return both[0] > 0 ? std::numeric_limits<double>::quiet_NaN() : both[1];
    }

    std::vector<std::vector<double>> gather(std::span<const double> mine) override {
        return gather_lists<std::vector<double>>(mine, MPI_DOUBLE);
    }
    std::vector<std::string> gather(const std::string& mine) override {
        return gather_lists<std::string>(std::span<const char>(mine), MPI_CHAR);
    }
    std::vector<std::string> deliver(const std::vector<std::string>& to_each) override {
        WB_EXPECT(to_each.size() == static_cast<std::size_t>(size_));
        std::vector<std::int64_t> give, take(to_each.size());
        for (const std::string& text : to_each) give.push_back(static_cast<std::int64_t>(text.size()));
        check(MPI_Alltoall(give.data(), 1, MPI_INT64_T, take.data(), 1, MPI_INT64_T, comm_), "MPI_Alltoall");
        std::vector<std::string> got;
        for (const std::int64_t length : take) got.emplace_back(static_cast<std::size_t>(length), '\0');
        got[static_cast<std::size_t>(rank_)] = to_each[static_cast<std::size_t>(rank_)];
        std::vector<MPI_Request> requests;
        const auto each = [&](std::int64_t length, int other, const auto& start) {
            if (other == rank_) return;
            in_parts(length, [&](std::int64_t at, int part) { start(at, part, &requests.emplace_back()); });
        };
        for (int r = 0; r < size_; ++r) {
            const auto i = static_cast<std::size_t>(r);
            each(take[i], r, [&](std::int64_t at, int part, MPI_Request* q) {
                check(MPI_Irecv(got[i].data() + at, part, MPI_CHAR, r, 2, comm_, q), "MPI_Irecv");
            });
            each(give[i], r, [&](std::int64_t at, int part, MPI_Request* q) {
                check(MPI_Isend(to_each[i].data() + at, part, MPI_CHAR, r, 2, comm_, q), "MPI_Isend");
            });
        }
        check(MPI_Waitall(static_cast<int>(requests.size()), requests.data(), MPI_STATUSES_IGNORE), "MPI_Waitall");
        return got;
    }
    std::string share(const std::string& mine) override {
        auto length = static_cast<std::int64_t>(mine.size());
        check(MPI_Bcast(&length, 1, MPI_INT64_T, 0, comm_), "MPI_Bcast");
        std::string text = rank_ == 0 ? mine : std::string(static_cast<std::size_t>(length), '\0');
        broadcast(text.data(), length, DType::int8, 0);
        return text;
    }

    std::unique_ptr<Comm> split(int colour) override { return std::unique_ptr<Comm>(new MpiComm(*this, colour)); }

    [[noreturn]] void end_job(int code) override {
        MPI_Abort(MPI_COMM_WORLD, code);
        std::_Exit(code);
    }

private:
    /// A part of the ranks.
    MpiComm(const MpiComm& of, int colour) : largest_(of.largest_), wires_(of.wires_) {
        check(MPI_Comm_split(of.comm_, colour, of.rank_, &comm_), "MPI_Comm_split");
        MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN);
        check(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank");
        check(MPI_Comm_size(comm_, &size_), "MPI_Comm_size");
        for (Wire& wire : wires_) wire.own = false;  // freed by the whole
    }

    template <class Part>
    void in_parts(std::int64_t count, const Part& part) const {
        for (std::int64_t start = 0; start < count; start += largest_)
            part(start, static_cast<int>(std::min(largest_, count - start)));
    }
    static const void* at(const void* buffer, std::int64_t element, DType type) {
        return static_cast<const std::byte*>(buffer) + element * stored_bytes(type);
    }
    static void* at(void* buffer, std::int64_t element, DType type) {
        return static_cast<std::byte*>(buffer) + element * stored_bytes(type);
    }
    static void copy(const void* in, void* out, std::int64_t count, DType type) {
        if (in != out && count > 0) std::memmove(out, in, static_cast<std::size_t>(count * stored_bytes(type)));
    }
    const Wire& wire(DType type) const {
        WB_EXPECT(!is_class(type));
        return wires_[static_cast<std::size_t>(type)];
    }

    void exchange(const void* in, int to, void* out, int from, std::int64_t count, DType type) const {
        if (to == rank_) return copy(in, out, count, type);
        const Wire& how = wire(type);
        in_parts(count, [&](std::int64_t start, int part) {
            void* target = at(out, start, type);
            const int code =
                in == out ? MPI_Sendrecv_replace(target, part, how.type, to, 0, from, 0, comm_, MPI_STATUS_IGNORE)
                          : MPI_Sendrecv(at(in, start, type), part, how.type, to, 0, target, part, how.type, from, 0,
                                         comm_, MPI_STATUS_IGNORE);
            check(code, "MPI_Sendrecv");
        });
    }

    /// reduce_scatter of buffers too long for one call: each rank in turn is the root of a reduction.
    void reduce_each(const void* in, void* out, std::int64_t count_each, DType type) const {
        const Wire& how = wire(type);
        for (int root = 0; root < size_; ++root)
            in_parts(count_each, [&](std::int64_t start, int part) {
                const void* from = at(in, root * count_each + start, type);
                void* to = root == rank_ ? at(out, start, type) : nullptr;
                if (from == to) from = MPI_IN_PLACE;
                check(MPI_Reduce(from, to, part, how.type, how.sum, root, comm_), "MPI_Reduce");
            });
    }

    template <class List, class Value>
    std::vector<List> gather_lists(std::span<const Value> mine, MPI_Datatype type) const {
        const auto length = static_cast<std::int64_t>(mine.size());
        std::vector<std::int64_t> lengths(rank_ == 0 ? static_cast<std::size_t>(size_) : 0);
        check(MPI_Gather(&length, 1, MPI_INT64_T, lengths.data(), 1, MPI_INT64_T, 0, comm_), "MPI_Gather");
        if (rank_ != 0) {
            in_parts(length, [&](std::int64_t start, int part) {
                check(MPI_Send(mine.data() + start, part, type, 0, 1, comm_), "MPI_Send");
            });
            return {};
        }
        std::vector<List> all{List(mine.begin(), mine.end())};
        for (int r = 1; r < size_; ++r) {
            List& theirs = all.emplace_back(static_cast<std::size_t>(lengths[static_cast<std::size_t>(r)]), Value{});
            in_parts(lengths[static_cast<std::size_t>(r)], [&](std::int64_t start, int part) {
                check(MPI_Recv(theirs.data() + start, part, type, r, 1, comm_, MPI_STATUS_IGNORE), "MPI_Recv");
            });
        }
        return all;
    }

    /// Waits until every rank is about to leave. An exception on this rank alone would wait for ever: then false.
    bool all_leave() const {
        using Clock = std::chrono::steady_clock;
        const auto deadline = Clock::now() + std::chrono::seconds(3);
        MPI_Request request = MPI_REQUEST_NULL;
        if (MPI_Ibarrier(comm_, &request) != MPI_SUCCESS) return false;
        if (std::uncaught_exceptions() == 0) return MPI_Wait(&request, MPI_STATUS_IGNORE) == MPI_SUCCESS;
        for (int done = 0; Clock::now() < deadline; std::this_thread::sleep_for(std::chrono::milliseconds(1))) {
            if (MPI_Test(&request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) return false;
            if (done != 0) return true;
        }
        return false;
    }

    MPI_Comm comm_ = MPI_COMM_WORLD;
    int rank_ = 0, size_ = 1;
    std::int64_t largest_;
    std::array<Wire, static_cast<std::size_t>(DType::any8) + 1> wires_{};
};

std::unique_ptr<Comm> start(const Launch& by, int& argc, char**& argv, std::int64_t largest_count) {
    auto comm = std::make_unique<MpiComm>(argc, argv, largest_count);
    const int expected = by.ranks.value_or(comm->size());
    if (expected == comm->size()) return comm;
    throw Error(
        {.place = "MPI",
         .problem = fmt::format("the launcher started {} ranks, {} sees {}", expected, comm->library(), comm->size()),
         .why = "every rank would run the whole job alone",
         .hint = "Use the mpirun of the MPI this program was built with."},
        Exit::environment);
}

#else

std::unique_ptr<Comm> start(const Launch& by, int&, char**&, std::int64_t) {
    if (by.ranks.value_or(1) <= 1) return single_process();
    throw Error({.place = "MPI",
                 .problem = fmt::format("started as {} ranks, but was built without MPI", *by.ranks),
                 .why = "every rank would run the whole job alone",
                 .hint = "Start it without mpirun, or build it with -DWB_MPI=ON."},
                Exit::environment);
}

#endif

}  // namespace

std::unique_ptr<Comm> world(int& argc, char**& argv, std::int64_t largest_count) {
    const Launch by = launch();
    if (by.pmi) return start(by, argc, argv, largest_count);
    if (by.ranks.value_or(1) > 1)
        throw Error({.place = "MPI",
                     .problem = fmt::format("srun started {} tasks that do not know each other", *by.ranks),
                     .why = "every task would run the whole job alone",
                     .hint = "Use mpirun, or an srun --mpi=... that your MPI understands."},
                    Exit::environment);
    return single_process();
}

int ranks_on_node() {
#ifdef WB_HAVE_MPI
    int started = 0, finished = 0, ranks = 1;
    MPI_Initialized(&started);
    MPI_Finalized(&finished);
    if (started == 0 || finished != 0) return 1;
    MPI_Comm node = MPI_COMM_NULL;
    check(MPI_Comm_split_type(MPI_COMM_WORLD, MPI_COMM_TYPE_SHARED, 0, MPI_INFO_NULL, &node), "MPI_Comm_split_type");
    check(MPI_Comm_size(node, &ranks), "MPI_Comm_size");
    MPI_Comm_free(&node);
    return ranks;
#else
    return 1;
#endif
}

}  // namespace wb
