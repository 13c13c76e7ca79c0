#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

struct CUstream_st;
struct CUevent_st;

namespace wb::cuda {

// What the backend asks of the CUDA runtime, without its headers: runtime.cpp asks the real one, emulated/runtime.cpp
// plays all of it in the memory of the host. Every call throws Error with the runtime's own words if it fails.

/// A queue of work in order; CUDA's stream under its own type.
using Stream = CUstream_st*;

/// How many devices this process sees, and if none, why.
struct Devices {
    int count = 0;
    std::string why_none;
};
Devices devices();

struct Device {
    std::string name, bus;  ///< bus: "0000:19:00.0", the address that NVML knows it by
    int processors = 0, major = 0, minor = 0;
    std::int64_t memory_bytes = 0, l2_bytes = 0, shared_bytes = 0;  ///< shared: of a block at most, asked for
    std::string versions;                                           ///< of driver and runtime
};
Device device(int index);
/// Work of this thread goes to this device from now on.
void use_device(int index);
int used_device();
std::int64_t free_bytes();

/// Device memory on 256-byte boundaries.
class Memory {
public:
    Memory() = default;
    explicit Memory(std::int64_t bytes);
    std::byte* data() const { return data_.get(); }
    std::int64_t bytes() const { return bytes_; }

private:
    struct Free {
        std::int64_t bytes;
        void operator()(std::byte* p) const;
    };
    std::unique_ptr<std::byte[], Free> data_;
    std::int64_t bytes_ = 0;
};

/// The most bytes of Memory held at once in this process.
std::int64_t peak_bytes();
void forget_peak();

void copy_to_device(void* to, const void* from, std::int64_t bytes, Stream stream);
void copy_to_host(void* to, const void* from, std::int64_t bytes, Stream stream);  ///< returns when they are there
void copy_on_device(void* to, const void* from, std::int64_t bytes, Stream stream);
void set_bytes(void* to, unsigned char value, std::int64_t bytes, Stream stream);

/// A tensor of 16-bit elements in device memory and the box of it that one bulk copy takes, dimensions from the
/// innermost on. The box's rows of 64 elements come to shared memory with their 16-byte chunks exchanged by the address
/// (128-byte swizzle). Made on the host, given to a kernel by value.
struct BoxShape {
    std::array<std::int64_t, 4> extent;
    std::array<std::int64_t, 3> stride_bytes;  ///< of dimensions 1 to 3, multiples of 16
    std::array<int, 4> box;
};
struct alignas(64) TensorMap {
    std::array<std::uint64_t, 16> opaque;
};
TensorMap tensor_map(const void* base, const BoxShape& shape);

void wait_for(Stream stream);
/// A failure that was dealt with must not be taken for a later call's.
void forget_error();

class Queue {
public:
    Queue();
    ~Queue();
    Queue(const Queue&) = delete;
    Queue& operator=(const Queue&) = delete;
    Stream stream() const { return stream_; }
    void wait() const;

private:
    Stream stream_ = nullptr;
};

/// A point in a queue, with its time on the device's clock.
class Event {
public:
    Event();
    ~Event();
    Event(Event&& other) noexcept : event_(other.event_) { other.event_ = nullptr; }
    Event& operator=(Event&&) = delete;
    void record(Stream stream) const;
    void wait() const;
    double seconds_since(const Event& earlier) const;

private:
    CUevent_st* event_ = nullptr;
};

/// Work recorded once and played again with one call (a CUDA graph).
class Recording {
public:
    /// `work` may only put work into `stream`. Throws Error if something in it cannot be recorded.
    Recording(Stream stream, const std::function<void()>& work);
    ~Recording();
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;
    void play(Stream stream) const;

private:
    struct Parts;
    std::unique_ptr<Parts> parts_;
};

}  // namespace wb::cuda
