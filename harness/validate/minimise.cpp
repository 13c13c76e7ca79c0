#include "harness/validate/minimise.hpp"

#include <algorithm>
#include <cmath>

#include "core/error.hpp"

namespace wb {
namespace {

using Vertex = std::vector<double>;

struct Corner {
    Vertex x;
    double f;
};

class Simplex {
public:
    Simplex(const std::function<double(const Vertex&)>& f, int budget) : f_(f), left_(budget) {}

    Corner run(const Vertex& start, const Vertex& steps) {
        corners_ = {evaluate(start)};
        for (std::size_t i = 0; i < start.size(); ++i) {
            Vertex x = start;
            x[i] += steps[i];
            corners_.push_back(evaluate(x));
        }
        while (left_ > 0 && !settled()) step();
        sort();
        return corners_.front();
    }
    int left() const { return left_; }

private:
    Corner evaluate(Vertex x) {
        for (double& v : x) v = std::max(0.0, v);
        --left_;
        return {x, f_(x)};
    }
    void sort() {
        std::stable_sort(corners_.begin(), corners_.end(), [](const Corner& a, const Corner& b) { return a.f < b.f; });
    }
    bool settled() {
        sort();
        double spread = 0;
        for (const Corner& c : corners_)
            for (std::size_t i = 0; i < c.x.size(); ++i)
                spread = std::max(spread, std::abs(c.x[i] - corners_.front().x[i]) /
                                              std::max(1e-12, std::abs(corners_.front().x[i])));
        return spread < 1e-5;
    }
    Corner along(const Vertex& centre, double t) {
        Vertex x = centre;
        for (std::size_t i = 0; i < x.size(); ++i) x[i] += t * (corners_.back().x[i] - centre[i]);
        return evaluate(x);
    }
    void step() {
        sort();
        Vertex centre(corners_.front().x.size(), 0);
        for (std::size_t c = 0; c + 1 < corners_.size(); ++c)
            for (std::size_t i = 0; i < centre.size(); ++i)
                centre[i] += corners_[c].x[i] / static_cast<double>(corners_.size() - 1);
        const double best = corners_.front().f, second = corners_[corners_.size() - 2].f, worst = corners_.back().f;
        const Corner reflected = along(centre, -1);
        if (reflected.f < best) {
            const Corner expanded = along(centre, -2);
            corners_.back() = expanded.f < reflected.f ? expanded : reflected;
        } else if (reflected.f < second) {
            corners_.back() = reflected;
        } else {
            const Corner contracted = along(centre, reflected.f < worst ? -0.5 : 0.5);
            if (contracted.f < std::min(reflected.f, worst))
                corners_.back() = contracted;
            else
                shrink();
        }
    }
    void shrink() {
        const Vertex best = corners_.front().x;
        for (std::size_t c = 1; c < corners_.size(); ++c) {
            Vertex x = corners_[c].x;
            for (std::size_t i = 0; i < x.size(); ++i) x[i] = 0.5 * (x[i] + best[i]);
            corners_[c] = evaluate(x);
        }
    }

    const std::function<double(const Vertex&)>& f_;
    int left_;
    std::vector<Corner> corners_;
};

}  // namespace

Minimum minimise(const std::function<double(const std::vector<double>&)>& f, const std::vector<double>& start,
                 const std::vector<double>& steps, int most_evaluations) {
    WB_EXPECT(!start.empty() && start.size() == steps.size());
    Simplex simplex(f, most_evaluations);
    Corner best = simplex.run(start, steps);
    std::vector<double> smaller = steps;
    while (simplex.left() > 0) {
        for (double& s : smaller) s *= -0.4;
        const Corner again = simplex.run(best.x, smaller);
        const bool helped = again.f < best.f * (1 - 1e-4);
        if (again.f < best.f) best = again;
        if (!helped) break;
    }
    return {best.x, best.f, most_evaluations - simplex.left()};
}

}  // namespace wb
