// Fails on purpose under mpirun, in the way its argument names; expect_end.sh looks at how the job ends.
#include <csignal>
#include <cstdio>
#include <exception>
#include <stdexcept>
#include <string>

#include "core/error.hpp"
#include "harness/mpi_comm.hpp"

namespace {

void fail(wb::Comm& comm, const std::string& way) {
    const bool last = comm.rank() == comm.size() - 1;
    if (way == "killed" && last) std::raise(SIGKILL);
    if (way == "ended" && last) {
        std::fprintf(stderr, "rank %d ends the job\n", comm.rank());
        comm.end_job(7);
    }
    if (way == "one_throws" && last) throw std::runtime_error("on purpose");
    if (way == "all_throw") throw wb::Error({"failing_program", "told to fail", "", ""}, wb::Exit::baseline);
    if (way != "none") comm.barrier();  // for ever, unless the job ends
}

}  // namespace

int main(int argc, char** argv) try {
    const std::string way = argc > 1 ? argv[1] : "none";
    const auto comm = wb::world(argc, argv);
    fail(*comm, way);
    std::printf("%d ranks\n", comm->size());
    return 0;
} catch (const wb::Error& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return static_cast<int>(error.code());
} catch (const std::exception& error) {
    std::fprintf(stderr, "error: %s\n", error.what());
    return 1;
}
