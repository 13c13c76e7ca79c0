#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <vector>

#include "core/fill.hpp"
#include "models/fabric/programs/vector_programs.hpp"
#include "models/fabric/simulator.hpp"
