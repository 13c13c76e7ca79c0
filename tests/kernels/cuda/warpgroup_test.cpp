// Attention by warpgroups on the device that the host plays: the very kernel, through the model of its instructions.
#include "kernels/cuda/emulated/warpgroup.hpp"
#include "tests/kernels/cuda/judged.hpp"

using namespace wb;
using namespace wb::judged;
using cuda::emulated::Defect;
using cuda::emulated::Pace;

namespace {

/// A device of compute capability 9.0, for as long as this lives.
struct Device90 {
    Device90() { cuda::emulated::set_generation(9); }
    ~Device90() {
        cuda::emulated::set_generation(8);
        cuda::emulated::set_pace(Pace::late);
        cuda::emulated::set_defect(Defect::none);
        cuda::emulated::set_order(cuda::emulated::Order::forward);
    }
};

Overrides attention(std::int64_t d, std::int64_t seq, std::int64_t seq_kv, bool causal) {
    return {{"heads", 2_i}, {"kv_heads", 1_i}, {"seq_q", seq}, {"seq_kv", seq_kv}, {"head_dim", d}, {"causal", causal}};
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
    Overrides both = attention(64, 70, 150, true);  // backward needs the logarithms of forward's sums
    both.emplace_back("pass", std::string("forward_backward"));
    check("attention", both, "bf16", 1);
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

TEST_CASE("cuda: attention by warpgroups does not depend on when copies and products happen, nor on turns") {
    const Device90 device;
    const Case c = bf16_case(attention(64, 70, 420, true));
    const Outputs wanted = reference::execute(*c.graph, c.seed, 1);
    using cuda::emulated::Order;
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

TEST_CASE("cuda: the model of the instructions finds planted defects in the kernel itself") {
    const Device90 device;
    const Case c = bf16_case(attention(128, 70, 420, true));
    const Outputs wanted = reference::execute(*c.graph, c.seed, 1);
    struct Planted {
        Defect defect;
        std::string label;
    };
    for (const auto& [defect, label] :
         {Planted{Defect::stride, "stride"}, Planted{Defect::swizzle, "swizzle"}, Planted{Defect::address, "address"},
          Planted{Defect::transposed, "transposed"}, Planted{Defect::phase, "phase"},
          Planted{Defect::few_bytes, "few bytes"}, Planted{Defect::many_bytes, "many bytes"},
          Planted{Defect::no_fence, "no fence"}, Planted{Defect::no_wait, "no wait"},
          Planted{Defect::no_release, "no release"}, Planted{Defect::no_room, "no room"}}) {
        CAPTURE(label);
        cuda::emulated::set_defect(defect);
        // What overwrites too early shows where copies land at once, what reads too early where they land late.
        cuda::emulated::set_pace(defect == Defect::no_room ? Pace::copies_at_once : Pace::late);
        const std::string found = outcome(c, wanted);
        CHECK(found != "");
    }
    cuda::emulated::set_defect(Defect::none);
    cuda::emulated::set_pace(Pace::late);
    CHECK(outcome(c, wanted) == "");
}
