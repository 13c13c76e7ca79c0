// Backward attention by warpgroups on the device that the host plays.
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

Overrides backward(std::int64_t d, std::int64_t seq, std::int64_t seq_kv, bool causal) {
    return {{"heads", 2_i},
            {"kv_heads", 1_i},
            {"seq_q", seq},
            {"head_dim", d},
            {"causal", causal},
            {"seq_kv", seq_kv},
            {"pass", std::string("forward_backward")}};
}

}  // namespace

TEST_CASE("cuda: backward attention by warpgroups, at the edges of tiles") {
    const Device90 device;
    check("attention", backward(128, 70, 150, false), "bf16", 1);
    check("attention", backward(128, 200, 200, true), "f16", 1);
    check("attention", backward(64, 150, 280, true), "bf16", 1);
    check("attention", backward(256, 70, 140, true), "bf16", 1);
}
