// Attention by warpgroups on the device that the host plays: the very kernel, through the model of its instructions.
#include "kernels/cuda/emulated/warpgroup.hpp"
#include "core/fill.hpp"
#include "kernels/cuda/attention.hpp"
#include "kernels/cuda/kernels.hpp"
#include "tests/kernels/cuda/judged.hpp"

using namespace wb;
using namespace wb::judged;
using cuda::emulated::Defect;
using cuda::emulated::Order;
using cuda::emulated::Pace;

namespace {

/// A device of compute capability 9.0, for as long as this lives.
struct Device90 {
    Device90() { cuda::emulated::set_generation(9); }
    ~Device90() {
        cuda::emulated::set_generation(8);
        cuda::emulated::set_pace(Pace::late);
        cuda::emulated::set_defect(Defect::none);
        cuda::emulated::set_order(Order::forward);
        cuda::emulated::set_blocks(1, Order::forward);
    }
};

Overrides attention(std::int64_t d, std::int64_t seq, std::int64_t seq_kv, bool causal) {
    return {{"heads", 2_i}, {"kv_heads", 1_i}, {"seq_q", seq}, {"seq_kv", seq_kv}, {"head_dim", d}, {"causal", causal}};
}

Overrides backward(std::int64_t d, std::int64_t seq, std::int64_t seq_kv, bool causal) {
    Overrides out = attention(d, seq, seq_kv, causal);
    out.emplace_back("pass", std::string("forward_backward"));
    return out;
}

Case bf16_case(Overrides with) {
    with.emplace_back("dtype", std::string("bf16"));
    return case_of(build_workload("attention", with, files()));
}

/// How a run of `c` differs from what it should yield, or why it broke off; empty if neither.
std::string outcome(const Case& c, const Outputs& wanted) {
    const auto comm = single_process();
    cuda::CudaSession session(c, *comm, 0);
    session.poison();
    try {
        session.run();
    } catch (const ContractError& e) {
        return e.what();
    }
    return difference(*session.outputs(), wanted, *c.graph, tolerance_of("bf16"), 0);
}

}  // namespace

TEST_CASE("cuda: attention by warpgroups, at the edges of tiles") {
    const Device90 device;
    check("attention", attention(64, 70, 300, true), "bf16", 1);  // three tiles of keys: stages are used again
    check("attention", attention(64, 200, 200, true), "f16", 1);  // two blocks of queries
    check("attention", attention(128, 130, 270, false), "bf16", 1);
    check("attention", attention(128, 97, 97, true), "f16", 1);
    check("attention", attention(256, 64, 150, true), "bf16", 1);
    Overrides window = attention(64, 260, 260, true);
    window.emplace_back("window", 20_i);
    window.emplace_back("batch", 2_i);
    check("attention", window, "bf16", 1);
}

TEST_CASE("cuda: attention by warpgroups is chosen by the device, and says so") {
    const Case c = bf16_case(attention(64, 20, 40, true));
    const auto comm = single_process();
    CHECK(cuda::CudaSession(c, *comm, 0).usage().detail.find("warpgroup") == std::string::npos);
    const Device90 device;
    CHECK(cuda::CudaSession(c, *comm, 0).usage().detail.find("warpgroup") != std::string::npos);
}

TEST_CASE("cuda: backward attention by warpgroups, at the edges of tiles") {
    const Device90 device;
    check("attention", backward(64, 150, 290, true), "bf16", 1);
    check("attention", backward(64, 70, 40, false), "f16", 1);
    check("attention", backward(128, 70, 270, false), "bf16", 1);
    check("attention", backward(128, 200, 200, true), "f16", 1);
    check("attention", backward(256, 70, 140, true), "bf16", 1);
    check("attention", backward(256, 130, 65, false), "f16", 1);
    for (const std::int64_t d : {64_i, 256_i}) {
        Overrides window = backward(d, 260, 330, true);  // keys that no query sees, queries that see two tiles
        window.emplace_back("window", 20_i);
        if (d == 64) window.emplace_back("batch", 2_i);
        check("attention", window, "bf16", 1);
    }
}

