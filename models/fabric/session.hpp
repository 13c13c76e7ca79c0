#pragma once

#include <memory>
#include <optional>

#include "core/backend.hpp"
#include "models/fabric/choice.hpp"
#include "models/fabric/host_tensors.hpp"
#include "models/fabric/result.hpp"

namespace wb::fabric {

/// A case on the simulated mesh. Data ride along only where somebody will look at the outputs; the time is the same.
class MeshSession final : public Session {
public:
    MeshSession(const Case& c, Candidate candidate);

    /// Simulates once; what is simulated a second time would be the same.
    Sample run() override;
    /// Nothing if the data are too large for this machine.
    std::optional<Outputs> outputs() override;
    void poison() override;
    ResourceUse usage() const override;

private:
    bool too_large_for_data() const;
    void simulate(bool data);
    Seconds time_of(double cycles) const { return Seconds(cycles / mesh_.clock_hz); }
    double busy_share() const;
    std::vector<Span> spans() const;
    std::vector<Grid> grids() const;
    std::string detail() const;

    std::shared_ptr<const Graph> graph_;
    Mesh mesh_;
    Candidate candidate_;
    std::uint64_t seed_;
    int threads_;
    std::unique_ptr<HostTensors> host_;
    std::optional<Result> result_;
    bool watched_ = false;   // the outputs of the next run are wanted
    bool computed_ = false;  // host_ holds outputs
};

}  // namespace wb::fabric
