// The real backend on a real device. Without one the program says why and ends with the code that ctest takes for
// "skipped". Its other tests are those of session_test.cpp, which here run on the device as well.
#define DOCTEST_CONFIG_IMPLEMENT
#include <cstdio>

#include "core/element.hpp"
#include "core/fill.hpp"
#include "kernels/cuda/kernels.hpp"
#include "tests/kernels/cuda/judged.hpp"

namespace wb {
std::unique_ptr<Backend> make_cuda();
}

using namespace wb;
using namespace wb::judged;

namespace {

constexpr int skipped = 77;

/// The same outputs to the last bit.
bool same(const Outputs& a, const Outputs& b) {
    for (std::size_t i = 0; i < a.size(); ++i)
        if (a[i].values != b[i].values) return false;
    return a.size() == b.size();
}

}  // namespace

int main(int argc, char** argv) {
    const cuda::Devices all = cuda::devices();
    if (all.count == 0) {
        Case c = case_of(build_workload("gemm", {{"m", 8_i}, {"n", 8_i}, {"k", 8_i}}, files()));
        c.system =
            std::make_shared<const System>(load_system(std::string(WB_SOURCE_DIR) + "/configs/systems/a40.toml"));
        const Support answer = make_cuda()->supports(c, 1);
        if (answer.yes || answer.reason != "no CUDA device: " + all.why_none) {
            std::printf("the backend should decline for want of a device, but says: %s\n", answer.reason.c_str());
            return 1;
        }
        std::printf("skipped: no CUDA device: %s\n", all.why_none.c_str());
        return skipped;
    }
    std::printf("on %s\n", cuda::device(0).name.c_str());
    doctest::Context context(argc, argv);
    return context.run();
}

TEST_CASE("gpu: a fill on the device is the host's") {
    const cuda::Queue queue;
    const Fill uniform{Fill::Kind::uniform, 2.5, {}, {}};
    for (const DType type : {DType::f64, DType::f32, DType::bf16, DType::f16, DType::fp8_e4m3, DType::int8}) {
        constexpr std::int64_t count = 100000;
        const FillStream wanted(uniform, 42, "weight", 3);
        const cuda::FillRule rule{uniform.kind, uniform.a, cuda::fill_key(uniform, 42, "weight", 3), 0, count, count};
        const cuda::Memory memory(count * stored_bytes(type));
        cuda::fill(queue.stream(), type, memory.data(), count, rule);
        std::vector<std::byte> found(static_cast<std::size_t>(memory.bytes()));
        cuda::copy_to_host(found.data(), memory.data(), memory.bytes(), queue.stream());
        for (std::int64_t i = 0; i < count; ++i)
            REQUIRE(decode(type, found.data() + i * stored_bytes(type)) == rounded(wanted(i), type));
    }
}

TEST_CASE("gpu: a recorded run computes what a run launched from the host does, and counts its steps") {
    for (const char* pass : {"train", "decode"}) {
        Overrides with = model("tiny-llama", 40);
        with.emplace_back("dtype", std::string("f32"));
        Case c = case_of(build_workload(pass, with, files()));
        const auto comm = single_process();
        cuda::CudaSession recorded(c, *comm, 0);
        c.mapping.algorithm = std::string(cuda::unrecorded);
        cuda::CudaSession launched(c, *comm, 0);
        for (int runs = 0; runs < 4; ++runs) {
            recorded.poison();
            launched.poison();
            CHECK(recorded.run().elapsed.si() > 0);
            launched.run();
        }
        // Rows of an embedding's gradient are added in no fixed order.
        if (std::string(pass) == "decode") CHECK(same(*recorded.outputs(), *launched.outputs()));
        CHECK(difference(*recorded.outputs(), *launched.outputs(), *c.graph, 1e-4, 8 * rate) == "");
        CHECK(recorded.usage().detail.find("CUDA graph") != std::string::npos);
        CHECK(launched.usage().detail.find("launched from the host") != std::string::npos);
    }
}

