#pragma once

#include <hdf5.h>
#include <hdf5_hl.h>

#include <string>
#include <utility>

#include "core/error.hpp"

namespace wb {

/// Owns one HDF5 identifier.
class Handle {
public:
    using Closer = herr_t (*)(hid_t);
    Handle() = default;
    Handle(hid_t id, Closer closer) : id_(id), closer_(closer) {}
    Handle(Handle&& other) noexcept : id_(std::exchange(other.id_, H5I_INVALID_HID)), closer_(other.closer_) {}
    Handle& operator=(Handle&& other) noexcept {
        std::swap(id_, other.id_);
        std::swap(closer_, other.closer_);
        return *this;
    }
    ~Handle() { close(); }

    /// False when HDF5 reports a failure: buffered data may not have been written.
    bool close() { return id_ < 0 || closer_(std::exchange(id_, H5I_INVALID_HID)) >= 0; }
    explicit operator bool() const { return id_ >= 0; }
    operator hid_t() const { return id_; }

private:
    hid_t id_ = H5I_INVALID_HID;
    Closer closer_ = nullptr;
};

/// While alive, HDF5 prints nothing; its error stack becomes the text of an Error.
class QuietHdf5 {
public:
    QuietHdf5() {
        H5Eget_auto2(H5E_DEFAULT, &function_, &data_);
        H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
    }
    ~QuietHdf5() { H5Eset_auto2(H5E_DEFAULT, function_, data_); }
    QuietHdf5(const QuietHdf5&) = delete;
    QuietHdf5& operator=(const QuietHdf5&) = delete;

private:
    H5E_auto2_t function_ = nullptr;
    void* data_ = nullptr;
};

/// Outermost and innermost sentence of the library's error stack, which is then cleared.
std::string hdf5_error_text();

/// Where a failure happened and how the process should end because of it.
struct Hdf5Place {
    std::string file;
    Exit code;
    std::string hint = "Rebuild it from its journal, or take another copy.";  ///< where it cannot be read

    [[noreturn]] void fail(const std::string& doing) const;
    void check(herr_t result, const std::string& doing) const {
        if (result < 0) fail(doing);
    }
    Handle own(hid_t id, Handle::Closer closer, const std::string& doing) const {
        if (id < 0) fail(doing);
        return Handle(id, closer);
    }
};

/// UTF-8 of variable length, or of `bytes`, shorter ones padded with zeros: long columns of short texts, which only so
/// can be compressed.
Handle text_type(const Hdf5Place& place, std::size_t bytes = 0);

}  // namespace wb
