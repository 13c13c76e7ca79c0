#ifdef WB_HAVE_MPI
#include "harness/mpi_wire.hpp"

#include <string>

#include "core/error.hpp"
#include "harness/element_sum.hpp"

namespace wb {
namespace {

/// An MPI_User_function. The 16-bit types and the rarer ones are added by us, since MPI does not know them.
template <DType type>
void own_sum(void* in, void* inout, int* count, MPI_Datatype*) {
    add_elements<type>(in, inout, *count);
}

Wire wire_of(DType type) {
    const auto own = [](MPI_Datatype wire, MPI_User_function* function) {
        Wire out{wire, MPI_OP_NULL, true};
        check(MPI_Op_create(function, 1, &out.sum), "MPI_Op_create");
        return out;
    };
    switch (type) {
        case DType::f64: return {MPI_DOUBLE, MPI_SUM};
        case DType::f32: return {MPI_FLOAT, MPI_SUM};
        case DType::int32: return {MPI_INT32_T, MPI_SUM};
        case DType::int8: return {MPI_INT8_T, MPI_SUM};
        case DType::bf16: return own(MPI_UINT16_T, own_sum<DType::bf16>);
        case DType::f16: return own(MPI_UINT16_T, own_sum<DType::f16>);
        case DType::tf32: return own(MPI_FLOAT, own_sum<DType::tf32>);
        case DType::fp8_e4m3: return own(MPI_UINT8_T, own_sum<DType::fp8_e4m3>);
        case DType::fp8_e5m2: return own(MPI_UINT8_T, own_sum<DType::fp8_e5m2>);
        case DType::fp4: return own(MPI_UINT8_T, own_sum<DType::fp4>);
        case DType::any16:
        case DType::any8: break;
    }
    return {MPI_DATATYPE_NULL, MPI_OP_NULL};
}

}  // namespace

void check(int code, std::string_view call) {
    if (code == MPI_SUCCESS) return;
    std::array<char, MPI_MAX_ERROR_STRING> text{};
    int length = 0;
    MPI_Error_string(code, text.data(), &length);
    throw Error({.place = std::string(call),
                 .problem = "MPI reports \"" + std::string(text.data(), static_cast<std::size_t>(length)) + "\"",
                 .why = "the ranks can no longer work together",
                 .hint = ""},
                Exit::failed);
}

Wires::Wires() {
    for (std::size_t i = 0; i < all_.size(); ++i) all_[i] = wire_of(static_cast<DType>(i));
}

Wires::~Wires() {
    for (Wire& wire : all_)
        if (wire.own) MPI_Op_free(&wire.sum);
}

const Wire& Wires::of(DType type) const {
    WB_EXPECT(!is_class(type));
    return all_[static_cast<std::size_t>(type)];
}

}  // namespace wb
#endif
