#pragma once

#include <vector>

#include "harness/tco/book.hpp"

namespace wb::tco {

/// The hours of a year, of 365 days as in core/units.
inline constexpr double year_hours = 8760;

/// Where in the book everything stands that one device costs; -1: nothing says it.
struct Bill {
    std::string device;
    bool rented = false;
    int price, host, network, cooling, power, space, rack, mtbf, replaced, rent, port, tune, debug, upkeep;
    int discount, life, salvage, pue, electricity, load, colocation, facility, facility_life, maintenance, unwarranted,
        repair, spares, restart, checkpoint, storage, storage_size, cluster, operated, operator_wage, developer_wage,
        loading, work_year, utilisation, rack_height, rack_power, rack_area;
    std::vector<std::pair<std::int64_t, int>> network_shares;
};
/// `rented`: pay by the hour even where the device can be bought. Throws Error where it has no such price.
Bill bill_of(const Book& book, const std::string& system, bool rented = false);

/// How the units are used.
struct Use {
    int units = 1, node_units = 1;
    int replicas = 1;      ///< that fail apart from each other
    bool coupled = false;  ///< training: work since the last checkpoint is lost
    double power_W = 0;    ///< measured average of one unit; 0: part `load` of the provisioned power
};

/// US dollars for one unit and one paid hour, part by part; the four blocks add up to the total.
struct Hourly {
    double accelerators = 0, hosts = 0, network = 0, storage = 0, cooling = 0, hall = 0, rent = 0;
    double support = 0, replacement = 0, failures = 0;
    double energy = 0;
    double operators = 0, developers = 0;

    double capital() const { return accelerators + hosts + network + storage + cooling + hall + rent; }
    double upkeep() const { return support + replacement + failures; }
    double people() const { return operators + developers; }
    double total() const { return capital() + upkeep() + energy + people(); }

    double utilisation = 1;
    double power_W = 0;             ///< average of one unit, without the hall
    double provisioned_W = 0;       ///< of one unit with its share of what the hall needs: times PUE
    double racks = 0, area_m2 = 0;  ///< of one unit
    /// For one unit and one hour that yields something valid. Failures are in the total already.
    double useful() const { return total() / utilisation; }
};

/// One value for each assumption of a book, and a record of those that were asked for.
struct Values {
    const double* of;
    std::vector<char>* asked = nullptr;
    double operator()(int i) const {
        if (i < 0) return 0;
        if (asked) (*asked)[static_cast<std::size_t>(i)] = 1;
        return of[i];
    }
};
/// Formulas 1 to 10 of docs/tco.md.
Hourly hourly_cost(const Bill& bill, const Use& use, const Values& value);

/// Part of a cluster's price that its network is: linear in the logarithm of its nodes between the points, none for
/// one node.
double network_share(const std::vector<std::pair<std::int64_t, int>>& points, double nodes, const Values& value);

}  // namespace wb::tco
