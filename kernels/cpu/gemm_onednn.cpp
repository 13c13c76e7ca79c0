#include <oneapi/dnnl/dnnl.hpp>

#include "core/error.hpp"
#include "kernels/cpu/gemm_engine.hpp"

namespace wb::cpu {

namespace {

using DataType = dnnl::memory::data_type;
using Dims = dnnl::memory::dims;

std::string version() {
    const dnnl_version_t* v = dnnl_version();
    return "oneDNN " + std::to_string(v->major) + "." + std::to_string(v->minor) + "." + std::to_string(v->patch);
}

DataType in_type(GemmType type) {
    if (type == GemmType::f32) return DataType::f32;
    return type == GemmType::int8_int32 ? DataType::s8 : DataType::bf16;
}

DataType out_type(GemmType type) {
    if (type == GemmType::bf16) return DataType::bf16;
    return type == GemmType::int8_int32 ? DataType::s32 : DataType::f32;
}

/// A matrix of rows x cols per batch, stored transposed or not; a shared operand has one batch. `step`: from row to row
/// of one that is not transposed, 0 where they follow each other.
dnnl::memory::desc describe(std::int64_t batch, std::int64_t rows, std::int64_t cols, bool trans, std::int64_t stride,
                            DataType type, std::int64_t step = 0) {
    const Dims steps = trans ? Dims{1, rows} : Dims{step > 0 ? step : cols, 1};
    if (batch == 1) return {Dims{rows, cols}, type, steps};
    const std::int64_t batches = stride == 0 ? 1 : batch;
    return {Dims{batches, rows, cols}, type, Dims{stride == 0 ? rows * cols : stride, steps[0], steps[1]}};
}

class OneDnnMatmul final : public GemmEngine {
public:
    OneDnnMatmul(const GemmShape& s, GemmType type, int threads, RowSteps steps = {}) : threads_(threads) {
        const ThreadScope scope(threads);
        const auto a = describe(s.batch, s.m, s.k, s.trans_a, s.stride_a, in_type(type), steps.a);
        const auto b = describe(s.batch, s.k, s.n, s.trans_b, s.stride_b, in_type(type));
        const auto c = describe(s.batch, s.m, s.n, false, s.stride_c, out_type(type), steps.c);
        dnnl::primitive_attr attributes;
        attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
        if (s.accumulate) {
            dnnl::post_ops sum;
            sum.append_sum(1.0F);
            attributes.set_post_ops(sum);
        }
        const Dims bias_dims = s.batch == 1 ? Dims{1, s.n} : Dims{1, 1, s.n};
        const Dims bias_steps = s.batch == 1 ? Dims{s.n, 1} : Dims{s.n, s.n, 1};
        const dnnl::memory::desc bias(bias_dims, out_type(type), bias_steps);
        const auto what = s.bias ? dnnl::matmul::desc(a, b, bias, c) : dnnl::matmul::desc(a, b, c);
        const dnnl::matmul::primitive_desc prepared(what, attributes, engine_);
        matmul_ = dnnl::matmul(prepared);
        implementation_ = prepared.impl_info_str();
        scratch_ = dnnl::memory(prepared.scratchpad_desc(), engine_);
        add(DNNL_ARG_SRC, a);
        add(DNNL_ARG_WEIGHTS, b);
        add(DNNL_ARG_DST, c);
        if (s.bias) add(DNNL_ARG_BIAS, bias);
        arguments_.push_back({DNNL_ARG_SCRATCHPAD, scratch_.get()});
    }

    void run(const void* a, const void* b, const void* bias, void* c) override {
        const ThreadScope scope(threads_);
        set(0, a);
        set(1, b);
        set(2, c);
        if (memories_.size() > 3) set(3, bias);
        // The C call: the C++ one builds a map's copy at every execution.
        const auto status = dnnl_primitive_execute(matmul_.get(), stream_.get(), static_cast<int>(arguments_.size()),
                                                   arguments_.data());
        if (status != dnnl_success) throw Error({version(), "a prepared product failed to run", "", ""}, Exit::failed);
    }

    std::string library() const override { return version() + " matmul " + implementation_; }

private:
    void add(int argument, const dnnl::memory::desc& desc) {
        memories_.push_back(dnnl::memory(desc, engine_, DNNL_MEMORY_NONE));
        arguments_.push_back({argument, memories_.back().get()});
    }
    void set(std::size_t i, const void* data) {
        dnnl_memory_set_data_handle_v2(memories_[i].get(), const_cast<void*>(data), stream_.get());
    }

    int threads_;
    dnnl::engine engine_{dnnl::engine::kind::cpu, 0};
    dnnl::stream stream_{engine_};
    dnnl::matmul matmul_;
    dnnl::memory scratch_;
    std::vector<dnnl::memory> memories_;
    std::vector<dnnl_exec_arg_t> arguments_;
    std::string implementation_;
};

class OneDnnSgemm final : public GemmEngine {
public:
    OneDnnSgemm(const GemmShape& shape, int threads) : shape_(shape), threads_(threads) {}

    void run(const void* a, const void* b, const void* bias, void* c) override {
        const ThreadScope scope(threads_);
        const GemmShape& s = shape_;
        if (s.bias) place_bias(s, static_cast<const float*>(bias), static_cast<float*>(c), threads_);
        const float beta = s.bias || s.accumulate ? 1.0F : 0.0F;
        for (std::int64_t i = 0; i < s.batch; ++i) {
            onednn_sgemm({s.trans_a, s.trans_b, s.m, s.n, s.k, static_cast<const float*>(a) + i * s.stride_a,
                          s.trans_a ? s.m : s.k, static_cast<const float*>(b) + i * s.stride_b, s.trans_b ? s.k : s.n,
                          beta, static_cast<float*>(c) + i * s.stride_c, s.n});
        }
    }

    std::string library() const override { return version() + " sgemm"; }

private:
    GemmShape shape_;
    int threads_;
};

}  // namespace

void onednn_sgemm(const BlasProduct<float>& p) {
    const auto status = dnnl_sgemm(p.trans_a ? 'T' : 'N', p.trans_b ? 'T' : 'N', p.m, p.n, p.k, 1.0F, p.a, p.lda, p.b,
                                   p.ldb, p.beta, p.c, p.ldc);
    if (status != dnnl_success) throw Error({version(), "sgemm failed", "", ""}, Exit::failed);
}

std::unique_ptr<GemmEngine> make_onednn_matmul(const GemmShape& shape, GemmType type, int threads) {
    return make_onednn_matmul(shape, type, threads, {});
}

std::unique_ptr<GemmEngine> make_onednn_matmul(const GemmShape& shape, GemmType type, int threads, RowSteps steps) {
    if (type == GemmType::f64) return nullptr;
    try {
        return std::make_unique<OneDnnMatmul>(shape, type, threads, steps);
    } catch (const dnnl::error&) {
        return nullptr;
    }
}

std::unique_ptr<GemmEngine> make_onednn_sgemm(const GemmShape& shape, GemmType type, int threads) {
    if (type != GemmType::f32) return nullptr;
    return std::make_unique<OneDnnSgemm>(shape, threads);
}

}  // namespace wb::cpu
