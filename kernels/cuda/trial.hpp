#pragma once

#include <cstddef>
#include <cstdint>

#include "core/element.hpp"
#include "kernels/cuda/kernels.hpp"

namespace wb::cuda {

/// Memory for one operand of a trial, with random values: zeros would be computed with faster than data.
class Trial {
public:
    Trial(std::int64_t count, DType type, Stream stream) : memory_(count * stored_bytes(type)) {
        const bool integers = type == DType::int8 || type == DType::int32;
        fill(stream, type, memory_.data(), count,
             {integers ? Fill::Kind::integers : Fill::Kind::uniform, integers ? 3.0 : 1.0, 1, 0, count, count});
    }
    std::byte* data() const { return memory_.data(); }

private:
    Memory memory_;
};

/// Seconds that one `work` takes on the device, of a few in a row.
template <class Work>
double trial_seconds(Stream stream, const Work& work) {
    constexpr int times = 3;
    const Event start, end;
    work();
    start.record(stream);
    for (int i = 0; i < times; ++i) work();
    end.record(stream);
    end.wait();
    return end.seconds_since(start) / times;
}

}  // namespace wb::cuda
