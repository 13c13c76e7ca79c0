#pragma once

#include <memory>

#include "core/backend.hpp"

namespace wb::serving {

/// Whether a backend can serve the requests of a composition that has some: at least one step of one replica.
Support supports_serving(const Backend& backend, const Case& c, int ranks);
/// Serves them on step times that the backend gives; the number is of the backend's kind. Where no mapping is named, a
/// cluster is divided into the replicas that would yield the most tokens at full load.
std::unique_ptr<Session> prepare_serving(const Backend& backend, const Case& c, Comm& comm);

}  // namespace wb::serving
