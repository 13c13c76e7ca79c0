#include <doctest/doctest.h>
#include <linux/perf_event.h>
#include <sys/mman.h>

#include <barrier>
#include <cmath>
#include <cstring>
#include <thread>

#include "core/error.hpp"
#include "core/interruptible.hpp"
#include "core/tables.hpp"
#include "kernels/cpu/counter.hpp"
#include "tests/kernels/memory_storage.hpp"
#include "tests/kernels/thread_comm.hpp"

namespace wb {
std::unique_ptr<Backend> make_cpu();
}

using namespace wb;

namespace {

Case pipeline(std::int64_t steps, std::int64_t every, const Mapping& mapping = {}) {
    Case c;
    c.graph = c.small = std::make_shared<const Graph>(build_workload("pipeline",
                                                                     {{"model", std::string("tiny-gpt2")},
                                                                      {"batch", std::int64_t{4}},
                                                                      {"seq", std::int64_t{16}},
                                                                      {"steps", steps},
                                                                      {"checkpoint_every", every},
                                                                      {"evaluate_batches", std::int64_t{2}}},
                                                                     Files({std::string(WB_SOURCE_DIR) + "/configs"})));
    auto host = std::make_shared<System>();
    host->id = host->title = "this host";
    host->kind = SystemKind::host;
    c.system = host;
    c.threads = 1;
    c.mapping = mapping;
    c.seed = 7;
    return c;
}

ResourceUse run_alone(const Case& c) {
    const auto comm = single_process();
    const auto session = make_cpu()->prepare(c, *comm);
    session->run();
    return session->usage();
}

/// What rank 0 of the mapping's saw.
ResourceUse run_shared(const Case& c) {
    const int all = c.mapping.units();
    Team team(all);
    std::vector<ResourceUse> use(all);
    std::vector<std::string> problems(all);
    std::vector<std::thread> ranks;
    for (int r = 0; r < all; ++r)
        ranks.emplace_back([&, r] {
            ThreadComm comm(team, r);
            try {
                Case mine = c;
                mine.storage = std::make_shared<MemoryStorage>();
                const auto session = make_cpu()->prepare(mine, comm);
                session->run();
                use[r] = session->usage();
            } catch (const std::exception& e) {
                problems[r] = e.what();
            }
        });
    for (std::thread& t : ranks) t.join();
    CHECK(problems == std::vector<std::string>(all));
    return use[0];
}

}  // namespace

TEST_CASE("a composition that is asked to stop does so at the next step, on all ranks, and tells how far it came") {
    for (const int data : {1, 2}) {
        Case c = pipeline(60, 20);
        c.mapping.data = data;
        std::vector<std::string> problems(static_cast<std::size_t>(data));
        Team team(data);
        std::vector<std::thread> ranks;
        for (int r = 0; r < data; ++r)
            ranks.emplace_back([&, r] {
                ThreadComm comm(team, r);
                const auto session = make_cpu()->prepare(c, comm);
                auto* const cut = dynamic_cast<Interruptible*>(session.get());
                int steps = 0;
                cut->stop_when([&] { return r == 0 && ++steps >= 30; });
                const Sample s = session->run();
                const ResourceUse use = session->usage();
                const std::int64_t times = cut->performed().phases().empty() ? 0 : use.phases.front().times;
                problems[static_cast<std::size_t>(r)] =
                    s.problem + (times > 0 && std::isfinite(s.elapsed.si()) ? "" : " nothing was run");
                if (use.series.size() != 1 || use.series[0].values.size() >= 60) problems[0] += " all losses";
                cut->stop_when({});
                if (!session->run().problem.empty()) problems[0] += " again";
            });
        for (std::thread& t : ranks) t.join();
        for (const std::string& problem : problems) {
            CHECK(problem.starts_with("stopped from outside in the phase train, after "));
            CHECK(problem.find(" of 20; a checkpoint of step 20 is there") != std::string::npos);
            CHECK(problem.ends_with("is there"));
        }
    }
}

TEST_CASE("a pipeline trains: the loss falls below that of a guess, on held-out tokens too") {
    Case c = pipeline(60, 20);
    c.storage = std::make_shared<MemoryStorage>();
    const ResourceUse use = run_alone(c);
    const std::vector<double> loss = losses(use);
    REQUIRE(loss.size() == 61);
    CHECK(loss.front() > std::log(256.0) - 0.5);
    CHECK(loss[59] < loss.front() - 2);
    CHECK(loss.back() < loss.front() - 2);
    std::vector<std::string> names;
    for (const PhaseUse& p : use.phases) names.push_back(p.name);
    CHECK(names == std::vector<std::string>{"stage", "compile", "load", "train", "checkpoint", "evaluate"});
    CHECK(use.phases[3].times == 60);
    CHECK(use.useful.si() == doctest::Approx(c.graph->flops().si()).epsilon(1e-12).scale(0));
}

