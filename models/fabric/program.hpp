#pragma once

#include <functional>
#include <initializer_list>
#include <span>
#include <string_view>

#include "models/fabric/instruction.hpp"
#include "models/fabric/process.hpp"
#include "models/fabric/route.hpp"
#include "models/fabric/vec.hpp"
#include "models/mesh.hpp"

namespace wb::fabric {

/// A processing element as its program sees it. All vectors are of this PE's own SRAM. Mistakes throw wb::Error.
class Pe {
public:
    Pe(Node& node, int row_, int column_, int rows_, int columns_)
        : row(row_), column(column_), rows(rows_), columns(columns_), node_(&node) {}

    int row, column, rows, columns;  ///< position in, and shape of, the program's mesh

    const Mesh& mesh() const;  ///< facts of the machine
    /// False in timing-only mode: payloads and memory do not exist. Programs must not branch on data.
    bool data() const;

    /// SRAM for `count` elements, zeroed, 4-byte aligned. Throws if the PE's SRAM overflows.
    Vec alloc(Type type, std::size_t count);
    /// One element, for hosts and tests: costs nothing. 0 in timing-only mode; f16 rounds to nearest even.
    float get(Vec v, std::size_t i) const;
    void set(Vec v, std::size_t i, float value);
    /// The storage of a contiguous f32 vector, valid until the next alloc. Empty in timing-only mode.
    std::span<float> f32(Vec v);

    /// Routes are static: set before the first co_await, one list of at most four positions for a colour. A wavelet
    /// with the control flag moves the router to its next position; the last stays, unless `ring`.
    void route(Colour colour, Port from, Ports to);
    void route(Colour colour, std::initializer_list<Route> positions, bool ring = false);

    /// Wavelets from memory to the fabric. `advance`: the last one carries the control flag.
    Instruction send(Colour out, Vec src, bool advance = false);
    Instruction recv(Colour in, Vec dst);
    Instruction recv_add(Colour in, Vec dst);         ///< dst[i] += wavelet[i]
    Instruction recv_max(Colour in, Vec dst);         ///< dst[i] = max(dst[i], wavelet[i])
    Instruction recv_mac(Colour in, Vec acc, Vec x);  ///< acc[i] += x[i] * wavelet[i]; wavelets have the type of x
    /// dst[i] = wavelet[i], and on with it; dst may be nothing(n).
    Instruction recv_send(Colour in, Vec dst, Colour out, bool advance = false);
    Instruction recv_add_send(Colour in, Vec src, Colour out, bool advance = false);  ///< sends wavelet[i] + src[i]
    Instruction recv_max_send(Colour in, Vec src, Colour out, bool advance = false);  ///< sends max(wavelet[i], src[i])

    /// Memory to memory, main thread only: ceil(instructions x (start + elements x cycles_per_element)) cycles. `body`
    /// does it when they are over, in data mode only.
    Instruction compute(Work work, std::function<void()> body);

    // Built on compute, one vector instruction of as many elements as the first operand has unless said otherwise; an
    // element costs what the mesh says of a multiply-add in SRAM of its type.
    Instruction fma(Vec acc, Vec x, Vec s, std::size_t i);  ///< acc += x * s[i]; credits count FMA
    Instruction add(Vec dst, Vec x);                        ///< dst += x
    Instruction mul(Vec dst, Vec x);                        ///< dst *= x
    Instruction scale(Vec dst, Vec s, std::size_t i);       ///< dst *= s[i]
    Instruction scale(Vec dst, float s);                    ///< dst *= s
    Instruction max(Vec dst, Vec x);
    Instruction copy(Vec dst, Vec src);
    /// x = exp(x): eight instructions, the steps of a degree-5 polynomial with its range reduction.
    Instruction exp(Vec x);
    /// C (m x n) += A (m x k) B (k x n), all column-major: k n instructions of m elements; credits m k n FMA.
    Instruction tile_gemm(Vec c, Vec a, Vec b, std::size_t m, std::size_t k, std::size_t n);
    /// Cycles of one element of a multiply-add in SRAM.
    double element_cycles(Type type) const;

    Instruction wait(std::uint32_t cycles);
    Instruction task();  ///< waits the start-up of a task

    /// Begins it asynchronously. Throws for compute, wait and task, and when all microthreads are taken.
    Handle start(Instruction instruction);

    /// Timeline: from here on this PE is in that phase.
    void phase(std::string_view name);

private:
    Instruction fabric(Action action, Colour in, Colour out, Vec a, bool advance);
    Work one(const Vec& v) const;

    Node* node_;
};

/// The same function for every PE of the mesh.
using Program = std::function<Process(Pe&)>;

}  // namespace wb::fabric
