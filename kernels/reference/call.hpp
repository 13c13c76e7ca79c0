#pragma once

#include <cstdint>
#include <vector>

#include "core/element.hpp"
#include "core/op.hpp"

namespace wb::reference {

/// One tensor instance, row-major, as an op sees it. Every value is a double whatever the tensor's type.
struct View {
    const Shape* shape;
    DType dtype;
    double* data;

    std::int64_t size() const { return elements(*shape); }
    std::int64_t dim(int d) const { return shape->at(d < 0 ? shape->size() + d : d); }
    std::int64_t columns() const { return shape->back(); }
    std::int64_t rows() const { return size() / columns(); }
    double* row(std::int64_t r) const { return data + r * columns(); }
    std::int64_t integer(std::int64_t i) const { return static_cast<std::int64_t>(data[i]); }
};

/// One execution of an op. An output that is also an input shares its memory; every other output is all zeros.
struct Call {
    OpKind kind;
    const Attributes& a;
    std::vector<View> in, out;
    std::int64_t step;  ///< 1 in the first run of a session, 2 in the second, ...
};

}  // namespace wb::reference
