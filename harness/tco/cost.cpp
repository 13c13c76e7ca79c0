#include "harness/tco/cost.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "core/error.hpp"
#include "harness/tco/finance.hpp"
#include "harness/tco/reliability.hpp"

namespace wb::tco {
namespace {

constexpr double hour_s = 3600, year_s = year_hours * hour_s;

void people(const Bill& b, const Use& u, const Values& v, Hourly& h) {
    const double pay = v(b.loading) * hour_s;
    h.operators = v(b.operator_wage) * pay / (v(b.operated) * u.node_units);
    const double hours = v(b.port) + v(b.tune) + v(b.debug);
    if (hours == 0 && v(b.upkeep) == 0) return;
    const double fleet = std::max<double>(v(b.cluster) * u.node_units, u.units);
    const double once = hours / v(b.work_year) / (v(b.life) / year_s);
    h.developers = (once + v(b.upkeep)) * v(b.developer_wage) * pay / fleet;
}

void own(const Bill& b, const Use& u, const Values& v, Hourly& h) {
    const double r = v(b.discount) * year_s, years = v(b.life) / year_s;
    const double price = v(b.price), host = v(b.host), cooling = v(b.cooling);
    const double storage = v(b.storage) * v(b.storage_size);
    const double nodes = std::max(v(b.cluster), static_cast<double>(u.units) / u.node_units);
    double network = v(b.network);
    if (b.network < 0) {
        const double f = network_share(b.network_shares, nodes, v);
        network = (price + host) * f / (1 - f);
    }
    const double hourly = annual_cost(r, years, v(b.salvage)) / year_hours;
    h.accelerators = price * hourly;
    h.hosts = host * hourly;
    h.network = network * hourly;
    h.storage = storage * hourly;
    h.cooling = cooling * hourly;
    const double power = v(b.power), pue = v(b.pue);
    if (b.colocation >= 0)
        h.hall = power * v(b.colocation) * hour_s;
    else
        h.hall = power * pue * v(b.facility) * capital_recovery(r, v(b.facility_life) / year_s) / year_hours;
    h.energy = h.power_W * pue * v(b.electricity) * hour_s;
    h.support = v(b.maintenance) * hour_s * (price + host + network + storage + cooling);
    h.replacement = v(b.replaced) * hour_s * v(b.unwarranted) * price;
}

/// Part of the hours of running machines that yields something. Where work can be lost, at the interval between
/// checkpoints at which most is kept.
double useful_share(const Bill& b, const Use& u, const Values& v) {
    const double together = std::max(1.0, static_cast<double>(u.units) / u.replicas);
    const Reliability r{v(b.mtbf), v(b.checkpoint), v(b.restart), v(b.repair)};
    // A replica that serves waits for its own units; a job takes spares in at its restart.
    if (!u.coupled) return availability(together / r.mtbf_s, r.repair_s, 0);
    const auto spares = static_cast<std::int64_t>(std::ceil(v(b.spares) * together));
    return std::max(goodput(r, together, spares).goodput(), 1e-6);
}

void space(const Bill& b, const Values& v, Hourly& h) {
    const double power = v(b.power);
    h.racks = std::max(v(b.space) / v(b.rack_height), power / v(b.rack >= 0 ? b.rack : b.rack_power));
    h.area_m2 = h.racks * v(b.rack_area);
}

}  // namespace

Bill bill_of(const Book& book, const std::string& system, bool rented) {
    Bill b{};
    b.device = book.device(system);
    const auto own_key = [&](const char* key) { return book.find(std::string(key) + "." + b.device); };
    b.price = own_key("price"), b.host = own_key("host"), b.network = own_key("network");
    b.cooling = own_key("cooling"), b.power = own_key("power"), b.space = own_key("space");
    b.rack = own_key("rack");
    b.mtbf = own_key("mtbf"), b.replaced = own_key("replaced"), b.rent = own_key("rent");
    b.port = own_key("port"), b.tune = own_key("tune"), b.debug = own_key("debug"), b.upkeep = own_key("upkeep");
    b.rented = rented || b.price < 0;
    if (b.rented && b.rent < 0)
        throw Error({system, "has no price by the hour", "rented hardware is paid by it",
                     fmt::format("Set it: --set rent.{}=\"3 USD/h\".", b.device)});
    b.discount = book.need("discount"), b.life = book.need("life"), b.salvage = book.need("salvage");
    b.pue = book.need("pue"), b.electricity = book.need("electricity"), b.load = book.need("load");
    b.colocation = book.find("colocation"), b.facility = book.find("facility");
    b.facility_life = book.find("facility_life"), b.maintenance = book.need("maintenance");
    b.unwarranted = book.need("unwarranted"), b.repair = book.need("repair"), b.spares = book.need("spares"),
    b.restart = book.need("restart");
    b.checkpoint = book.need("checkpoint"), b.storage = book.need("storage");
    b.storage_size = book.need("storage_size"), b.cluster = book.need("cluster"), b.operated = book.need("operated");
    b.operator_wage = book.need("operator_wage"), b.developer_wage = book.need("developer_wage");
    b.loading = book.need("loading"), b.work_year = book.need("work_year");
    b.utilisation = book.need("utilisation"), b.rack_height = book.need("rack_height");
    b.rack_power = book.need("rack_power"), b.rack_area = book.need("rack_area");
    b.network_shares = book.network_shares();
    return b;
}

double network_share(const std::vector<std::pair<std::int64_t, int>>& points, double nodes, const Values& value) {
    if (points.empty() || nodes <= 1) return 0;
    if (nodes <= static_cast<double>(points.front().first)) return value(points.front().second);
    for (std::size_t i = 1; i < points.size(); ++i) {
        const auto from = static_cast<double>(points[i - 1].first), to = static_cast<double>(points[i].first);
        if (nodes > to) continue;
        const double part = std::log(nodes / from) / std::log(to / from);
        return value(points[i - 1].second) * (1 - part) + value(points[i].second) * part;
    }
    return value(points.back().second);
}

Hourly hourly_cost(const Bill& b, const Use& u, const Values& v) {
    Hourly h;
    const double power = v(b.power);
    h.power_W = u.power_W > 0 ? u.power_W : v(b.load) * power;
    h.provisioned_W = power * v(b.pue);
    if (b.rented)
        h.rent = v(b.rent) * hour_s;
    else
        own(b, u, v, h);
    people(b, u, v, h);
    const double ready = 1 + (u.coupled ? v(b.spares) : 0);  // spares are paid for too
    h.failures = h.total() * (ready / useful_share(b, u, v) - 1);
    h.utilisation = v(b.utilisation);
    space(b, v, h);
    return h;
}

}  // namespace wb::tco
