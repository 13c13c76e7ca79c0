#include "models/transfer_session.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/units.hpp"
#include "models/transfer.hpp"

namespace wb {
namespace {

class TransferSession final : public Session {
public:
    TransferSession(const Case& c, bool bound)
        : transfer_(transfer(*c.graph, *c.system, c.units, bound)), bound_(bound) {}

    Sample run() override { return {Seconds(transfer_.seconds), transfer_.spans}; }

    ResourceUse usage() const override {
        ResourceUse use;
        for (const auto& [level, bytes] : {std::pair{"storage", transfer_.stored}, {"host link", transfer_.loaded}})
            if (bytes > Bytes(0)) use.memory.push_back({level, Bytes(0), Bytes(0), bytes});
        use.mapping = "any";
        const auto longest = std::max_element(transfer_.spans.begin(), transfer_.spans.end(),
                                              [](const Span& a, const Span& b) { return a.duration < b.duration; });
        use.detail = longest->bytes > Bytes(0) && longest->duration > Seconds(0)
                         ? fmt::format("{}: {} at {}", longest->resource, format(longest->bytes),
                                       format(longest->bytes / longest->duration))
                         : longest->resource;
        if (bound_) use.band = {1, 1, "bound"};
        return use;
    }

private:
    Transfer transfer_;
    bool bound_;
};

}  // namespace

Support transfer_support(const Case& c) {
    if (std::string why = missing_transfer(*c.graph, *c.system); !why.empty()) return Support::no(std::move(why));
    return {};
}

std::unique_ptr<Session> transfer_session(const Case& c, bool bound) {
    return std::make_unique<TransferSession>(c, bound);
}

}  // namespace wb
