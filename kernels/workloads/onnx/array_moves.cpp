#include "kernels/workloads/onnx/array_moves.hpp"

#include <algorithm>
#include <array>
#include <numeric>
#include <string_view>

namespace wb::onnx_import {
namespace {

using Arrays = std::vector<Array>;

std::vector<std::int64_t> whole(const Array& a) {
    std::vector<std::int64_t> out;
    for (const double x : a.v)
        out.push_back(static_cast<std::int64_t>(std::clamp(x, -4e18, 4e18)));  // "to the end" is 2^63 - 1
    return out;
}

/// What an operator is told by an attribute in old opsets and by its second input in new ones.
std::vector<std::int64_t> told(const std::vector<const Array*>& in, std::size_t at, const NodeAttributes& a,
                               const char* name) {
    return in.size() > at && in[at] ? whole(*in[at]) : a.list(name);
}

Array picked(const Array& x, const Shape& shape, const std::vector<std::int64_t>& strides, std::int64_t offset) {
    Array out = Array::filled(shape, 0);
    for (std::size_t i = 0; i < out.v.size(); ++i) {
        std::int64_t from = offset, rest = static_cast<std::int64_t>(i);
        for (std::size_t d = shape.size(); d-- > 0; rest /= shape[d]) from += rest % shape[d] * strides[d];
        out.v[i] = x.v[static_cast<std::size_t>(from)];
    }
    return out;
}

std::vector<std::int64_t> strides_of(const Shape& shape) {
    std::vector<std::int64_t> out(shape.size(), 1);
    for (std::size_t d = shape.size(); d-- > 1;) out[d - 1] = out[d] * shape[d];
    return out;
}

Array transposed(const Array& x, const NodeAttributes& a) {
    const std::vector<std::int64_t> strides = strides_of(x.shape);
    Shape shape;
    std::vector<std::int64_t> by;
    for (const std::int64_t p : permutation_of(x.shape.size(), a)) {
        shape.push_back(x.shape[p]);
        by.push_back(strides[p]);
    }
    return picked(x, shape, by, 0);
}

Array cut(const Array& x, const std::vector<SliceRange>& ranges) {
    std::vector<std::int64_t> strides = strides_of(x.shape);
    Shape shape;
    std::int64_t offset = 0;
    for (std::size_t d = 0; d < ranges.size(); ++d) {
        offset += ranges[d].first * strides[d];
        strides[d] *= ranges[d].step;
        shape.push_back(ranges[d].count);
    }
    return picked(x, shape, strides, offset);
}

std::optional<Array> gathered(const Array& x, const Array& index, std::int64_t axis, std::size_t most) {
    const std::int64_t d = axis_of(axis, x.shape.size());
    const Shape outer(x.shape.begin(), x.shape.begin() + d), inner(x.shape.begin() + d + 1, x.shape.end());
    Shape shape = outer;
    shape.insert(shape.end(), index.shape.begin(), index.shape.end());
    shape.insert(shape.end(), inner.begin(), inner.end());
    if (static_cast<std::size_t>(elements(shape)) > most) return std::nullopt;
    Array out{shape, {}};
    const std::int64_t run = elements(inner), rows = x.shape[d];
    for (std::int64_t o = 0; o < elements(outer); ++o)
        for (const double raw : index.v) {
            const std::int64_t i = static_cast<std::int64_t>(raw < 0 ? raw + static_cast<double>(rows) : raw);
            if (i < 0 || i >= rows) return std::nullopt;
            const auto from = x.v.begin() + (o * rows + i) * run;
            out.v.insert(out.v.end(), from, from + run);
        }
    return out;
}

std::optional<Array> joined(const std::vector<const Array*>& in, std::int64_t axis, std::size_t most) {
    const std::int64_t d = axis_of(axis, in[0]->shape.size());
    Shape shape = in[0]->shape;
    shape[d] = 0;
    for (const Array* a : in) shape[d] += a->shape.at(d);
    if (static_cast<std::size_t>(elements(shape)) > most) return std::nullopt;
    Array out{shape, {}};
    const std::int64_t outer = elements(Shape(shape.begin(), shape.begin() + d));
    for (std::int64_t o = 0; o < outer; ++o)
        for (const Array* a : in) {
            const std::int64_t run = static_cast<std::int64_t>(a->v.size()) / std::max<std::int64_t>(1, outer);
            out.v.insert(out.v.end(), a->v.begin() + o * run, a->v.begin() + (o + 1) * run);
        }
    return out;
}

std::optional<Array> expanded(const Array& x, const Shape& asked, std::size_t most) {
    const auto shape = broadcast(x.shape, asked);
    if (!shape || static_cast<std::size_t>(elements(*shape)) > most) return std::nullopt;
    Array out = Array::filled(*shape, 0);
    const Walk walk(x.shape, *shape);
    for (std::size_t i = 0; i < out.v.size(); ++i) out.v[i] = x.v[walk(i)];
    return out;
}

std::optional<Array> tiled(const Array& x, const std::vector<std::int64_t>& times, std::size_t most) {
    Shape shape = x.shape;
    for (std::size_t d = 0; d < shape.size(); ++d) shape[d] *= times.at(d);
    if (static_cast<std::size_t>(elements(shape)) > most) return std::nullopt;
    const std::vector<std::int64_t> strides = strides_of(x.shape);
    Array out = Array::filled(shape, 0);
    for (std::size_t i = 0; i < out.v.size(); ++i) {
        std::int64_t from = 0, rest = static_cast<std::int64_t>(i);
        for (std::size_t d = shape.size(); d-- > 0; rest /= shape[d]) from += rest % shape[d] % x.shape[d] * strides[d];
        out.v[i] = x.v[static_cast<std::size_t>(from)];
    }
    return out;
}

Arrays split(const Array& x, const std::vector<const Array*>& in, const NodeAttributes& a, std::size_t outputs) {
    const std::int64_t d = axis_of(a.integer("axis", 0), x.shape.size());
    Arrays out;
    std::int64_t first = 0;
    for (const std::int64_t n : split_sizes(x.shape[d], in, a, outputs)) {
        std::vector<SliceRange> ranges;
        for (const std::int64_t extent : x.shape) ranges.push_back({0, extent, 1});
        ranges[d] = {first, n, 1};
        out.push_back(cut(x, ranges));
        first += n;
    }
    return out;
}

}  // namespace

std::optional<Shape> broadcast(const Shape& a, const Shape& b) {
    Shape out(std::max(a.size(), b.size()), 1);
    for (std::size_t i = 0; i < out.size(); ++i) {
        const std::int64_t x = i < a.size() ? a[a.size() - 1 - i] : 1, y = i < b.size() ? b[b.size() - 1 - i] : 1;
        if (x != y && x != 1 && y != 1) return std::nullopt;
        out[out.size() - 1 - i] = x == 1 ? y : x;
    }
    return out;
}

Walk::Walk(const Shape& from, const Shape& to) : same_(from == to) {
    std::size_t stride = 1;
    for (std::size_t i = 0; i < to.size(); ++i) {
        const auto extent = static_cast<std::size_t>(to[to.size() - 1 - i]);
        const auto own = static_cast<std::size_t>(i < from.size() ? from[from.size() - 1 - i] : 1);
        digits_.push_back({extent, own == 1 ? 0 : stride});
        stride *= own;
    }
}

std::size_t Walk::operator()(std::size_t i) const {
    if (same_) return i;
    std::size_t at = 0;
    for (const Digit& d : digits_) {
        at += i % d.extent * d.stride;
        i /= d.extent;
    }
    return at;
}

bool moves_data(const std::string& op) {
    static constexpr std::array names{"Reshape",   "Squeeze", "Unsqueeze", "Flatten",        "Identity", "Dropout",
                                      "Transpose", "Slice",   "Gather",    "Concat",         "Expand",   "Split",
                                      "Tile",      "Shape",   "Size",      "ConstantOfShape"};
    return std::find(names.begin(), names.end(), std::string_view(op)) != names.end();
}

std::optional<std::vector<Array>> move_data(const std::string& op, const std::vector<const Array*>& in,
                                            const NodeAttributes& a, std::size_t outputs, std::size_t most) {
    const auto one = [](std::optional<Array> x) -> std::optional<Arrays> {
        if (!x) return std::nullopt;
        return Arrays{std::move(*x)};
    };
    const Array& x = *in[0];
    if (op == "Identity" || op == "Dropout") return Arrays{x};
    if (op == "Transpose") return Arrays{transposed(x, a)};
    if (op == "Size") return Arrays{Array::scalar(static_cast<double>(x.v.size()))};
    if (op == "Shape") {
        const std::int64_t rank = static_cast<std::int64_t>(x.shape.size());
        const std::int64_t first = std::clamp<std::int64_t>(axis_of(a.integer("start", 0), x.shape.size()), 0, rank);
        const std::int64_t last =
            std::clamp<std::int64_t>(axis_of(a.integer("end", rank), x.shape.size()), first, rank);
        return Arrays{{{last - first}, {x.shape.begin() + first, x.shape.begin() + last}}};
    }
    if (op == "ConstantOfShape") {
        const Shape shape = whole(x);
        if (static_cast<std::size_t>(elements(shape)) > most) return std::nullopt;
        return Arrays{Array::filled(shape, a.arrays.contains("value") ? a.arrays.at("value").v.at(0) : 0)};
    }
    if (op == "Slice") {
        const auto ranges = slice_ranges(x.shape, in, a);
        if (!ranges) return std::nullopt;
        return Arrays{cut(x, *ranges)};
    }
    for (const Array* other : in)
        if (!other && op == "Concat") return std::nullopt;
    if (op == "Gather") return one(gathered(x, *in.at(1), a.integer("axis", 0), most));
    if (op == "Concat") return one(joined(in, a.integer("axis", 0), most));
    if (op == "Expand") return one(expanded(x, whole(*in.at(1)), most));
    if (op == "Tile") return one(tiled(x, whole(*in.at(1)), most));
    if (op == "Split") return split(x, in, a, outputs);
    const auto shape = reshaped(op, x.shape, in, a);
    if (!shape) return std::nullopt;
    return Arrays{{*shape, x.v}};
}

std::optional<std::vector<SliceRange>> slice_ranges(const Shape& shape, const std::vector<const Array*>& in,
                                                    const NodeAttributes& a) {
    const std::vector<std::int64_t> starts = told(in, 1, a, "starts"), ends = told(in, 2, a, "ends");
    std::vector<std::int64_t> axes = told(in, 3, a, "axes"), steps = told(in, 4, a, "none");
    std::vector<SliceRange> out;
    for (const std::int64_t extent : shape) out.push_back({0, extent, 1});
    if (axes.empty())
        for (std::size_t i = 0; i < starts.size(); ++i) axes.push_back(static_cast<std::int64_t>(i));
    if (starts.size() != ends.size() || axes.size() != starts.size()) return std::nullopt;
    steps.resize(starts.size(), 1);
    for (std::size_t i = 0; i < starts.size(); ++i) {
        const std::int64_t d = axis_of(axes[i], shape.size()), n = shape.at(d), step = steps[i];
        if (step < 1) return std::nullopt;
        const auto clamp = [&](std::int64_t x) { return std::clamp<std::int64_t>(x < 0 ? x + n : x, 0, n); };
        const std::int64_t first = clamp(starts[i]), last = clamp(ends[i]);
        out[d] = {first, std::max<std::int64_t>(0, (last - first + step - 1) / step), step};
    }
    return out;
}

std::vector<std::int64_t> split_sizes(std::int64_t extent, const std::vector<const Array*>& in, const NodeAttributes& a,
                                      std::size_t outputs) {
    std::vector<std::int64_t> sizes = told(in, 1, a, "split");
    if (!sizes.empty()) return sizes;
    const std::int64_t n = static_cast<std::int64_t>(outputs), each = (extent + n - 1) / n;
    for (std::int64_t i = 0; i < n; ++i) sizes.push_back(std::min(each, extent - i * each));
    return sizes;
}

std::optional<Shape> reshaped(const std::string& op, const Shape& shape, const std::vector<const Array*>& in,
                              const NodeAttributes& a) {
    const std::int64_t all = elements(shape);
    Shape out;
    if (op == "Reshape") {
        out = told(in, 1, a, "shape");
        std::int64_t known = 1, open = -1;
        for (std::size_t d = 0; d < out.size(); ++d) {
            if (out[d] == 0 && a.integer("allowzero", 0) == 0) out[d] = d < shape.size() ? shape[d] : 1;
            if (out[d] < 0)
                open = static_cast<std::int64_t>(d);
            else
                known *= out[d];
        }
        if (open >= 0) out[open] = known > 0 ? all / known : 0;
    } else if (op == "Flatten") {
        const std::int64_t d = axis_of(a.integer("axis", 1), shape.size());
        const std::int64_t rows = elements(Shape(shape.begin(), shape.begin() + d));
        out = {rows, rows > 0 ? all / rows : 0};
    } else {
        std::vector<std::int64_t> axes = told(in, 1, a, "axes");
        const bool squeeze = op == "Squeeze";
        const std::size_t rank = squeeze ? shape.size() : shape.size() + axes.size();
        for (std::int64_t& d : axes) d = axis_of(d, rank);
        std::size_t from = 0;
        for (std::size_t d = 0; d < rank; ++d) {
            const bool named = std::find(axes.begin(), axes.end(), static_cast<std::int64_t>(d)) != axes.end();
            if (squeeze && (named || (axes.empty() && shape[d] == 1))) continue;
            out.push_back(squeeze ? shape[d] : named ? 1 : shape.at(from++));
        }
    }
    if (elements(out) != all) return std::nullopt;
    return out;
}

std::vector<std::int64_t> permutation_of(std::size_t rank, const NodeAttributes& a) {
    std::vector<std::int64_t> p = a.list("perm");
    if (p.empty())
        for (std::size_t d = rank; d-- > 0;) p.push_back(static_cast<std::int64_t>(d));
    return p;
}

}  // namespace wb::onnx_import
