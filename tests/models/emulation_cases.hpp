#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <string>
#include <thread>
#include <vector>

#include "core/backend.hpp"
#include "core/tables.hpp"
#include "core/workload.hpp"
#include "models/emulation/engine.hpp"
#include "models/emulation/machine.hpp"
#include "tests/kernels/thread_comm.hpp"

namespace wb {
std::unique_ptr<Backend> make_cluster();
std::unique_ptr<Backend> make_emulation();
}  // namespace wb

/// Machines, programs and cases that the tests of the emulation share.
namespace emulated {

using namespace wb;
using namespace wb::emulation;

inline const std::string configs = std::string(WB_SOURCE_DIR) + "/configs";

/// How far one number is off from another, as a share of it. (doctest's Approx is absolute for what is far below 1.)
inline double off(double a, double b) { return std::abs(a / b - 1); }

inline System shipped(const std::string& id) { return load_system(configs + "/systems/" + id + ".toml"); }

/// A machine that states LogGP parameters; domains of `joined` units.
inline System stated(int joined = 16384, const std::string& second = "") {
    std::string text = R"(title = "LogGP"
kind = "cluster"
[sources]
s = "parameters of the published runs"
[unit]
name = "GPU"
[unit.peak]
f32 = { value = "1 TFLOP/s", source = "s" }
[[unit.memory]]
name = "memory"
capacity = { value = "80 GB", source = "s" }
bandwidth = { value = "1 TB/s", source = "s" }
[[fabric]]
name = "inner"
topology = "switch"
units = { value = JOINED, source = "s" }
bandwidth = { value = "1 GB/s", source = "s" }
SECOND
[fitted]
message_latency = { value = "2500 ns", source = "s" }
message_overhead_time = { value = "1500 ns", source = "s" }
message_gap_time = { value = "1000 ns", source = "s" }
message_byte_time = { value = "6 ns", source = "s" }
)";
    text.replace(text.find("JOINED"), 6, std::to_string(joined));
    text.replace(text.find("SECOND"), 6, second);
    return parse_system(text, "loggp.toml", "loggp");
}

inline const std::string outer_fabric = R"([[fabric]]
name = "outer"
topology = "fat_tree"
units = { value = 4096, source = "s" }
bandwidth = { value = "1 GB/s", source = "s" })";

inline Program program(const System& s, const StageSteps& steps, const std::string& algorithm = "",
                       const EmulationChoice& choice = {}) {
    return Machine(s, steps.mapping).compile(steps, choice, algorithm);
}

/// The same with real data: stamps that are checked.
inline Program stamped(Program p) {
    p.payload = Payload::full;
    p.stamped = true;
    return p;
}

inline Finish played(const Program& p, std::vector<int> watched = {}) {
    return Engine(p, *single_process(), std::move(watched)).run();
}

inline Time bare_ns(int units, const std::string& algorithm, CollectiveKind kind = CollectiveKind::allreduce) {
    const Finish f = played(program(stated(), bare_collective(kind, 1 << 20, units), algorithm));
    CHECK(f.time % 1000 == 0);
    return f.time / 1000;
}

/// What `ranks` threads make of a program: finish, messages, all marks of all units and who is stuck, as text.
inline std::string told(const Program& p, int ranks) {
    Team team(ranks);
    std::vector<int> everyone;
    for (int u = 0; u < p.units; ++u) everyone.push_back(u);
    std::string text;
    std::vector<std::int64_t> messages(static_cast<std::size_t>(ranks), 0);
    std::vector<std::thread> threads;
    for (int r = 0; r < ranks; ++r)
        threads.emplace_back([&, r] {
            ThreadComm comm(team, r);
            const Finish f = Engine(p, comm, everyone).run();
            messages[static_cast<std::size_t>(r)] = f.messages;
            if (r > 0) return;
            text = std::to_string(f.time) + " " + f.problem;
            for (const Stuck& u : f.stuck)
                text += "\nstuck " + std::to_string(u.unit) + " " + std::to_string(u.source) + " " +
                        std::to_string(u.since);
            for (const Mark& m : f.marks)
                text += "\n" + std::to_string(m.unit) + " " + std::to_string(m.step) + " " + std::to_string(m.start) +
                        " " + std::to_string(m.end);
        });
    for (std::thread& t : threads) t.join();
    std::int64_t all = 0;
    for (const std::int64_t m : messages) all += m;
    return text + "\nmessages " + std::to_string(all);
}

/// Two stages that hand microbatches on, sum over tensor ranks and replicas.
inline StageSteps small_training(int tensor, int data, int microbatches) {
    StageSteps s;
    s.mapping.tensor = tensor;
    s.mapping.data = data;
    s.mapping.pipeline = 2;
    s.stages.resize(2);
    const auto step = [](Step::Kind kind, double seconds, double bytes) {
        Step x;
        x.kind = kind;
        x.seconds = seconds;
        x.bytes = bytes;
        x.operation = CollectiveKind::allreduce;
        return x;
    };
    for (int m = 0; m < microbatches; ++m)
        for (int stage = 0; stage < 2; ++stage) {
            auto& list = s.stages[static_cast<std::size_t>(stage)];
            Step pass = step(stage == 0 ? Step::Kind::send : Step::Kind::receive, 0, 10000);
            pass.peer = 1 - stage;
            pass.tag = m;
            if (stage == 1) list.push_back(pass);
            list.push_back(step(Step::Kind::compute, 1e-3 * (1 + stage), 0));
            list.push_back(step(Step::Kind::collective, 0, 20000));
            if (stage == 0) list.push_back(pass);
        }
    for (auto& list : s.stages) {
        list.push_back(step(Step::Kind::collective, 0, 50000));
        list.back().axis = Axis::data;
    }
    return s;
}

/// A training step with every parameter but these at its default.
inline Case train_case(const System& s, const std::string& model, std::int64_t batch, std::int64_t seq,
                       const std::string& mapping) {
    Case c;
    c.graph = std::make_shared<Graph>(build_workload(
        "train", {{"model", model}, {"batch", batch}, {"seq", seq}, {"dtype", std::string("f16")}}, Files({configs})));
    c.system = std::make_shared<System>(s);
    c.mapping = Mapping::parse(mapping);
    c.units = c.mapping.units();
    return c;
}

inline Case bare_case(const System& s, CollectiveKind kind, std::int64_t elements, DType type, int units,
                      const std::string& algorithm) {
    Attributes a;
    a.collective = kind;
    Graph g("collective");
    g.mark_output(g.add(OpKind::collective, "y", {g.input("x", {elements}, type)}, a));
    Case c;
    c.graph = std::make_shared<Graph>(std::move(g));
    c.system = std::make_shared<System>(s);
    c.units = units;
    c.mapping.algorithm = algorithm;
    c.emulation.payload = Payload::full;
    return c;
}

inline Outputs judged(Case c) {
    for (const BackendRow& row : all_backends()) {
        if (row.name != "reference") continue;
        c.mapping = {};
        c.mapping.tensor = c.units;
        const auto session = row.make()->prepare(c, *single_process());
        session->run();
        return session->outputs().value();
    }
    throw std::logic_error("no reference");
}

inline std::string refusal(const Case& c, int ranks = 1) { return make_emulation()->supports(c, ranks).reason; }

}  // namespace emulated
