#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

namespace wb::cuda {

/// What NVML tells of a device while it works: clocks, what holds them back, energy. The library is looked for when
/// the program runs; without it nothing is told.
class Telemetry {
public:
    /// `bus` as the runtime names it: "0000:19:00.0".
    explicit Telemetry(const std::string& bus);
    ~Telemetry();
    Telemetry(const Telemetry&) = delete;
    Telemetry& operator=(const Telemetry&) = delete;

    /// Energy is counted from here.
    void start();
    /// Mean power since start(); nothing if the device does not count its energy.
    std::optional<double> watts() const;
    /// "SM clock 1980 MHz, memory 3201 MHz, held back by: power cap", as of now; empty without NVML.
    std::string text() const;

private:
    struct Library;
    std::unique_ptr<Library> library_;
    std::optional<double> start_joules_;
    std::chrono::steady_clock::time_point start_;
};

}  // namespace wb::cuda