TEST_CASE("gpu: sizes at which every kernel needs many blocks") {
    for (const char* op : {"softmax", "layernorm", "rmsnorm", "gelu", "silu_mul", "add", "rope"})
        check("vector", {{"op", std::string(op)}, {"rows", 700_i}, {"cols", 4096_i}, {"heads", 32_i}}, "bf16", 1);
    for (const std::int64_t d : {64_i, 128_i, 256_i})
        for (const bool causal : {false, true})
            for (const char* type : {"bf16", "f16"})
                check("attention",
                      {{"heads", 4_i},
                       {"kv_heads", 2_i},
                       {"seq_q", 513_i},
                       {"seq_kv", causal ? 700_i : 513_i},
                       {"window", causal && d == 64 ? 130_i : 0_i},
                       {"head_dim", d},
                       {"causal", causal},
                       {"pass", std::string("forward_backward")}},
                      type, 1);
    check("gemm", {{"m", 513_i}, {"n", 640_i}, {"k", 384_i}}, "bf16", 1);
    check("gemm", {{"m", 512_i}, {"n", 640_i}, {"k", 384_i}, {"trans_b", true}}, "fp8_e4m3", 1);
}

TEST_CASE("gpu: every model's architecture, shrunk, as the reference does") {
    for (const std::string& name : files().names("models", ""))
        for (const char* pass : {"train", "prefill", "decode"}) check(pass, model(name, 7), "f32", 1);
}

TEST_CASE("gpu: gradients of attention are the same to the last bit in every run, whichever block comes first") {
    for (const std::int64_t d : {64_i, 128_i, 256_i})
        for (const bool causal : {false, true}) {
            const Case c = case_of(build_workload("attention",
                                                  {{"heads", 16_i},
                                                   {"kv_heads", 8_i},
                                                   {"batch", 2_i},
                                                   {"seq_q", 3000_i},
                                                   {"head_dim", d},
                                                   {"causal", causal},
                                                   {"dtype", std::string("bf16")},
                                                   {"pass", std::string("forward_backward")}},
                                                  files()));
            const auto comm = single_process();
            cuda::CudaSession session(c, *comm, 0);
            session.run();
            const Outputs first = *session.outputs();
            for (int runs = 0; runs < 5; ++runs) {
                session.poison();
                session.run();
                CHECK(same(*session.outputs(), first));
            }
        }
}

TEST_CASE("gpu: products of experts by warpgroups are those by warps") {
    const cuda::Queue queue;
    const std::vector<std::int32_t> starts{0, 1, 1, 700, 2049, 5000};
    for (const auto& [transposed, gradient] : {std::pair{false, false}, {true, false}, {false, true}}) {
        const cuda::Grouped how{starts.back(), 5, 1032, 1544, transposed, gradient};
        if (!cuda::has_grouped_warpgroup(DType::bf16, how, cuda::device(0))) return;
        const std::int64_t of_rows = how.rows * how.n, of_weights = how.experts * how.k * how.n;
        const auto filled = [&](std::int64_t count, std::uint64_t key) {
            cuda::Memory memory(count * 2);
            cuda::fill(queue.stream(), DType::bf16, memory.data(), count,
                       {Fill::Kind::uniform, 1.0, key, 0, count, count});
            return memory;
        };
        const cuda::Memory x = filled(how.rows * how.k, 1), w = filled(gradient ? of_rows : of_weights, 2),
                           first(static_cast<std::int64_t>(starts.size()) * 4);
        cuda::copy_to_device(first.data(), starts.data(), first.bytes(), queue.stream());
        std::vector<std::vector<std::byte>> found;
        for (const auto kernel : {cuda::grouped_product_units, cuda::grouped_product_warpgroup}) {
            const cuda::Memory y((gradient ? of_weights : of_rows) * 2);
            cuda::set_bytes(y.data(), 0xff, y.bytes(), queue.stream());
            kernel(queue.stream(), DType::bf16, x.data(), w.data(), y.data(),
                   reinterpret_cast<const std::int32_t*>(first.data()), how);
            found.emplace_back(static_cast<std::size_t>(y.bytes()));
            cuda::copy_to_host(found.back().data(), y.data(), y.bytes(), queue.stream());
        }
        double worst = 0;
        for (std::size_t at = 0; at < found[0].size(); at += 2) {
            const double error = std::abs(decode(DType::bf16, &found[0][at]) - decode(DType::bf16, &found[1][at]));
            worst = std::isfinite(error) ? std::max(worst, error) : INFINITY;
        }
        CHECK(worst < 1.0);  // of results up to 80, rounded to 8 bits: half a step of each kernel
    }
}
