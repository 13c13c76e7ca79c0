#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>

#include "core/error.hpp"
#include "core/tables.hpp"
#include "core/workload.hpp"
#include "models/cluster/search.hpp"
#include "models/collective_time.hpp"
#include "models/pipeline_schedule.hpp"
#include "models/stage_sends.hpp"

using namespace wb;
using namespace wb::cluster;

namespace {

const std::string configs = std::string(WB_SOURCE_DIR) + "/configs";

Graph model(const std::string& pass, const std::string& name, std::int64_t batch) {
    return build_workload(
        pass, {{"model", name}, {"batch", batch}, {"seq", std::int64_t{2048}}, {"dtype", std::string("bf16")}},
        Files({configs}));
}

/// A pipeline of equal stages that talk for nothing: one second forward, two back.
ModelWork plain_work(int stages) {
    ModelWork w;
    w.forward.layers = stages;
    w.backward.layers = 2.0 * stages;
    w.update = 1e-9;
    return w;
}

Timeline played(const ModelWork& w, const Device& d, const Mapping& m) {
    return play(pipeline_steps(w, d, m), [](const Step&) { return 0.0; });
}

}  // namespace

TEST_CASE("every stage takes every turn once, a backward pass after its forward pass") {
    for (const char* text : {"pp4 mb8", "pp4 mb8 vp3", "pp4 mb8 gpipe", "pp8 mb3", "pp1 mb5", "pp3 mb12 vp2"}) {
        const Mapping m = Mapping::parse(text);
        for (int stage = 0; stage < m.pipeline; ++stage) {
            std::map<std::pair<int, int>, int> state;
            int held = 0, most = 0;
            for (const Turn& t : turns(m, stage, true)) {
                int& s = state[{t.microbatch, t.chunk}];
                REQUIRE(s == (t.backward ? 1 : 0));
                ++s;
                held += t.backward ? -1 : 1;
                most = std::max(most, held);
            }
            CHECK(state.size() == static_cast<std::size_t>(m.microbatches * m.virtual_stages));
            for (const auto& [turn, s] : state) CHECK(s == 2);
            // What memory reckons with on the first stage is what the schedule holds there.
            if (stage == 0) CHECK(most == std::lround(microbatches_in_flight(m) * m.virtual_stages));
        }
    }
}

TEST_CASE("bubbles of the textbook: Narayanan et al. 2021, section 2.2") {
    const System s = load_system(configs + "/systems/h100-sxm.toml");
    const Device d(s);
    const ModelWork w = plain_work(4);
    // (pp - 1)(tf + tb) idle on every stage; interleaving divides it.
    for (const auto& [text, bubble] : {std::pair{"pp4 mb8", 9.0},
                                       {"pp4 mb8 gpipe", 9.0},
                                       {"pp4 mb8 vp2", 4.5},
                                       {"pp4 mb8 vp4", 2.25},
                                       {"pp4 mb16 vp4", 2.25}}) {
        CAPTURE(text);
        const Mapping m = Mapping::parse(text);
        const Timeline t = played(w, d, m);
        CHECK(t.seconds == doctest::Approx(m.microbatches * 3.0 + bubble));
        for (double idle : t.idle) CHECK(idle == doctest::Approx(bubble));
    }
}

TEST_CASE("spans of a stage fill its time without gap or overlap") {
    const System s = load_system(configs + "/systems/h100-sxm.toml");
    const Device d(s);
    const Graph g = model("train", "gpt3-175b", 64);
    Planner planner(g, d);
    const Mapping m = Mapping::parse("tp8 pp8 dp2 mb16 vp2 sp zero1 selective");
    const Timeline t = play(pipeline_steps(planner.work(m), d, m), step_seconds(d, m));
    for (int stage = 0; stage < 8; ++stage) {
        double at = 0;
        const std::string mine = "stage " + std::to_string(stage) + " ";
        for (const Span& span : t.spans)
            if (span.resource.starts_with(mine)) {
                REQUIRE(span.start.si() == doctest::Approx(at));
                at = (span.start + span.duration).si();
            }
        CHECK(at == doctest::Approx(t.seconds));
        const auto i = static_cast<std::size_t>(stage);
        CHECK(t.idle[i] + t.exposed[i] + t.busy[i] == doctest::Approx(t.seconds));
    }
}

