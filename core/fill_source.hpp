#pragma once

#include <cstdint>
#include <string>

namespace wb {

/// Where the first values of a tensor come from if not from a hash: the weights of a trained model, for one.
class FillSource {
public:
    virtual ~FillSource() = default;
    /// Element `i` (row-major, of the whole tensor however it is cut) of an instance. Safe to call from many threads.
    virtual double value(std::int64_t instance, std::int64_t i) const = 0;
    /// Enters the fingerprint: equal for equal values, wherever and under whatever name they are kept.
    virtual std::string digest() const = 0;
};

}  // namespace wb
