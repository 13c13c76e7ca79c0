#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "core/error.hpp"
#include "kernels/cuda/types.hpp"

namespace wb::cuda::emulated {

/// Matrices of 16-bit elements in a block's shared memory, read through the 64 bits that describe them to wgmma (PTX
/// ISA, matrix descriptor and canonical layouts of wgmma): start address, leading and stride byte offset in units of 16
/// bytes, and the swizzle, which exchanges address bits 4 to 6 by bits 7 to 9.
class MatrixReader {
public:
    /// `writers` of words that are not to be read yet; -1: nobody.
    MatrixReader(const unsigned char* memory, std::size_t bytes, bool is_bf16, const std::vector<int>& writers)
        : memory_(memory), bytes_(bytes), is_bf16_(is_bf16), writers_(writers) {}

    float value(std::uint16_t bits) const { return is_bf16_ ? to_float(bf16{bits}) : f16_value(bits); }

    /// Element k of row i, where k runs through neighbours in memory ("K-major"). The leading offset counts without
    /// swizzle alone: the two chunks of 8 elements.
    float by_rows(std::uint64_t descriptor, int i, int k) const {
        const Layout l(descriptor);
        const std::uint64_t chunk = l.chunks == 1 ? k / 8 * l.leading + k % 8 * 2 : static_cast<std::uint64_t>(k) * 2;
        return at(l, static_cast<std::uint64_t>(i % 8) * l.chunks * 16 + static_cast<std::uint64_t>(i / 8) * l.stride +
                         chunk);
    }
    /// Element k of column i, where i runs through neighbours in memory ("MN-major"): groups of `chunks` times 8
    /// neighbours are the leading offset apart, groups of 8 k the stride; without swizzle the other way round.
    float by_columns(std::uint64_t descriptor, int i, int k) const {
        const Layout l(descriptor);
        const int wide = 8 * static_cast<int>(l.chunks);
        const std::uint64_t over_i = l.chunks == 1 ? l.stride : l.leading,
                            over_k = l.chunks == 1 ? l.leading : l.stride;
        return at(l, static_cast<std::uint64_t>(i % wide) * 2 + static_cast<std::uint64_t>(i / wide) * over_i +
                         static_cast<std::uint64_t>(k % 8) * l.chunks * 16 +
                         static_cast<std::uint64_t>(k / 8) * over_k);
    }

private:
    struct Layout {
        std::uint64_t start, leading, stride, chunks;  // chunks of 16 bytes in a row of the pattern
        explicit Layout(std::uint64_t d)
            : start((d & 0x3fffU) << 4), leading((d >> 16 & 0x3fffU) << 4), stride((d >> 32 & 0x3fffU) << 4) {
            constexpr std::uint64_t of_mode[4] = {1, 8, 4, 2};
            chunks = of_mode[d >> 62];
            WB_EXPECT((d >> 49 & 7U) == 0);  // base offset: patterns begin where they repeat
            WB_EXPECT(chunks != 8 || (start >> 7 & 7U) == 0);
        }
    };
    float at(const Layout& l, std::uint64_t offset) const {
        const std::uint64_t linear = l.start + offset, place = linear ^ ((linear >> 7 & (l.chunks - 1)) << 4);
        if (place + 2 > bytes_) throw ContractError("emulated device: a descriptor reaches over shared memory");
        if (writers_[place / 4] >= 0)
            throw ContractError("emulated device: a product reads what a thread wrote without units_fence()");
        std::uint16_t bits;
        std::memcpy(&bits, memory_ + place, sizeof bits);
        return value(bits);
    }

    const unsigned char* memory_;
    std::size_t bytes_;
    bool is_bf16_;
    const std::vector<int>& writers_;
};

}  // namespace wb::cuda::emulated
