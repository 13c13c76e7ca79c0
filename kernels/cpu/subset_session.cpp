#include "kernels/cpu/subset_session.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstdio>
#include <string>
#include <thread>

#include "core/error.hpp"

namespace wb::cpu {
namespace {

class SubsetSession final : public Session {
public:
    SubsetSession(int ranks, Comm& comm, const std::function<std::unique_ptr<Session>(Comm&)>& make)
        : comm_(comm), ranks_(ranks), part_(comm.split(comm.rank() < ranks ? 0 : 1, comm.rank())) {
        if (works()) inner_ = make(*part_);
    }

    Sample run() override {
        Sample out;
        if (works()) out = inner_->run();
        const auto all_done = comm_.start_barrier();
        while (!works() && !all_done->test()) std::this_thread::sleep_for(std::chrono::microseconds(100));
        all_done->wait();
        return out;
    }
    std::optional<Outputs> outputs() override { return works() ? inner_->outputs() : std::nullopt; }
    std::optional<Outputs> declared_outputs() override { return works() ? inner_->declared_outputs() : std::nullopt; }
    void poison() override {
        if (works()) inner_->poison();
    }

    /// Collective: ranks that sleep have used nothing of what the others list.
    ResourceUse usage() const override {
        ResourceUse use;
        if (works()) use = inner_->usage();
        const std::string lengths = comm_.share(fmt::format("{} {}", use.memory.size(), use.communication.size()));
        std::size_t memory = 0, communication = 0;
        WB_EXPECT(std::sscanf(lengths.c_str(), "%zu %zu", &memory, &communication) == 2);
        if (!works()) {
            use.memory.resize(memory);
            use.communication.resize(communication);
        }
        return use;
    }

private:
    bool works() const { return comm_.rank() < ranks_; }
    Comm& comm_;
    int ranks_;
    std::unique_ptr<Comm> part_;  // outlives the session that speaks through it
    std::unique_ptr<Session> inner_;
};

}  // namespace

std::unique_ptr<Session> on_first_ranks(int ranks, Comm& comm,
                                        const std::function<std::unique_ptr<Session>(Comm&)>& make) {
    return std::make_unique<SubsetSession>(ranks, comm, make);
}

}  // namespace wb::cpu
