#pragma once

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/case.hpp"
#include "core/workload.hpp"
#include "harness/validate/conditions.hpp"
#include "harness/validate/question.hpp"
#include "harness/validate/system_book.hpp"

namespace wb {

/// On what and how a row ran.
struct Setting {
    std::shared_ptr<const System> system;
    int units = 1;
    bool units_known = true;
    Mapping mapping;
};

/// Makes cases as a run does: the same workloads, the same system files, one graph for all systems of the same types.
class CaseMaker {
public:
    CaseMaker(const Files& files, SystemBook& systems, std::vector<Condition> conditions);

    /// System, units and mapping as the row states them.
    Setting setting(const Point& point) { return setting(point, point.system); }
    Setting setting(const Point& point, const std::string& system);
    /// Throws Unanswerable where a type is unknown to the system, Error where the workload refuses.
    Case make(const std::string& workload, const ParamList& given, const Setting& setting);
    /// The row with what the conditions that hold for it state and it leaves out.
    Point completed(Point point) const;
    /// The parameter `model`: a name in configs/models where its shape is the row's, else the row's own shape.
    /// Throws Unanswerable where neither is known.
    /// More tensor ranks than key-value heads keep copies of them: then the row's shape with a head for each rank.
    std::string model(const Point& point, int tensor = 1) const;
    /// The parameter `dtype`: "fp16" -> "f16", nothing said -> "16-bit".
    static std::string dtype(const Point& point);

private:
    std::map<std::string, std::string> choices(const Point& point, const std::string& system);

    const Files& files_;
    SystemBook& systems_;
    std::vector<Condition> conditions_;
    std::map<std::string, std::shared_ptr<const Graph>> graphs_;
};

/// The question a row asks. Never throws for a row that cannot be asked: then it has a reason.
Question question_of(const Point& point, CaseMaker& make);

// One for each group of families; they throw Unanswerable or Error.
Question ask_operator(const Point& point, CaseMaker& make);   ///< gemm, attention, vector, collective
Question ask_layer(const Point& point, CaseMaker& make);      ///< an operator of a transformer layer, or all of them
Question ask_model(const Point& point, CaseMaker& make);      ///< prefill, decode, serve, train_step
Question ask_in_flight(const Point& point, CaseMaker& make);  ///< serve with batching in flight
Question ask_pipeline(const Point& point, CaseMaker& make);   ///< stages of a training job
Question ask_program(const Point& point, CaseMaker& make);    ///< hpc: programs that no graph states
Question ask_link(const Point& point, CaseMaker& make);       ///< a link or a memory by itself
Question ask_run(const Point& point, CaseMaker& make);        ///< what a run of this program measured
Question ask_other(const Point& point, CaseMaker& make);      ///< memory, energy, and what has no workload

/// What follows a product that tensor ranks share: each has its columns, and needs all.
Term gathered(const Case& product, const Setting& setting, CaseMaker& make);

/// The metric from a time, where `tokens`, `flops`, ... say how much one run does. Throws Unanswerable for a metric
/// the work has no number for.
struct Amounts {
    double tokens = 0, samples = 0, flops = 0, bytes = 0, bus_bytes = 0;
};
void set_metric(Question& question, const Point& point, const Amounts& amounts);

}  // namespace wb
