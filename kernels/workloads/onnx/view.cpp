#include "kernels/workloads/onnx/view.hpp"

#include <algorithm>

namespace wb::onnx_import {
namespace {

void append(View::Axis& to, View::Digit digit) {
    if (digit.extent == 1) return;
    if (!to.empty() && to.back().stride == digit.stride * digit.extent)
        to.back() = {to.back().extent * digit.extent, digit.stride};
    else
        to.push_back(digit);
}

std::int64_t extent(const View::Axis& axis) {
    std::int64_t n = 1;
    for (const View::Digit& d : axis) n *= d.extent;
    return n;
}

}  // namespace

View View::dense(int base, const Shape& shape) {
    View v;
    v.base = base;
    v.axes.resize(shape.size());
    std::int64_t stride = 1;
    for (std::size_t d = shape.size(); d-- > 0; stride *= shape[d])
        if (shape[d] > 1) v.axes[d] = {{shape[d], stride}};
    return v;
}

Shape View::shape() const {
    Shape out;
    for (const Axis& axis : axes) out.push_back(extent(axis));
    return out;
}

View::Axis View::flat() const {
    Axis out;
    for (const Axis& axis : axes)
        for (const Digit& d : axis) append(out, d);
    return out;
}

std::optional<View> View::reshaped(const Shape& to) const {
    Axis rest = flat();
    View out = *this;
    out.axes.assign(to.size(), {});
    for (std::size_t d = to.size(); d-- > 0;) {
        std::int64_t need = to[d];
        Axis axis;
        while (need > 1) {
            if (rest.empty()) return std::nullopt;
            Digit& last = rest.back();
            if (need % last.extent == 0) {
                need /= last.extent;
                axis.push_back(last);
                rest.pop_back();
            } else if (last.extent % need == 0) {
                axis.push_back({need, last.stride});
                last = {last.extent / need, last.stride * need};
                need = 1;
            } else {
                return std::nullopt;
            }
        }
        std::reverse(axis.begin(), axis.end());
        out.axes[d] = axis;
    }
    if (!rest.empty()) return std::nullopt;
    return out;
}

View View::transposed(const std::vector<std::int64_t>& order) const {
    View out = *this;
    for (std::size_t d = 0; d < order.size(); ++d) out.axes[d] = axes.at(static_cast<std::size_t>(order[d]));
    return out;
}

std::optional<View> View::cut(std::size_t axis, std::int64_t first, std::int64_t count) const {
    View out = *this;
    Axis digits;
    for (const Digit& d : axes.at(axis)) append(digits, d);
    const std::int64_t all = extent(digits);
    if (first == 0 && count == all) return out;
    std::int64_t inner = digits.empty() ? 1 : all / digits.front().extent;
    if (count < 1 || first % inner != 0 || count % inner != 0) {
        if (count < 1 || digits.size() < 2 || first / inner != (first + count - 1) / inner) return std::nullopt;
        out.offset += first / inner * digits.front().stride;  // inside one step of the slowest digit
        out.axes[axis].assign(digits.begin() + 1, digits.end());
        return out.cut(axis, first % inner, count);
    }
    if (digits.empty()) return out;
    out.offset += first / inner * digits.front().stride;
    digits.front().extent = count / inner;
    if (digits.front().extent == 1) digits.erase(digits.begin());
    out.axes[axis] = digits;
    return out;
}

std::optional<View> View::expanded(const Shape& to) const {
    View out = *this;
    while (out.axes.size() < to.size()) out.axes.insert(out.axes.begin(), Axis{});
    for (std::size_t d = 0; d < to.size(); ++d) {
        const std::int64_t now = extent(out.axes[d]);
        if (now == to[d] || to[d] == 1) continue;
        if (now != 1) return std::nullopt;
        out.axes[d] = {{to[d], 0}};
    }
    return out;
}

std::int64_t Columns::count() const { return extent(digits); }

std::optional<Columns> columns_of(const View& view, std::int64_t rows, std::int64_t columns) {
    if (view.offset >= columns) return std::nullopt;
    Columns out{view.offset, {}};
    std::int64_t row = rows * columns;  // the step of the digit before
    std::int64_t seen = 1, last = view.offset;
    View::Axis split;  // digits that run over the end of a row, parted there
    for (const View::Digit& d : view.flat()) {
        const std::int64_t within = d.stride > 0 && columns % d.stride == 0 ? columns / d.stride : 0;
        if (d.stride < columns && within > 1 && d.extent > within && d.extent % within == 0) {
            split.push_back({d.extent / within, columns});
            split.push_back({within, d.stride});
        } else {
            split.push_back(d);
        }
    }
    for (const View::Digit& d : split) {
        if (d.stride >= columns) {
            if (!out.digits.empty() || d.stride * d.extent != row) return std::nullopt;
            row = d.stride;
            seen *= d.extent;
        } else {
            if (d.stride == 0) return std::nullopt;
            out.digits.push_back(d);
            last += (d.extent - 1) * d.stride;
        }
    }
    if (seen != rows || last >= columns) return std::nullopt;
    return out;
}

}  // namespace wb::onnx_import
