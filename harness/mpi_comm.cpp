#include "harness/mpi_comm.hpp"

#include <fmt/format.h>

#include "core/error.hpp"
#include "harness/mpi_launch.hpp"

#ifdef WB_HAVE_MPI
#ifdef __GLIBC__
#include <malloc.h>
#endif

#include <chrono>
#include <exception>
#include <thread>

#include "harness/mpi_group.hpp"
#endif

namespace wb {
namespace {

#ifdef WB_HAVE_MPI

/// Waits until every rank is about to leave. An exception on this rank alone would wait for ever: then false.
bool all_leave() {
    using Clock = std::chrono::steady_clock;
    const auto deadline = Clock::now() + std::chrono::seconds(3);
    MPI_Request request = MPI_REQUEST_NULL;
    if (MPI_Ibarrier(MPI_COMM_WORLD, &request) != MPI_SUCCESS) return false;
    if (std::uncaught_exceptions() == 0) return MPI_Wait(&request, MPI_STATUS_IGNORE) == MPI_SUCCESS;
    for (int done = 0; Clock::now() < deadline; std::this_thread::sleep_for(std::chrono::milliseconds(1))) {
        if (MPI_Test(&request, &done, MPI_STATUS_IGNORE) != MPI_SUCCESS) return false;
        if (done != 0) return true;
    }
    return false;
}

/// Leaves MPI when the group of all ranks goes.
void leave(int rank) {
    if (!all_leave()) {
        fmt::print(stderr, "MPI: rank {} stops alone, by an error the other ranks do not share; ending the job.\n",
                   rank);
        MPI_Abort(MPI_COMM_WORLD, static_cast<int>(Exit::failed));
    }
    MPI_Finalize();
}

/// MPI libraries allocate what a collective needs anew in every call. If what they free went back to the kernel, each
/// call would wait for pages to be cleared: several times what its messages take.
void keep_freed_memory() {
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 32 << 20);  // the most it takes
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
#endif
}

std::unique_ptr<Comm> all_ranks(int& argc, char**& argv, std::int64_t largest_count) {
    WB_EXPECT(largest_count > 0 && largest_count <= std::int64_t{1} << 30);
    int provided = 0, rank = 0;
    keep_freed_memory();
    check(MPI_Init_thread(&argc, &argv, MPI_THREAD_FUNNELED, &provided), "MPI_Init_thread");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_set_errhandler(MPI_COMM_SELF, MPI_ERRORS_RETURN);
    WB_EXPECT(provided >= MPI_THREAD_FUNNELED);
    check(MPI_Comm_rank(MPI_COMM_WORLD, &rank), "MPI_Comm_rank");
    return mpi_group(MPI_COMM_WORLD, std::make_shared<const Wires>(), largest_count, [rank] { leave(rank); });
}

std::unique_ptr<Comm> start(const Launch& by, int& argc, char**& argv, std::int64_t largest_count) {
    auto comm = all_ranks(argc, argv, largest_count);
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
