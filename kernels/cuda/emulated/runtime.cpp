#include "kernels/cuda/emulated/warpgroup.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <new>

namespace wb::cuda {
namespace {

std::atomic<std::int64_t> held = 0, most_held = 0;  // ranks may be threads

double now_s() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

}  // namespace

Devices devices() { return {1, ""}; }

namespace emulated {
namespace {
int major_version = 8;
}
void set_generation(int major) { major_version = major; }
}  // namespace emulated

Device device(int) {
    Device d;
    d.name = "emulated";
    d.processors = 4;
    d.major = emulated::major_version;
    d.memory_bytes = std::int64_t{1} << 32;
    d.l2_bytes = 1 << 20;
    d.shared_bytes = 227 << 10;
    d.versions = "emulated on the host";
    return d;
}

void use_device(int) {}
int used_device() { return 0; }
void forget_error() {}
std::int64_t free_bytes() { return (std::int64_t{1} << 32) - held; }

Memory::Memory(std::int64_t bytes) : bytes_(bytes) {
    const auto rounded = static_cast<std::size_t>((std::max<std::int64_t>(bytes, 1) + 255) / 256 * 256);
    void* p = std::aligned_alloc(256, rounded);
    if (!p) throw std::bad_alloc();
    std::memset(p, 0xff, rounded);
    data_.reset(static_cast<std::byte*>(p));
    data_.get_deleter().bytes = bytes;
    held += bytes;
    most_held = std::max<std::int64_t>(most_held, held);
}
void Memory::Free::operator()(std::byte* p) const {
    std::free(p);
    held -= bytes;
}
std::int64_t peak_bytes() { return most_held; }
void forget_peak() { most_held = held.load(); }

void copy_to_device(void* to, const void* from, std::int64_t bytes, Stream) {
    std::memcpy(to, from, static_cast<std::size_t>(bytes));
}
void copy_to_host(void* to, const void* from, std::int64_t bytes, Stream) {
    std::memcpy(to, from, static_cast<std::size_t>(bytes));
}
void copy_on_device(void* to, const void* from, std::int64_t bytes, Stream) {
    std::memmove(to, from, static_cast<std::size_t>(bytes));
}
void set_bytes(void* to, unsigned char value, std::int64_t bytes, Stream) {
    std::memset(to, value, static_cast<std::size_t>(bytes));
}

TensorMap tensor_map(const void* base, const BoxShape& shape) {
    WB_EXPECT(reinterpret_cast<std::uintptr_t>(base) % 16 == 0);
    for (const std::int64_t stride : shape.stride_bytes) WB_EXPECT(stride % 16 == 0 && stride > 0);
    for (const int extent : shape.box) WB_EXPECT(extent > 0 && extent <= 256);
    WB_EXPECT(shape.box[0] * 2 == 128);  // at most, with this swizzle; here always
    const emulated::Box box{static_cast<const unsigned char*>(base), shape};
    static_assert(sizeof box <= sizeof(TensorMap) && std::is_trivially_copyable_v<emulated::Box>);
    TensorMap out{};
    std::memcpy(&out, &box, sizeof box);
    return out;
}

Queue::Queue() = default;
Queue::~Queue() = default;
void Queue::wait() const {}
void wait_for(Stream) {}

}  // namespace wb::cuda

struct CUevent_st {
    double at = 0;
};

namespace wb::cuda {

Event::Event() : event_(new CUevent_st) {}
Event::~Event() { delete event_; }
void Event::record(Stream) const { event_->at = now_s(); }
void Event::wait() const {}
double Event::seconds_since(const Event& earlier) const { return event_->at - earlier.event_->at; }

struct Recording::Parts {
    std::function<void()> work;
};
/// The recorded work is done once more instead: what a recording froze by mistake would not show here.
Recording::Recording(Stream, const std::function<void()>& work) : parts_(std::make_unique<Parts>(Parts{work})) {}
Recording::~Recording() = default;
void Recording::play(Stream) const { parts_->work(); }

}  // namespace wb::cuda
