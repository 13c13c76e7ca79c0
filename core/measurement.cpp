#include "core/measurement.hpp"

#include <array>

namespace wb {
namespace {

template <class E, std::size_t N>
std::optional<E> from_name(const std::array<std::string_view, N>& names, std::string_view text) {
    for (std::size_t i = 0; i < N; ++i)
        if (names[i] == text) return static_cast<E>(i);
    return std::nullopt;
}

constexpr std::array<std::string_view, 5> kinds{"measured", "emulated", "simulated", "modelled", "bound"};
constexpr std::array<std::string_view, 5> statuses{"ok", "failed", "timeout", "skipped", "invalid"};

}  // namespace

std::string_view name(Kind kind) { return kinds[static_cast<std::size_t>(kind)]; }
std::optional<Kind> kind_from_name(std::string_view text) { return from_name<Kind>(kinds, text); }
std::string_view name(Status status) { return statuses[static_cast<std::size_t>(status)]; }
std::optional<Status> status_from_name(std::string_view text) { return from_name<Status>(statuses, text); }

}  // namespace wb
