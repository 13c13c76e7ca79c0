// The real backend on a real device. Without one the program says why and ends with the code that ctest takes for
// "skipped". Its other tests are those of session_test.cpp, which here run on the device as well.
#define DOCTEST_CONFIG_IMPLEMENT
#include <cstdio>

#include "core/element.hpp"
#include "core/fill.hpp"
#include "kernels/cuda/kernels.hpp"
#include "kernels/cuda/products.hpp"
#include "kernels/cuda/trial.hpp"
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
        c.system = std::make_shared<const System>(load_system(files().find("systems/a40.toml")));
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
    for (const char* type : {"bf16", "f16"}) {
        for (const char* op : {"softmax", "layernorm", "rmsnorm", "gelu", "silu_mul", "add", "rope"})
            check("vector", {{"op", std::string(op)}, {"rows", 700_i}, {"cols", 4096_i}, {"heads", 32_i}}, type, 1);
        for (const std::int64_t d : {64_i, 128_i, 256_i})
            for (const bool causal : {false, true})
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
        for (const std::int64_t d : {64_i, 128_i, 256_i})
            for (const std::int64_t heads : {2_i, 16_i, 40_i})
                check("attention",
                      {{"batch", 2_i},
                       {"heads", heads},
                       {"kv_heads", 2_i},
                       {"seq_q", 1_i},
                       {"seq_kv", 3001_i},
                       {"head_dim", d},
                       {"causal", true}},
                      type, 1);
    }
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

namespace {

using cuda::Epilogue;
using Activation = Epilogue::Activation;
using Summed = Fusion::Summed;

std::vector<double> on_host(const cuda::Memory& memory, DType type, std::int64_t count, cuda::Stream stream) {
    const std::int64_t each = stored_bytes(type);
    std::vector<std::byte> bytes(static_cast<std::size_t>(count * each));
    cuda::copy_to_host(bytes.data(), memory.data(), count * each, stream);
    std::vector<double> out;
    for (std::int64_t i = 0; i < count; ++i) out.push_back(decode(type, bytes.data() + i * each));
    return out;
}

double farthest(const std::vector<double>& x, const std::vector<double>& y) {
    double distance = 0, size = 0;
    for (std::size_t i = 0; i < x.size(); ++i) {
        if (!std::isfinite(x[i])) return INFINITY;
        distance = std::max(distance, std::abs(x[i] - y[i]));
        size = std::max(size, std::abs(y[i]));
    }
    return distance / size;
}

/// A product with its epilogue by the library, and the same by the library's product and own kernels.
struct TwoWays {
    cuda::Queue queue;
    cuda::Memory y, kept, sum, y_apart, kept_apart, sum_apart, scratch;

    TwoWays(cuda::Products& products, const cuda::ProductShape& s) {
        const cuda::Stream stream = queue.stream();
        const DType type = s.out;
        const std::int64_t count = s.m * s.n, longest = std::max(s.m, s.n);
        const cuda::Trial a(s.m * s.k, type, stream), b(s.k * s.n, type, stream), bias(s.n, type, stream),
            added(count, type, stream), argument(count, type, stream);
        for (cuda::Memory* m : {&y, &kept, &y_apart, &kept_apart}) *m = poisoned(count, type);
        for (cuda::Memory* m : {&sum, &sum_apart}) *m = poisoned(longest, type);
        const bool backward = s.epilogue.activation == Activation::gelu_backward;
        products.run(products.prepare(s, 256, stream),
                     {a.data(), b.data(), y.data(), bias.data(), added.data(), backward ? argument.data() : kept.data(),
                      sum.data()},
                     stream);
        cuda::ProductShape plain = s;
        plain.epilogue = {};
        products.run(products.prepare(plain, 256, stream), {a.data(), b.data(), kept_apart.data(), bias.data()},
                     stream);
        void* const out = y_apart.data();
        const void* const product = kept_apart.data();
        if (s.epilogue.add) {
            cuda::add(stream, type, product, added.data(), out, count);
        } else if (s.epilogue.activation == Activation::gelu) {
            cuda::gelu(stream, type, product, out, count, true);
        } else if (backward) {
            cuda::gelu_backward(stream, type, product, argument.data(), out, count, true);
        } else {
            cuda::copy_on_device(out, product, count * stored_bytes(type), stream);
        }
        const auto columns = [&](const void* x, const cuda::Matrix& shape) {
            scratch = cuda::Memory(4 * cuda::column_scratch(shape));
            cuda::sum_rows(stream, type, x, sum_apart.data(), reinterpret_cast<float*>(scratch.data()), shape);
        };
        if (s.epilogue.sum == Summed::result) columns(out, {s.m, s.n});
        if (s.epilogue.sum == Summed::first) columns(a.data(), {s.k, s.m});
        if (s.epilogue.sum == Summed::second) columns(b.data(), {s.k, s.n});
        queue.wait();
    }

    cuda::Memory poisoned(std::int64_t count, DType type) const {
        cuda::Memory memory(count * stored_bytes(type));
        cuda::set_bytes(memory.data(), 0xff, memory.bytes(), queue.stream());
        return memory;
    }
};

}  // namespace

TEST_CASE("gpu: products with the epilogues that the library offers are the same by separate kernels") {
    const auto products = cuda::make_products();
    const cuda::Queue queue;
    int offered = 0, refused = 0;
    for (const DType type : {DType::bf16, DType::f16, DType::f32})
        for (int layout = 0; layout < 8; ++layout)
            for (const Epilogue& e : {Epilogue{Activation::gelu, false, false, Summed::none},
                                      Epilogue{Activation::gelu, true, false, Summed::none},
                                      Epilogue{Activation::gelu_backward, false, false, Summed::none},
                                      Epilogue{Activation::gelu_backward, false, false, Summed::result},
                                      Epilogue{Activation::none, false, true, Summed::none},
                                      Epilogue{Activation::none, false, false, Summed::first},
                                      Epilogue{Activation::none, false, false, Summed::second}}) {
                cuda::ProductShape s{384, 640, 256, 1, layout % 2 == 1, layout / 2 % 2 == 1, layout / 4 == 1};
                s.in = s.out = type;
                s.epilogue = e;
                s.lie_densely();
                if (e.sum == Summed::first && !s.trans_a) continue;
                if (e.sum == Summed::second && s.trans_b) continue;
                const bool found = products->find(s, 256, queue.stream()).has_value();
                ++(found ? offered : refused);
                if (!found) continue;
                CAPTURE(name(type));
                CAPTURE(layout);
                CAPTURE(static_cast<int>(e.activation));
                CAPTURE(static_cast<int>(e.sum));
                const TwoWays two(*products, s);
                const double tolerance = type == DType::f32 ? 3e-4 : 2e-2;
                const std::int64_t count = s.m * s.n;
                const auto far = [&](const cuda::Memory& x, const cuda::Memory& y, std::int64_t n) {
                    return farthest(on_host(x, type, n, queue.stream()), on_host(y, type, n, queue.stream()));
                };
                CHECK(far(two.y, two.y_apart, count) < tolerance);
                if (e.kept) CHECK(far(two.kept, two.kept_apart, count) < tolerance);
                if (e.sum != Summed::none)
                    CHECK(far(two.sum, two.sum_apart, e.sum == Summed::first ? s.m : s.n) < tolerance);
            }
    MESSAGE(offered, " offered, ", refused, " refused");
    CHECK(offered >= 16);  // GELU and a matrix added, in bf16 and f16 at least
}
