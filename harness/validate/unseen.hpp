#pragma once

#include <vector>

#include "harness/validate/bands.hpp"
#include "harness/validate/fitter.hpp"

namespace wb {

/// How far backends are off on systems they have seen no measurement of. A system that no fit was made on counts as it
/// is stored. One that has fits is predicted again with the constants they derive replaced by those of a relative: a
/// system of its kind whose own fits derive at least half of them; once for each such relative. `rows`: as judged with
/// the constants stored; `seen`: those of them that count for bands. Systems are as before afterwards.
std::vector<BandSample> unseen_samples(const std::vector<Judged>& rows, const std::vector<BandSample>& seen,
                                       const std::vector<FitSpec>& fits, SystemBook& systems, CaseMaker& make,
                                       Predictor& predictor, const std::vector<Point>& published);

}  // namespace wb
