#include "harness/hdf5_handle.hpp"

namespace wb {
namespace {

struct StackText {
    std::string outermost;
    std::string innermost;
};

herr_t visit(unsigned, const H5E_error2_t* error, void* data) {
    auto& text = *static_cast<StackText*>(data);
    const char* description = error->desc ? error->desc : "";
    if (text.innermost.empty()) text.innermost = description;
    text.outermost = description;
    return 0;
}

}  // namespace

std::string hdf5_error_text() {
    StackText text;
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, visit, &text);
    H5Eclear2(H5E_DEFAULT);
    if (text.outermost.empty()) return "HDF5 gives no reason";
    return text.outermost == text.innermost ? text.outermost : text.outermost + ": " + text.innermost;
}

void Hdf5Place::fail(const std::string& doing) const {
    const std::string reason = hdf5_error_text();
    if (code == Exit::io)
        throw Error({file, "cannot " + doing + ": " + reason, "results could not be written", ""}, code);
    throw Error({file, "cannot " + doing + ": " + reason, "the file is damaged, cut short or of another schema", hint},
                code);
}

Handle text_type(const Hdf5Place& place, std::size_t bytes) {
    Handle type = place.own(H5Tcopy(H5T_C_S1), H5Tclose, "make a string type");
    place.check(H5Tset_size(type, bytes == 0 ? H5T_VARIABLE : bytes), "make a string type");
    if (bytes > 0) place.check(H5Tset_strpad(type, H5T_STR_NULLPAD), "make a string type");
    place.check(H5Tset_cset(type, H5T_CSET_UTF8), "make a string type");
    return type;
}

}  // namespace wb
