#pragma once

#include <memory>
#include <optional>

#include "models/fabric/program.hpp"
#include "models/fabric/result.hpp"
#include "models/fabric/yield_map.hpp"
#include "models/mesh.hpp"

namespace wb::fabric {

struct Options {
    int rows = 1, columns = 1;  ///< of the program's mesh
    bool data = true;           ///< else timing only: the same cycles without payload and memory
    int threads = 1;            ///< the result is the same for any number
    bool link_use = true;       ///< fill Result::link_use
    /// Cycles a row goes through at once while it is in the cache, to 32; the result is the same for any number. Of
    /// wavelets left at the end, an error tells where they are up to so many cycles later. 0: 16 with data, which would
    /// not stay in the cache, and 1 without, where there is little to keep.
    int window = 0;
    /// The mesh is placed around these: rows and columns left out are passed through, a hop each.
    std::optional<YieldMap> defects = std::nullopt;
};

class Engine;

/// Runs one program on a mesh of PEs, wavelet by wavelet and cycle by cycle.
class Simulator {
public:
    /// Throws Error if the mesh (with its spares) is larger than the machine's, if its spares do not suffice, or if
    /// the machine has times this simulator does not know.
    Simulator(const Mesh& mesh, const Options& options);
    ~Simulator();
    Simulator(Simulator&&) noexcept;

    /// Throws Error for mistakes of the program: bad routes, SRAM overflow, deadlock, wavelets never received.
    Result run(const Program& program);

    /// A PE after the run, to read its memory: valid until the next run.
    Pe& pe(int row, int column);

    /// Of the last run: bytes of routers, ramps and running instructions for each routed (router, colour).
    double bytes_per_router_colour() const;

private:
    Mesh mesh_;
    Options options_;
    std::unique_ptr<Engine> engine_;
};

}  // namespace wb::fabric
