#include "kernels/cuda/runtime.hpp"

#include <cuda.h>
#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <cstring>

#include "kernels/cuda/check.hpp"

namespace wb::cuda {
namespace {

std::atomic<std::int64_t> held = 0, most_held = 0;

std::string version(int number) { return fmt::format("{}.{}", number / 1000, number % 1000 / 10); }

}  // namespace

Devices devices() {
    Devices out;
    const cudaError_t code = cudaGetDeviceCount(&out.count);
    if (code != cudaSuccess) {
        out.count = 0;
        out.why_none = fmt::format("{} [{}]", cudaGetErrorString(code), cudaGetErrorName(code));
        cudaGetLastError();  // it must not be taken for a later call's
    } else if (out.count == 0) {
        out.why_none = "the driver sees none";
    }
    return out;
}

Device device(int index) {
    cudaDeviceProp p{};
    check(cudaGetDeviceProperties(&p, index), "the properties of a device");
    char bus[32] = {};
    check(cudaDeviceGetPCIBusId(bus, sizeof bus, index), "the bus address of a device");
    int driver = 0, runtime = 0;
    check(cudaDriverGetVersion(&driver), "the driver's version");
    check(cudaRuntimeGetVersion(&runtime), "the runtime's version");
    Device out;
    out.name = p.name;
    out.bus = bus;
    out.processors = p.multiProcessorCount;
    out.major = p.major;
    out.minor = p.minor;
    out.memory_bytes = static_cast<std::int64_t>(p.totalGlobalMem);
    out.l2_bytes = p.l2CacheSize;
    out.shared_bytes = static_cast<std::int64_t>(p.sharedMemPerBlockOptin);
    out.versions = fmt::format("CUDA {} (driver for {})", version(runtime), version(driver));
    return out;
}

void use_device(int index) { check(cudaSetDevice(index), "choosing a device"); }
int used_device() {
    int device = 0;
    check(cudaGetDevice(&device), "the device in use");
    return device;
}
void forget_error() { cudaGetLastError(); }

std::int64_t free_bytes() {
    std::size_t free = 0, total = 0;
    check(cudaMemGetInfo(&free, &total), "free device memory");
    return static_cast<std::int64_t>(free);
}

Memory::Memory(std::int64_t bytes) : bytes_(bytes) {
    void* p = nullptr;
    check(cudaMalloc(&p, static_cast<std::size_t>(std::max<std::int64_t>(bytes, 1))), "allocating device memory");
    data_.reset(static_cast<std::byte*>(p));
    data_.get_deleter().bytes = bytes;
    const std::int64_t now = held += bytes;
    for (std::int64_t most = most_held; now > most && !most_held.compare_exchange_weak(most, now);) {
    }
}

void Memory::Free::operator()(std::byte* p) const {
    cudaFree(p);  // an error here is one of earlier work, told by the next call that may throw
    held -= bytes;
}

std::int64_t peak_bytes() { return most_held; }
void forget_peak() { most_held = held.load(); }

void copy_to_device(void* to, const void* from, std::int64_t bytes, Stream stream) {
    check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyHostToDevice, stream),
          "copying to the device");
    check(cudaStreamSynchronize(stream), "copying to the device");  // `from` may go away
}

void copy_to_host(void* to, const void* from, std::int64_t bytes, Stream stream) {
    check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToHost, stream),
          "copying from the device");
    check(cudaStreamSynchronize(stream), "copying from the device");
}

void copy_on_device(void* to, const void* from, std::int64_t bytes, Stream stream) {
    check(cudaMemcpyAsync(to, from, static_cast<std::size_t>(bytes), cudaMemcpyDeviceToDevice, stream),
          "copying on the device");
}

void set_bytes(void* to, unsigned char value, std::int64_t bytes, Stream stream) {
    check(cudaMemsetAsync(to, value, static_cast<std::size_t>(bytes), stream), "setting device memory");
}

TensorMap tensor_map(const void* base, const BoxShape& shape) {
    static_assert(sizeof(TensorMap) == sizeof(CUtensorMap));
    static const auto encode = [] {  // asked of the driver, so that nothing needs it to start
        void* found = nullptr;
        cudaDriverEntryPointQueryResult answer{};
#if CUDART_VERSION >= 12050
        check(cudaGetDriverEntryPointByVersion("cuTensorMapEncodeTiled", &found, 12000, cudaEnableDefault, &answer),
              "the driver's tensor maps");
#else
        check(cudaGetDriverEntryPoint("cuTensorMapEncodeTiled", &found, cudaEnableDefault, &answer),
              "the driver's tensor maps");
#endif
        if (!found) throw Error({"a tensor map", "this driver makes none", "bulk copies need them", ""}, Exit::failed);
        return reinterpret_cast<decltype(&cuTensorMapEncodeTiled)>(found);
    }();
    cuuint64_t extent[4], stride[3];
    cuuint32_t box[4];
    const cuuint32_t step[4] = {1, 1, 1, 1};
    for (std::size_t i = 0; i < 4; ++i) {
        extent[i] = static_cast<cuuint64_t>(shape.extent[i]);
        box[i] = static_cast<cuuint32_t>(shape.box[i]);
        if (i < 3) stride[i] = static_cast<cuuint64_t>(shape.stride_bytes[i]);
    }
    CUtensorMap map;
    const CUresult code = encode(&map, CU_TENSOR_MAP_DATA_TYPE_UINT16, 4, const_cast<void*>(base), extent, stride, box,
                                 step, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                                 CU_TENSOR_MAP_L2_PROMOTION_L2_256B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE);
    if (code != CUDA_SUCCESS)
        throw Error({"a tensor map", fmt::format("the driver refuses it [{}]", static_cast<int>(code)),
                     "a call of CUDA failed", ""},
                    Exit::failed);
    TensorMap out;
    std::memcpy(&out, &map, sizeof out);
    return out;
}

Queue::Queue() { check(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "a stream"); }
Queue::~Queue() { cudaStreamDestroy(stream_); }
void Queue::wait() const { wait_for(stream_); }
void wait_for(Stream stream) { check(cudaStreamSynchronize(stream), "work on the device"); }

Event::Event() { check(cudaEventCreate(&event_), "an event"); }
Event::~Event() {
    if (event_) cudaEventDestroy(event_);
}
void Event::record(Stream stream) const { check(cudaEventRecord(event_, stream), "recording an event"); }
void Event::wait() const { check(cudaEventSynchronize(event_), "work on the device"); }
double Event::seconds_since(const Event& earlier) const {
    float milliseconds = 0;
    check(cudaEventElapsedTime(&milliseconds, earlier.event_, event_), "the time between two events");
    return 1e-3 * static_cast<double>(milliseconds);
}

struct Recording::Parts {
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t program = nullptr;
    ~Parts() {
        if (program) cudaGraphExecDestroy(program);
        if (graph) cudaGraphDestroy(graph);
    }
};

Recording::Recording(Stream stream, const std::function<void()>& work) : parts_(std::make_unique<Parts>()) {
    check(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal), "recording a CUDA graph");
    try {
        work();
    } catch (...) {
        cudaStreamEndCapture(stream, &parts_->graph);
        cudaGetLastError();
        throw;
    }
    check(cudaStreamEndCapture(stream, &parts_->graph), "recording a CUDA graph");
    check(cudaGraphInstantiate(&parts_->program, parts_->graph, 0), "making a CUDA graph ready");
}
Recording::~Recording() = default;
void Recording::play(Stream stream) const { check(cudaGraphLaunch(parts_->program, stream), "a CUDA graph"); }

}  // namespace wb::cuda
