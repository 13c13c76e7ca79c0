#include "core/backend.hpp"

#include "core/error.hpp"
#include "models/fabric/choice.hpp"
#include "models/fabric/session.hpp"

namespace wb {

std::unique_ptr<Backend> make_fabric();

namespace {

class MeshBackend final : public Backend {
public:
    Kind kind() const override { return Kind::simulated; }
    bool suits(SystemKind kind) const override { return kind == SystemKind::wafer; }

    Support supports(const Case& c, int) const override {
        fabric::Choice choice = fabric::choose(c);
        return choice.candidate ? Support{} : Support::no(std::move(choice.refused));
    }

    std::unique_ptr<Session> prepare(const Case& c, Comm&) const override {
        fabric::Choice choice = fabric::choose(c);
        if (!choice.candidate) throw Error({c.graph->name(), choice.refused, "", ""});
        return std::make_unique<fabric::MeshSession>(c, std::move(*choice.candidate));
    }

    std::vector<std::string> algorithms() const override { return fabric::known_algorithms(); }
    double estimate_s(const Case& c) const override { return fabric::choose(c).seconds; }
};

}  // namespace

std::unique_ptr<Backend> make_fabric() { return std::make_unique<MeshBackend>(); }

}  // namespace wb
