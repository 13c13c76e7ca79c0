#pragma once

#include <map>
#include <optional>

#include "core/op.hpp"
#include "core/system.hpp"

namespace wb::cluster {

/// What messages take among ranks that all communicate, as measured there: functions of the size given at points, as
/// in parametrised LogP (Kielmann, Bal and Verstoep, IPDPS 2000), and straight lines between. Read from [fitted], whose
/// keys are "<function>_<bytes>_time": seconds of one message of that many bytes. Where nothing is said of fresh data,
/// they travel as others do.
class MessageLaw {
public:
    /// Nothing if the file has no such points.
    static std::optional<MessageLaw> of(const System& system);

    double message(double bytes) const { return at(message_, bytes); }    ///< s, one way, start to arrival
    double exchange(double bytes) const { return at(exchange_, bytes); }  ///< s, each rank sends and receives one
    double add(double bytes) const { return at(add_, bytes); }            ///< s, to add a message to a buffer
    double copy(double bytes) const { return at(copy_, bytes); }          ///< s, from buffer to buffer of a rank
    /// s, an exchange of what the ranks have just written: their caches hold it alone, and must hand it over.
    double fresh_exchange(double bytes) const {
        return at(fresh_exchange_.empty() ? exchange_ : fresh_exchange_, bytes);
    }
    /// s, a copy to where a neighbour has just read: its cache must give up what it holds of it.
    double fresh_copy(double bytes) const { return at(fresh_copy_.empty() ? copy_ : fresh_copy_, bytes); }

    /// Seconds of a collective of `bytes` (buffers as nccl-tests counts them) over `ranks` >= 2: the least of the
    /// algorithms that MPI libraries choose among (Thakur, Rabenseifner and Gropp 2005), each a sequence of the above.
    /// Two fitted numbers may say more of reductions: "allreduce_long_bytes", from which on the library goes around in
    /// blocks, be it faster or not, and "reduction_overhead_time" of each call.
    double collective(CollectiveKind kind, double bytes, int ranks) const;

private:
    using Points = std::map<double, double>;
    static double at(const Points& points, double bytes);
    double reduction_to_all(double bytes, int ranks) const;
    double scattered_reduction(double bytes, int ranks) const;
    double gathering(double bytes, int ranks) const;
    double spreading(double bytes, int ranks) const;
    Points message_, exchange_, add_, copy_, fresh_exchange_, fresh_copy_;
    std::optional<double> long_bytes_;
    double overhead_ = 0;
};

}  // namespace wb::cluster
