#pragma once

#include <string>

#include "core/backend.hpp"

namespace wb {

/// What may differ between a backend and the judge: largest |difference| and its root mean square, over the largest
/// magnitude of the tensor, by the coarsest element type the graph computes in. Why these figures: docs/method.md.
double tolerance_of(const Graph& graph);

/// `tolerance` decides what is rounding in an optimizer's moments. Largest error of `got` against `wanted` in units of
/// tolerance's scale; a NaN, an infinity where none is due, a missing or misshapen tensor is infinite. `worst` names
/// the place.
double compare_outputs(const Outputs& got, const Outputs& wanted, double tolerance, std::string& worst);

/// Runs the case once from fresh tensors, outputs poisoned first, and compares with the reference backend: the whole
/// result if the judge can compute it in seconds, else the same workload at Case::small. Collective; rank 0 holds the
/// verdict and shares it. Throws nothing: what goes wrong is a failed verification.
Verification verify_case(const Case& c, const Backend& backend, const Backend& judge, Comm& comm);

}  // namespace wb
