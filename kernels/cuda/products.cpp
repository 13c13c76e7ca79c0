#include "kernels/cuda/products.hpp"

#include <fmt/format.h>

#include "core/error.hpp"

namespace wb::cuda {

bool uses_argument(const Epilogue& e) { return e.kept || e.activation == Epilogue::Activation::gelu_backward; }

bool has_word(const ProductShape& s) {
    using Activation = Epilogue::Activation;
    using Summed = Fusion::Summed;
    const Epilogue& e = s.epilogue;
    const bool backward = e.activation == Activation::gelu_backward, sums = e.sum != Summed::none;
    if (e.activation != Activation::none && e.add) return false;
    if (backward && s.bias) return false;
    if (sums && (s.bias || s.batch > 1 || e.activation == Activation::gelu)) return false;
    if (sums && (e.sum == Summed::result) != backward) return false;
    return !uses_argument(e) || (s.y_row % 8 == 0 && (s.batch == 1 || s.y_batch % 8 == 0));
}

int Products::prepare(const ProductShape& s, int alignment, Stream stream) {
    if (const std::optional<Way> way = find(s, alignment, stream)) return way->id;
    throw Error(
        {"a product",
         fmt::format("{} has no algorithm for {} [{}, {}] x [{}, {}]", library(), name(s.in), s.m, s.k, s.k, s.n),
         "the case cannot run on this device", ""},
        Exit::failed);
}

}  // namespace wb::cuda
