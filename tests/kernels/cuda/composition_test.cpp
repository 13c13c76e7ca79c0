// Whole compositions on the device that the host plays: generation with growing caches, and a pipeline of training.
#include "core/composition.hpp"
#include "core/generating.hpp"
#include "kernels/cuda/players.hpp"
#include "kernels/reference/generating.hpp"
#include "tests/kernels/cuda/judged.hpp"
#include "tests/kernels/memory_storage.hpp"

using namespace wb;
using namespace wb::judged;

namespace {

Case generation_case(const std::string& name, const std::string& dtype, double temperature) {
    Case c = case_of(build_workload(
        "generate", {{"model", name}, {"batch", 2_i}, {"seq", 5_i}, {"tokens", 5_i}, {"dtype", dtype}}, files()));
    c.params.set("temperature", temperature);
    return c;
}

Outputs generated(const Case& c) {
    const auto comm = single_process();
    GeneratingSession session(c, generation_of(*c.graph).value(), *comm,
                              std::make_unique<cuda::CudaPlayers>(c.seed, *comm, 0));
    session.run();  // from the second run on, steps are recorded
    session.poison();
    session.run();
    return *session.outputs();
}

/// The first of what is named so that differs; empty if nothing does.
std::string different(const Outputs& found, const Outputs& wanted, const std::string& name, double tolerance) {
    std::vector<const Output*> a, b;
    for (const Output& o : found)
        if (o.name == name) a.push_back(&o);
    for (const Output& o : wanted)
        if (o.name == name) b.push_back(&o);
    if (a.size() != b.size() || a.empty()) return fmt::format("{} instead of {} {}", a.size(), b.size(), name);
    for (std::size_t n = 0; n < a.size(); ++n)
        for (std::size_t i = 0; i < b[n]->values.size(); ++i)
            if (!(std::abs(a[n]->values.at(i) - b[n]->values[i]) <= tolerance))
                return fmt::format("{} {} [{}]: {} instead of {}", name, n, i, a[n]->values[i], b[n]->values[i]);
    return {};
}

ResourceUse piped(const std::shared_ptr<MemoryStorage>& storage) {
    Case c = case_of(build_workload("pipeline",
                                    {{"model", std::string("tiny-gpt2")},
                                     {"batch", 2_i},
                                     {"seq", 6_i},
                                     {"steps", 4_i},
                                     {"checkpoint_every", 2_i},
                                     {"evaluate_batches", 1_i},
                                     {"dtype", std::string("f32")}},
                                    files()));
    c.storage = storage;
    const auto comm = single_process();
    Composition session(c, *comm, std::make_unique<cuda::CudaPlayers>(c.seed, *comm, 0));
    session.run();
    return session.usage();
}

}  // namespace

TEST_CASE("cuda: generation chooses the reference's tokens, from caches that grow in one recorded step") {
    for (const auto& [name, temperature] : {std::pair{"tiny-gpt2", 1.0}, {"tiny-llama", 0.0}}) {
        CAPTURE(name);
        const Case c = generation_case(name, "f32", temperature);
        const Outputs wanted = reference::generate(generation_of(*c.graph).value(), {temperature, c.seed}, c.seed);
        const Outputs found = generated(c);
        CHECK(different(found, wanted, "tokens", 0) == "");
        CHECK(different(found, wanted, "logits", 1e-4) == "");
    }
}

TEST_CASE("cuda: a generation ends with the tokens that end a sequence, all its sequences having said one") {
    Case c = generation_case("tiny-gpt2", "f32", 1.0);
    const auto answers = [&](int runs) {
        const auto comm = single_process();
        GeneratingSession session(c, generation_of(*c.graph).value(), *comm,
                                  std::make_unique<cuda::CudaPlayers>(c.seed, *comm, 0));
        for (int i = 0; i < runs; ++i) session.run();
        CHECK(session.usage().useful.si() == session.performed().flops().si());
        return session.usage().series.at(0).values;
    };
    const std::vector<double> all = answers(1);
    REQUIRE(all.size() == 5);
    std::string every;
    for (int id = 0; id < 256; ++id) every += (id > 0 ? "," : "") + std::to_string(id);
    c.params.set("eos", every);
    CHECK(answers(2) == std::vector<double>{all[0]});  // whatever they say
    c.params.set("eos", std::string("999999"));
    CHECK(answers(2) == all);
}

TEST_CASE("cuda: a pipeline learns, and goes on from a checkpoint with the same losses") {
    const auto whole = std::make_shared<MemoryStorage>();
    const ResourceUse use = piped(whole);
    const std::vector<double> wanted = losses(use);
    REQUIRE(wanted.size() == 5);
    for (std::size_t i = 1; i < wanted.size(); ++i) CHECK(wanted[i] < wanted[i - 1]);
    const auto part = std::make_shared<MemoryStorage>();
    part->saved[2] = whole->saved.at(2);
    part->snapshots[2] = whole->snapshots.at(2);
    const std::vector<double> found = losses(piped(part));
    REQUIRE(found.size() == wanted.size());
    for (std::size_t i = 0; i < found.size(); ++i) CHECK(found[i] == doctest::Approx(wanted[i]).epsilon(1e-6).scale(0));
}