TEST_CASE("a run that goes on from a checkpoint ends with the same bits") {
    Case c = pipeline(12, 4);
    const auto whole = std::make_shared<MemoryStorage>();
    c.storage = whole;
    const std::vector<double> wanted = losses(run_alone(c));
    for (const std::int64_t step : {4, 8, 12}) {
        CAPTURE(step);
        const auto part = std::make_shared<MemoryStorage>();
        part->saved[step] = whole->saved.at(step);
        part->snapshots[step] = whole->snapshots.at(step);
        c.storage = part;
        const ResourceUse use = run_alone(c);
        CHECK(losses(use) == wanted);
        CHECK(use.detail.find("resumed at step " + std::to_string(step)) != std::string::npos);
        if (step < 12) CHECK(part->saved.at(12) == whole->saved.at(12));
    }
}

TEST_CASE("ranks that share the batch, the model, or both, train as one does") {
    Case c = pipeline(8, 8);
    c.storage = std::make_shared<MemoryStorage>();
    const std::vector<double> one = losses(run_alone(c));
    for (const std::string mapping : {"dp2", "tp2", "tp2 dp2"}) {
        CAPTURE(mapping);
        const ResourceUse use = run_shared(pipeline(8, 8, Mapping::parse(mapping)));
        const std::vector<double> two = losses(use);
        REQUIRE(two.size() == one.size());
        for (std::size_t i = 0; i < one.size(); ++i) CHECK(two[i] == doctest::Approx(one[i]).epsilon(1e-4).scale(0));
        CHECK(use.phases[3].calls > 0);
    }
}

TEST_CASE("data parallelism sums all gradients of a step in one message") {
    const ResourceUse use = run_shared(pipeline(8, 8, Mapping::parse("dp2")));
    const double parameters = static_cast<double>(pipeline(1, 1).graph->parameters());
    REQUIRE(use.phases[3].collectives.size() == 1);
    const CommUse& sums = use.phases[3].collectives[0];
    CHECK(sums.operation == "allreduce");
    CHECK(sums.calls == 8 + 8);                                                        // and one for each loss
    CHECK(sums.bytes.si() == doctest::Approx(8 * (4 * parameters + 2 * 8)).scale(0));  // its sum and its count
    CHECK(use.phases[3].calls == sums.calls);
    CHECK(use.phases[3].communication == sums.bytes);
}

TEST_CASE("a bare step and a bare loss read the next batch of their data in every run") {
    Case whole = pipeline(6, 6);
    whole.storage = std::make_shared<MemoryStorage>();
    const std::vector<double> wanted = losses(run_alone(whole));
    const auto comm = single_process();
    for (const std::string workload : {"train", "evaluate"}) {
        CAPTURE(workload);
        Case c = whole;
        c.graph = c.small =
            std::make_shared<const Graph>(build_workload(workload,
                                                         {{"model", std::string("tiny-gpt2")},
                                                          {"batch", std::int64_t{4}},
                                                          {"seq", std::int64_t{16}},
                                                          {"data", std::string("builtin")}},
                                                         Files({std::string(WB_SOURCE_DIR) + "/configs"})));
        const auto session = make_cpu()->prepare(c, *comm);
        for (int i = 0; i < 6; ++i) session->run();
        const ResourceUse use = session->usage();
        REQUIRE(use.series.size() == 1);
        CHECK(use.series[0].at == std::vector<double>{1, 2, 3, 4, 5, 6});
        CHECK(use.detail.find("counting: 4000 tokens to train on, 400 held out") != std::string::npos);
        const std::vector<double>& got = use.series[0].values;
        if (workload == "train") CHECK(got == std::vector<double>(wanted.begin(), wanted.begin() + 6));
        if (workload == "evaluate") {
            CHECK(got[0] != got[1]);
            for (const double loss : got) CHECK(std::abs(loss - std::log(256.0)) < 2);
        }
        auto storage = std::make_shared<MemoryStorage>();
        storage->bad_id = 300;
        c.storage = storage;
        CHECK_THROWS_WITH(make_cpu()->prepare(c, *comm),
                          doctest::Contains("split is 300, the vocabulary of the model ends at 255"));
    }
}

