#include "kernels/cuda/emulated/products.hpp"

namespace wb::cuda {

std::unique_ptr<Products> make_products() { return emulated::make_plain_products(); }

}  // namespace wb::cuda
