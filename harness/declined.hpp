#pragma once

#include "core/error.hpp"

namespace wb {

/// No mistake: what was asked is understood, and this machine cannot give it. A case that ends so is skipped.
class Declined : public Error {
    using Error::Error;
};

}  // namespace wb
