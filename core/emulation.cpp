#include "core/emulation.hpp"

#include <fmt/format.h>

namespace wb {

std::string EmulationChoice::text() const {
    std::string out;
    const auto word = [&out](const std::string& text) { out += (out.empty() ? "" : " ") + text; };
    if (payload != Payload::none) word(payload == Payload::full ? "payload=full" : "payload=sized");
    if (uplink.si() > 0) word(fmt::format("uplink={:g}", uplink.si()));
    if (uplink_units > 0) word(fmt::format("uplink_units={}", uplink_units));
    for (const Fault& f : faults) {
        if (f.kind == Fault::Kind::straggler) word(fmt::format("straggler={}x{:g}", f.unit, f.factor));
        if (f.kind == Fault::Kind::slow_link) word(fmt::format("slow_link={}x{:g}", f.unit, f.factor));
        if (f.kind == Fault::Kind::failed) word(fmt::format("failed={}@{:g}", f.unit, f.at.si()));
    }
    return out;
}

}  // namespace wb
