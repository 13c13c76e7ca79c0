#include "harness/emulation_choice.hpp"

#include <fmt/format.h>

namespace wb {
namespace {

Fault read_fault(const Config& c, Fault::Kind kind) {
    Fault f;
    f.kind = kind;
    const std::int64_t unit = c.integer("unit");
    if (unit < 0 || unit > INT32_MAX)
        throw c.error("unit", fmt::format("unit is {}", unit), "units are counted from 0", "");
    f.unit = static_cast<int>(unit);
    if (kind == Fault::Kind::failed) {
        f.at = c.quantity<Seconds>("at");
        if (f.at < Seconds(0)) throw c.error("at", "a unit fails before the start", "time begins at 0", "");
        return f;
    }
    f.factor = c.number("factor");
    if (!(f.factor >= 1))
        throw c.error("factor", fmt::format("factor is {:g}", f.factor), "a fault makes a unit slower, not faster",
                      "Write a factor of at least 1.");
    return f;
}

}  // namespace

EmulationChoice read_emulation(const Config& system) {
    EmulationChoice choice;
    const auto c = system.maybe_table("emulation");
    if (!c) return choice;
    if (c->has("payload")) {
        const std::string word = c->choice("payload", {"none", "sized", "full"});
        choice.payload = word == "full" ? Payload::full : word == "sized" ? Payload::sized : Payload::none;
    }
    choice.uplink = c->quantity_or<BytesPerSecond>("uplink", choice.uplink);
    const std::int64_t units = c->integer_or("uplink_units", 0);
    if (units < 0 || units > INT32_MAX || choice.uplink < BytesPerSecond(0))
        throw c->error("uplink_units", fmt::format("{} units share an uplink", units), "it must be 0 or more", "");
    choice.uplink_units = static_cast<int>(units);
    const std::pair<const char*, Fault::Kind> kinds[] = {
        {"straggler", Fault::Kind::straggler}, {"slow_link", Fault::Kind::slow_link}, {"failed", Fault::Kind::failed}};
    for (const auto& [key, kind] : kinds)
        for (const Config& fault : c->tables(key)) choice.faults.push_back(read_fault(fault, kind));
    return choice;
}

}  // namespace wb
