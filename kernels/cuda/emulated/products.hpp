#pragma once

#include <memory>

#include "kernels/cuda/products.hpp"

namespace wb::cuda::emulated {

/// What the library in the place of the vendor's says of its products, until it is told otherwise.
struct Offers {
    bool epilogues = true;                                             ///< beside the bias
    double plain_seconds = 0, fused_seconds = 0, summing_seconds = 0;  ///< of a product in its trial; 0: there was none
};
void set_offers(const Offers& offers);

/// Plain loops in the place of the vendor's library.
std::unique_ptr<Products> make_plain_products();

}  // namespace wb::cuda::emulated