TEST_CASE("schedules played agree with the closed form within 5 %") {
    for (const char* id : {"h100-sxm", "a100-sxm-80g"}) {
        const System s = load_system(configs + "/systems/" + std::string(id) + ".toml");
        const Device d(s);
        const Graph g = model("train", "gpt3-175b", 128), mixture = model("train", "mixtral-8x7b", 128),
                    inference = model("prefill", "llama3-70b", 32);
        Planner dense(g, d), experts(mixture, d), prefill(inference, d);
        const auto difference = [&](Planner& p, const char* text) {
            const Mapping m = Mapping::parse(text);
            const double closed = p.evaluate(m).step.time;
            return std::abs(play(pipeline_steps(p.work(m), d, m), step_seconds(d, m)).seconds / closed - 1);
        };
        for (const char* text :
             {"tp8 pp8 mb128", "tp8 pp8 mb128 vp3 sp selective", "tp8 pp8 dp4 mb32 vp6 recompute sp zero1",
              "tp4 pp16 dp2 mb64", "tp8 pp12 dp2 mb32 gpipe", "tp8 pp4 cp2 dp2 mb16 vp4", "tp8 dp16 mb8 zero2",
              "tp8 pp2 dp8 mb16 zero3"}) {
            CAPTURE(id);
            CAPTURE(text);
            CHECK(difference(dense, text) < 0.05);
        }
        for (const char* text : {"tp2 pp4 ep8 mb16", "tp4 pp2 dp2 ep4 mb8 vp4"}) {
            CAPTURE(text);
            CHECK(difference(experts, text) < 0.05);
        }
        CHECK(difference(prefill, "tp8 pp4 mb8") < 0.05);
    }
}

TEST_CASE("messages between stages go through the level that their stride crosses") {
    const System s = load_system(configs + "/systems/h100-sxm.toml");  // domains of 8
    const Device d(s);
    ModelWork w = plain_work(8);
    w.boundary_bytes = 64e6;
    const auto sends = [&](const char* mapping) { return stage_sends(d, w, Mapping::parse(mapping)); };
    const double near = collective_time(d, CollectiveKind::send_recv, 64e6, 2), far = crossing_message_time(d, 64e6, 8);
    CHECK(far > 2 * near);
    CHECK(sends("pp8").mean == near);
    CHECK(sends("pp8").paired == 2 * near);
    CHECK(sends("dp8 pp4").mean == far);
    CHECK(sends("pp1 tp8").mean == 0);
    // Of the 15 hops of two nodes one leaves its node, and its stage talks to a neighbour too.
    CHECK(sends("pp16").mean == doctest::Approx((14 * near + far) / 15).epsilon(1e-12).scale(0));
    CHECK(sends("pp16").paired == near + far);
    CHECK(sends("dp2 pp8").mean == doctest::Approx((6 * near + far) / 7).epsilon(1e-12).scale(0));
    // A stage of 3 units lies across the edge of a node.
    CHECK(crosses(s, Mapping::parse("tp3 pp4"), 1, 2));
    CHECK_FALSE(crosses(s, Mapping::parse("tp3 pp4"), 0, 1));
    // Tensor ranks send a part each and gather; with sequence parallelism they have no more.
    const StageSend split = stage_send(d, w, Mapping::parse("tp8 pp4"), true);
    CHECK(split.gathered);
    CHECK(split.bytes == 8e6);
    CHECK(split.seconds == doctest::Approx(crossing_message_time(d, 8e6, 8) + split.gather).epsilon(1e-12).scale(0));
    CHECK(split.seconds < far);
    CHECK_FALSE(stage_send(d, w, Mapping::parse("tp8 pp4 sp"), true).gathered);
    CHECK_FALSE(stage_send(d, w, Mapping::parse("tp8 pp4"), false).gathered);
}

TEST_CASE("units of a node share its ports: a stage's messages get no more than the node has") {
    System s = load_system(configs + "/systems/h100-sxm.toml");
    const double bytes = 1e9, own = crossing_message_time(Device(s), bytes, 8);
    s.fitted["node_bandwidth"] = {s.fabrics.back().bandwidth->value, "", "one port a node", "", ""};
    const double launch = crossing_message_time(Device(s), 0, 8);
    CHECK(crossing_message_time(Device(s), bytes, 8) - launch ==
          doctest::Approx(8 * (own - launch)).epsilon(1e-9).scale(0));
    s.fitted.erase("node_bandwidth");
    s.fabrics.back().ports = Fact{2, "", "", "", ""};
    CHECK(crossing_message_time(Device(s), bytes, 8) - launch ==
          doctest::Approx(2 * (own - launch)).epsilon(1e-9).scale(0));
}

TEST_CASE("stages that wait for each other are reported, not waited for") {
    StageSteps steps;
    steps.mapping.pipeline = 2;
    Step receive;
    receive.kind = Step::Kind::receive;
    receive.tag = 7;
    steps.stages.resize(2);
    receive.peer = 1;
    steps.stages[0] = {receive};
    receive.peer = 0;
    steps.stages[1] = {receive};
    CHECK_THROWS_WITH_AS(play(steps, [](const Step&) { return 1.0; }),
                         "stage 0: step 0 waits for message 7 of stage 1, which is never sent before it (the schedule "
                         "would never end).",
                         Error);
}
