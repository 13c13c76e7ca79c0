#pragma once

#include <functional>
#include <vector>

namespace wb {

struct Minimum {
    std::vector<double> at;
    double value = 0;
    int evaluations = 0;
};

/// Nelder and Mead's simplex (Computer Journal 7, 1965), begun again from its own result until that no longer helps.
/// Coordinates stay at 0 or above. `steps` span the first simplex. Deterministic. At least one coordinate.
Minimum minimise(const std::function<double(const std::vector<double>&)>& f, const std::vector<double>& start,
                 const std::vector<double>& steps, int most_evaluations = 400);

}  // namespace wb
