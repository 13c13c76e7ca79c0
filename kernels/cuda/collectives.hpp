#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "core/comm.hpp"
#include "core/op.hpp"
#include "kernels/cuda/runtime.hpp"

namespace wb::cuda {

/// What the devices of a case send each other. Every call is collective and puts its work into the stream.
class Collectives {
public:
    virtual ~Collectives() = default;
    /// `count` elements at `in`; `out` as core/comm.hpp says for each kind.
    virtual void run(CollectiveKind kind, const void* in, void* out, std::int64_t count, DType type, Stream stream) = 0;
    virtual std::string library() const = 0;
};

/// By the messages of `comm` itself, whose buffers are then device memory; nothing of it can be recorded.
std::unique_ptr<Collectives> make_direct(Comm& comm);
/// Collective over `comm`. Throws Error where the build has no library for more than one rank.
std::unique_ptr<Collectives> make_collectives(Comm& comm);
/// Why several ranks cannot work together in this build; empty if they can.
std::string no_collectives();

}  // namespace wb::cuda
