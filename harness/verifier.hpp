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

/// Runs the prepared session once at its full size, outputs poisoned first: every declared output must be written and
/// finite, and random elements of one-op graphs must be what the judge finds. Collective; adds to `v`, whose error
/// becomes infinite on a failure.
void check_full_size(const Case& c, Session& session, const Backend& judge, Comm& comm, Verification& v);

}  // namespace wb
