#include "kernels/cuda/telemetry.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <vector>

namespace wb::cuda {
namespace {

// NVML API reference: the part of it that is asked for, so that its header is not needed.
using Handle = struct nvmlDevice_st*;
constexpr int success = 0, clock_sm = 1, clock_memory = 2;

struct Reason {
    unsigned long long bit;
    const char* name;
};
/// nvmlClocksEventReasons: what holds clocks back beyond the application's own wish.
constexpr std::array reasons{Reason{0x4, "power cap"},         Reason{0x8, "hardware slowdown"},
                             Reason{0x20, "thermal slowdown"}, Reason{0x40, "hardware thermal slowdown"},
                             Reason{0x80, "power brake"},      Reason{0x10, "sync boost"}};

}  // namespace

struct Telemetry::Library {
    void* file = nullptr;
    Handle device = nullptr;
    int (*shutdown)() = nullptr;
    int (*clock)(Handle, int, unsigned*) = nullptr;
    int (*held_back)(Handle, unsigned long long*) = nullptr;
    int (*energy)(Handle, unsigned long long*) = nullptr;

    template <class F>
    bool find(F& f, const char* name) const {
        f = reinterpret_cast<F>(dlsym(file, name));
        return f != nullptr;
    }
    std::optional<double> joules() const {
        unsigned long long millijoules = 0;
        if (!energy || energy(device, &millijoules) != success) return std::nullopt;
        return 1e-3 * static_cast<double>(millijoules);
    }
    ~Library() {
        if (shutdown) shutdown();
        if (file) dlclose(file);
    }
};

Telemetry::Telemetry(const std::string& bus) {
    auto library = std::make_unique<Library>();
    library->file = dlopen("libnvidia-ml.so.1", RTLD_NOW | RTLD_LOCAL);
    if (!library->file) return;
    int (*init)() = nullptr;
    int (*by_bus)(const char*, Handle*) = nullptr;
    if (!library->find(init, "nvmlInit_v2") || init() != success) return;
    library->find(library->shutdown, "nvmlShutdown");
    if (!library->find(by_bus, "nvmlDeviceGetHandleByPciBusId_v2") || by_bus(bus.c_str(), &library->device) != success)
        return;
    library->find(library->clock, "nvmlDeviceGetClockInfo");
    library->find(library->energy, "nvmlDeviceGetTotalEnergyConsumption");
    if (!library->find(library->held_back, "nvmlDeviceGetCurrentClocksEventReasons"))
        library->find(library->held_back, "nvmlDeviceGetCurrentClocksThrottleReasons");
    library_ = std::move(library);
}

Telemetry::~Telemetry() = default;

std::optional<double> Telemetry::joules() const { return library_ ? library_->joules() : std::nullopt; }

void Telemetry::start() {
    start_ = std::chrono::steady_clock::now();
    start_joules_ = joules();
}

std::optional<double> Telemetry::watts() const {
    const std::optional<double> now = joules();
    const double elapsed = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    if (!now || !start_joules_ || elapsed <= 0) return std::nullopt;
    return (*now - *start_joules_) / elapsed;
}

void Telemetry::look() {
    if (!library_ || !library_->clock) return;
    unsigned processors = 0, memory = 0;
    if (library_->clock(library_->device, clock_sm, &processors) != success ||
        library_->clock(library_->device, clock_memory, &memory) != success)
        return;
    looks_.least = looks_.count == 0 ? processors : std::min(looks_.least, processors);
    looks_.most = std::max(looks_.most, processors);
    looks_.memory = memory;
    ++looks_.count;
    unsigned long long bits = 0, known = 0;
    for (const Reason& r : reasons) known |= r.bit;
    if (!library_->held_back || library_->held_back(library_->device, &bits) != success || (bits & known) == 0) return;
    looks_.reasons |= bits & known;
    ++looks_.held;
}

std::string Telemetry::text() const {
    if (looks_.count == 0) return {};
    std::string out = looks_.least == looks_.most ? fmt::format("SM clock {} MHz", looks_.most)
                                                  : fmt::format("SM clock {} to {} MHz", looks_.least, looks_.most);
    out += fmt::format(", memory {} MHz", looks_.memory);
    std::vector<std::string_view> names;
    for (const Reason& r : reasons)
        if (looks_.reasons & r.bit) names.push_back(r.name);
    if (!names.empty())
        out += fmt::format(", held back by {} in {} of {} looks", fmt::join(names, " and "), looks_.held, looks_.count);
    return out;
}

}  // namespace wb::cuda
