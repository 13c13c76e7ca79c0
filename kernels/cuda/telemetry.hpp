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
    /// Used since some moment; nothing if the device does not count its energy.
    std::optional<double> joules() const;
    /// Mean power since start(); nothing if the device does not count its energy.
    std::optional<double> watts() const;
    /// Looks at clocks and at what holds them back: after every run, while the device is still warm.
    void look();
    /// Of all looks: "SM clock 1755 to 1980 MHz, memory 3201 MHz, held back by power cap in 3 of 10 looks"; empty
    /// without NVML.
    std::string text() const;

private:
    struct Library;
    std::unique_ptr<Library> library_;
    std::optional<double> start_joules_;
    std::chrono::steady_clock::time_point start_;
    struct Looks {
        int count = 0, held = 0;
        unsigned least = 0, most = 0, memory = 0;
        unsigned long long reasons = 0;
    } looks_;
};

}  // namespace wb::cuda