namespace {

struct Planted {
    Defect defect;
    std::string label;
};

const std::vector<Planted> of_every_kernel = {
    {Defect::stride, "stride"},         {Defect::swizzle, "swizzle"},   {Defect::address, "address"},
    {Defect::transposed, "transposed"}, {Defect::phase, "phase"},       {Defect::few_bytes, "few bytes"},
    {Defect::many_bytes, "many bytes"}, {Defect::no_fence, "no fence"}, {Defect::no_wait, "no wait"},
    {Defect::no_release, "no release"}, {Defect::no_room, "no room"}};
const std::vector<Planted> of_backward = {{Defect::no_turned, "left matrix not turned"},
                                          {Defect::no_publish, "no fence for the units"},
                                          {Defect::no_read, "place of sums given back too early"},
                                          {Defect::no_landing, "turn passed on too early"},
                                          {Defect::no_turn, "no wait for the turn"},
                                          {Defect::no_pass, "no turn passed on"}};

/// Each of them must show.
void expect_found(const Case& c, const Outputs& wanted, const std::vector<Planted>& all) {
    for (const auto& [defect, label] : all) {
        CAPTURE(label);
        cuda::emulated::set_defect(defect);
        // What overwrites too early shows where copies land at once, what reads too early where they land late.
        cuda::emulated::set_pace(defect == Defect::no_room ? Pace::copies_at_once : Pace::late);
        CHECK(outcome(c, wanted) != "");
    }
    cuda::emulated::set_defect(Defect::none);
    cuda::emulated::set_pace(Pace::late);
    CHECK(outcome(c, wanted) == "");
}

void expect_found_backward(std::int64_t d, const std::vector<Planted>& all) {
    CAPTURE(d);
    const Case c = bf16_case(backward(d, 70, 280, true));
    const Outputs wanted = reference::execute(*c.graph, c.seed, 1);
    cuda::emulated::set_blocks(2, Order::forward);  // so that turns are waited for
    expect_found(c, wanted, all);
}

}  // namespace

TEST_CASE("cuda: attention by warpgroups does not depend on when copies and products happen, nor on turns") {
    const Device90 device;
    const Case c = bf16_case(attention(64, 70, 420, true));
    const Outputs wanted = reference::execute(*c.graph, c.seed, 1);
    for (const auto& [order, pace] : {std::pair{Order::forward, Pace::late},
                                      {Order::backward, Pace::late},
                                      {Order::backward, Pace::copies_at_once},
                                      {Order::forward, Pace::products_at_once},
                                      {Order::drawn, Pace::drawn}}) {
        cuda::emulated::set_order(order);
        cuda::emulated::set_pace(pace);
        CHECK(outcome(c, wanted) == "");
    }
}

TEST_CASE("cuda: the model of the instructions finds planted defects in the kernels themselves") {
    const Device90 device;
    const Case c = bf16_case(attention(128, 70, 420, true));
    expect_found(c, reference::execute(*c.graph, c.seed, 1), of_every_kernel);
}

namespace {

/// Gradients of fresh random inputs, and the sums in f32 behind dq: all bytes that the kernels of backward write.
std::vector<std::byte> gradients(const cuda::Attention& how, DType type) {
    const cuda::Queue queue;
    const auto filled = [&](std::int64_t count, std::uint64_t key) {
        cuda::Memory memory(count * 2);
        cuda::fill(queue.stream(), type, memory.data(), count, {Fill::Kind::uniform, 1.0, key, 0, count, count});
        return memory;
    };
    const std::int64_t queries = how.queries() * how.d, keys = how.batch * how.kv_heads * how.seq_kv * how.d;
    const cuda::Memory q = filled(queries, 1), dy = filled(queries, 2), k = filled(keys, 3), v = filled(keys, 4);
    const cuda::Memory y(queries * 2), lse(how.queries() * 4), dq(queries * 2), dk(keys * 2), dv(keys * 2);
    const cuda::Memory scratch(cuda::warpgroup_backward_scratch(how) * 4);
    auto* const sums = reinterpret_cast<float*>(lse.data());
    cuda::attention_warpgroup(queue.stream(), type, {q.data(), k.data(), v.data(), y.data(), sums}, how);
    cuda::attention_warpgroup_backward(
        queue.stream(), type,
        {dy.data(), q.data(), k.data(), v.data(), y.data(), sums, dq.data(), dk.data(), dv.data(), nullptr},
        reinterpret_cast<float*>(scratch.data()), how);
    std::vector<std::byte> out;
    for (const cuda::Memory* m : {&scratch, &dq, &dk, &dv}) out.insert(out.end(), m->data(), m->data() + m->bytes());
    return out;
}

}  // namespace

TEST_CASE("cuda: sums of backward attention by warpgroups are in one order, whichever block comes first") {
    const Device90 device;
    const cuda::Attention how{1, 70, 280, 2, 1, 128, 128, 128, 0, true, 0.09F};
    const std::vector<std::byte> wanted = gradients(how, DType::bf16);
    for (const auto& [together, order, pace] : {std::tuple{1, Order::backward, Pace::late},
                                                {3, Order::forward, Pace::copies_at_once},
                                                {3, Order::backward, Pace::products_at_once},
                                                {2, Order::drawn, Pace::drawn},
                                                {3, Order::drawn, Pace::drawn}}) {
        cuda::emulated::set_blocks(together, order);
        cuda::emulated::set_order(order);
        cuda::emulated::set_pace(pace);
        CHECK(gradients(how, DType::bf16) == wanted);
    }
}

TEST_CASE("cuda: defects planted in backward attention by warpgroups are found") {
    const Device90 device;
    expect_found_backward(128, of_backward);
}

TEST_SUITE("nightly") {
    TEST_CASE("cuda: all defects, planted in backward attention of every width, are found") {
        const Device90 device;
        for (const std::int64_t d : {64_i, 128_i, 256_i}) {
            expect_found_backward(d, of_backward);
            expect_found_backward(d, of_every_kernel);
        }
    }
}