TEST_CASE("data that cannot be trained on is refused with its place") {
    Case c = pipeline(2, 2);
    const auto storage = std::make_shared<MemoryStorage>();
    c.storage = storage;
    storage->bad_id = 300;
    CHECK_THROWS_WITH(run_alone(c),
                      "counting: token 96 of the training split is 300, the vocabulary of the model ends at 255 (the "
                      "model has no embedding for it). Use the tokeniser of the model.");
    storage->bad_id = -1;
    storage->data.held_out = 16;
    CHECK_THROWS_WITH(run_alone(c),
                      doctest::Contains("counting: its held-out split holds 16 tokens, a sequence and its last target "
                                        "are 17 (there is no batch to read)."));
}

TEST_CASE("a loss that is not a number stops the run, with the step and the first tensor") {
    Case c = pipeline(4, 2);
    const auto storage = std::make_shared<MemoryStorage>();
    c.storage = storage;
    run_alone(c);
    storage->snapshots.erase(4);
    const float nan = NAN;
    std::memcpy(storage->saved.at(2).at("final_norm.weight").data(), &nan, sizeof nan);
    CHECK_THROWS_WITH(run_alone(c),
                      "step 3: the loss is not a number, and first of all is \"final_norm.weight\" (every later step "
                      "would compute nothing). Lower the learning rate, or use a wider dtype.");
}

TEST_CASE("every phase says what was told to other ranks, by collective") {
    // A step of 4 x 16 tokens of tiny-gpt2 over two ranks that share the model: 10 activations of 64 features are
    // summed (embedding; attention, MLP and their gradients in both layers; the head's), 3 numbers a token gathered for
    // a loss.
    const double steps = 8, tokens = 4 * 16, activation = tokens * 64 * 4;
    const auto phase = [](const ResourceUse& use, const std::string& name, const std::string& operation) {
        for (const PhaseUse& p : use.phases)
            for (const CommUse& u : p.collectives)
                if (p.name == name && u.operation == operation) return u;
        return CommUse{};
    };
    const ResourceUse use = run_shared(pipeline(8, 8, Mapping::parse("tp2")));
    const CommUse sums = phase(use, "train", "allreduce"), losses_of_step = phase(use, "train", "allgather");
    CHECK(sums.calls == steps * 10);
    CHECK(sums.bytes.si() == doctest::Approx(steps * 10 * activation).scale(0));
    CHECK(losses_of_step.bytes.si() == doctest::Approx(steps * 3 * tokens * 4).scale(0));
    CHECK(phase(use, "evaluate", "allreduce").calls == 2 * 5);  // forward only
    CHECK(sums.exposed == sums.time);                           // this backend never computes while it communicates
    CHECK(sums.time > Seconds(0));
    // What is read is handed to all: each rank its half of 8 x 4 sequences of 16 and their last target, then of 2 x 4.
    const CommUse read = phase(use, "stage", "allgather");
    CHECK(read.calls == 2);
    CHECK(read.bytes.si() == 4 * (257 + 65));
    double bytes = 0;
    for (const PhaseUse& p : use.phases) bytes += p.communication.si();
    double all = 0;
    for (const CommUse& u : use.communication) all += u.bytes.si();
    CHECK(all == doctest::Approx(bytes).scale(0));
    CHECK(run_alone(pipeline(2, 2)).communication.empty());
}

TEST_CASE("an event is counted in all threads, those that come later too") {
    const long page = 4096;
    const auto touch = [&](long pages) {  // as many page faults
        const auto bytes = static_cast<std::size_t>(pages * page);
        void* const at = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        REQUIRE(at != MAP_FAILED);
        madvise(at, bytes, MADV_NOHUGEPAGE);
        for (long p = 0; p < pages; ++p) static_cast<volatile char*>(at)[p * page] = 1;
        munmap(at, bytes);
    };
    std::barrier gate(2);
    std::thread before([&] {
        gate.arrive_and_wait();
        touch(1000);
    });
    const cpu::EventCounter faults(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS);
    const std::optional<double> none = faults.read();
    gate.arrive_and_wait();
    before.join();
    std::thread([&] { touch(2000); }).join();
    touch(4000);
    const std::optional<double> all = faults.read();
    REQUIRE(none.has_value() == all.has_value());
    if (all) {  // else the kernel lets nobody count
        CHECK(*all - *none >= 7000);
        CHECK(*all - *none < 7200);  // stacks of the threads, and what they touch besides
    }
    CHECK(!cpu::EventCounter(PERF_TYPE_HARDWARE, 1U << 30).read());  // no such event
}
