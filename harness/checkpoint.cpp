#include "harness/checkpoint.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <functional>

#include "core/element.hpp"
#include "core/error.hpp"
#include "harness/hdf5_file.hpp"
#include "harness/hdf5_handle.hpp"

namespace wb {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kept = 2;

hid_t file_type(DType type) {
    switch (type) {
        case DType::f32: return H5T_IEEE_F32LE;
        case DType::f64: return H5T_IEEE_F64LE;
        case DType::int32: return H5T_STD_I32LE;
        default: return stored_bytes(type) == 2 ? H5T_STD_U16LE : H5T_STD_U8LE;  // the bits of bf16, fp8
    }
}

std::vector<hsize_t> extents(const StoredPiece& p) {
    std::vector<hsize_t> out{static_cast<hsize_t>(p.instances)};
    for (const std::int64_t n : p.whole) out.push_back(static_cast<hsize_t>(n));
    return out;
}

/// One instance of `p` whole on rank 0; empty elsewhere. Collective where it is cut.
std::string gathered(const StoredPiece& p, std::int64_t instance, Comm& comm) {
    const std::int64_t width = stored_bytes(p.dtype);
    const auto bytes = static_cast<std::size_t>(elements(p.local) * width);
    const char* const from = reinterpret_cast<const char*>(p.data + instance * p.stride);
    if (!p.cut() || comm.size() == 1) return comm.rank() == 0 ? std::string(from, bytes) : std::string();
    const double place[] = {static_cast<double>(p.first),
                            static_cast<double>(p.local[static_cast<std::size_t>(p.dim)])};
    const auto places = comm.gather(place);
    const auto parts = comm.gather(std::string(from, bytes));
    if (comm.rank() != 0) return {};
    std::int64_t inner = width;
    for (std::size_t d = static_cast<std::size_t>(p.dim) + 1; d < p.whole.size(); ++d) inner *= p.whole[d];
    const std::int64_t extent = p.whole[static_cast<std::size_t>(p.dim)] * inner,
                       outer = elements(p.whole) * width / extent;
    std::string out(static_cast<std::size_t>(outer * extent), '\0');
    for (std::size_t r = 0; r < parts.size(); ++r) {
        const auto run = static_cast<std::int64_t>(places[r][1]) * inner,
                   at = static_cast<std::int64_t>(places[r][0]) * inner;
        for (std::int64_t o = 0; o < outer; ++o)
            std::copy_n(parts[r].begin() + o * run, run, out.begin() + o * extent + at);
    }
    return out;
}

class FileStorage final : public Storage {
public:
    FileStorage(std::shared_ptr<TokenSource> tokens, fs::path folder, bool resume, Comm& comm)
        : tokens_(std::move(tokens)), folder_(std::move(folder)), resume_(resume), comm_(comm) {}

    const Dataset* dataset() const override { return tokens_ ? &tokens_->dataset() : nullptr; }

    void read_tokens(Split split, std::int64_t first, std::span<std::int32_t> to) override {
        tokens_->read(first + (split == Split::held_out ? dataset()->training : 0), to);
    }

    std::int64_t save(const Snapshot& snapshot, std::span<const StoredPiece> pieces) override {
        std::int64_t bytes = 0;
        on_root([&] { begin_file(snapshot); });
        for (const StoredPiece& p : pieces)
            for (std::int64_t k = 0; k < p.instances; ++k) {
                const std::string whole = gathered(p, k, comm_);
                bytes += elements(p.whole) * stored_bytes(p.dtype);
                if (comm_.rank() == 0) trouble([&] { put(p, k, whole); });
            }
        on_root([&] { end_file(snapshot.step); });
        resume_ = true;
        return bytes;
    }

    std::optional<Snapshot> newest() override {
        std::string remark, step;
        on_root([&] { step = find(remark); });
        step = comm_.share(step);
        if (step.empty()) return {};
        Snapshot out = read_notes(std::stoll(step));
        out.remark = comm_.share(remark);
        return out;
    }

    std::int64_t restore(std::int64_t step, std::span<const StoredPiece> pieces) override {
        const QuietHdf5 quiet;
        const Hdf5Place place{path(step).string(), Exit::failed, "Run again without --resume."};
        const Handle file = place.own(H5Fopen(place.file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose, "open it");
        std::int64_t bytes = 0;
        for (const StoredPiece& p : pieces) bytes += take(place, file, p) * comm_.size();
        return bytes;
    }

private:
    fs::path path(std::int64_t step) const { return folder_ / fmt::format("step-{:09}.h5", step); }

    /// Steps of the checkpoints there are, newest first.
    std::vector<std::int64_t> steps() const {
        std::vector<std::int64_t> out;
        std::error_code ignored;
        for (const auto& entry : fs::directory_iterator(folder_, ignored)) {
            const std::string name = entry.path().filename();
            if (name.starts_with("step-") && name.ends_with(".h5")) out.push_back(std::atoll(name.c_str() + 5));
        }
        std::sort(out.rbegin(), out.rend());
        return out;
    }

    /// The newest that is whole, as text; what was wrong with newer ones.
    std::string find(std::string& remark) const {
        if (!resume_) return {};
        const std::vector<std::int64_t> all = steps();
        for (const std::int64_t step : all) {
            if (check_seal(path(step)) == Seal::whole) {
                if (!remark.empty()) remark += fmt::format(" Going on from {}.", path(step).filename().string());
                return std::to_string(step);
            }
            remark +=
                Error({path(step).string(), "is damaged: its checksum does not match", "weights would be wrong", ""})
                    .what();
        }
        if (!all.empty())
            throw Error({folder_.string(), "every checkpoint is damaged", "there is no state to go on from",
                         "Run again without --resume."},
                        Exit::baseline);
        return {};
    }

    void begin_file(const Snapshot& s) {
        const QuietHdf5 quiet;
        std::error_code error;
        fs::create_directories(folder_, error);
        if (error)
            throw Error({folder_.string(), "cannot be made: " + error.message(), "checkpoints go there", ""}, Exit::io);
        problem_.clear();
        place_.file = aside().string();
        file_ =
            place_.own(H5Fcreate(place_.file.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose, "create it");
        group_ = place_.own(H5Gcreate2(file_, "tensors", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose, "write it");
        const Handle notes =
            place_.own(H5Gcreate2(file_, "notes", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose, "write it");
        for (const auto& [name, values] : s.notes) {
            const hsize_t n = values.size();
            const Handle space = place_.own(H5Screate_simple(1, &n, nullptr), H5Sclose, "write it");
            const Handle set = place_.own(
                H5Dcreate2(notes, name.c_str(), H5T_IEEE_F64LE, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Dclose,
                "write it");
            if (n > 0)
                place_.check(H5Dwrite(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()),
                             "write it");
        }
    }

    void put(const StoredPiece& p, std::int64_t instance, const std::string& bytes) {
        const QuietHdf5 quiet;
        const std::vector<hsize_t> all = extents(p);
        const Handle space =
            place_.own(H5Screate_simple(static_cast<int>(all.size()), all.data(), nullptr), H5Sclose, "write it");
        if (instance == 0)
            set_ = place_.own(
                H5Dcreate2(group_, p.name.c_str(), file_type(p.dtype), space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                H5Dclose, "write " + p.name);
        std::vector<hsize_t> start(all.size(), 0), count = all;
        start[0] = static_cast<hsize_t>(instance);
        count[0] = 1;
        place_.check(H5Sselect_hyperslab(space, H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr),
                     "write it");
        const Handle memory =
            place_.own(H5Screate_simple(static_cast<int>(all.size()), count.data(), nullptr), H5Sclose, "write it");
        place_.check(H5Dwrite(set_, file_type(p.dtype), memory, space, H5P_DEFAULT, bytes.data()), "write " + p.name);
    }

    void end_file(std::int64_t step) {
        if (!problem_.empty())
            throw Error({aside().string(), problem_, "the checkpoint is not whole; the one before is kept",
                         "Make room, and use --resume."},
                        Exit::io);
        {
            const QuietHdf5 quiet;
            set_.close();
            group_.close();
            if (!file_.close()) place_.fail("closing");
        }
        seal_file(aside());
        std::error_code error;
        if (!resume_)
            for (const std::int64_t old : steps()) fs::remove(path(old), error);
        fs::rename(aside(), path(step), error);
        if (error)
            throw Error({path(step).string(), "cannot be named: " + error.message(),
                         "the checkpoint is lost; the one before is kept", ""},
                        Exit::io);
        if (const int folder = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); folder >= 0) {
            ::fsync(folder);
            ::close(folder);
        }
        const std::vector<std::int64_t> all = steps();
        for (std::size_t i = kept; i < all.size(); ++i) fs::remove(path(all[i]), error);
    }

    Snapshot read_notes(std::int64_t step) const {
        const QuietHdf5 quiet;
        const Hdf5Place place{path(step).string(), Exit::failed, "Run again without --resume."};
        const Handle file = place.own(H5Fopen(place.file.c_str(), H5F_ACC_RDONLY, H5P_DEFAULT), H5Fclose, "open it");
        Snapshot out;
        out.step = step;
        for (const char* name : {"loss", "seconds", "joules"}) {
            const std::string at = fmt::format("/notes/{}", name);
            if (H5Lexists(file, at.c_str(), H5P_DEFAULT) <= 0) continue;
            const Handle set = place.own(H5Dopen2(file, at.c_str(), H5P_DEFAULT), H5Dclose, "read it");
            const Handle space = place.own(H5Dget_space(set), H5Sclose, "read it");
            std::vector<double>& values = out.notes[name];
            values.resize(static_cast<std::size_t>(H5Sget_simple_extent_npoints(space)));
            if (!values.empty())
                place.check(H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, values.data()), "read it");
        }
        return out;
    }

    std::int64_t take(const Hdf5Place& place, hid_t file, const StoredPiece& p) const {
        const Handle set =
            place.own(H5Dopen2(file, ("/tensors/" + p.name).c_str(), H5P_DEFAULT), H5Dclose, "find " + p.name);
        const Handle space = place.own(H5Dget_space(set), H5Sclose, "read it");
        std::vector<hsize_t> all = extents(p), found(all.size(), 0);
        if (H5Sget_simple_extent_ndims(space) == static_cast<int>(all.size()))
            H5Sget_simple_extent_dims(space, found.data(), nullptr);
        if (found != all)
            throw Error({place.file, fmt::format("\"{}\" has another shape", p.name),
                         "it is the checkpoint of another model", ""},
                        Exit::failed);
        std::vector<hsize_t> start(all.size(), 0), count{1};
        for (const std::int64_t n : p.local) count.push_back(static_cast<hsize_t>(n));
        if (p.cut()) start[static_cast<std::size_t>(p.dim) + 1] = static_cast<hsize_t>(p.first);
        const Handle memory =
            place.own(H5Screate_simple(static_cast<int>(all.size()), count.data(), nullptr), H5Sclose, "read it");
        for (std::int64_t k = 0; k < p.instances; ++k) {
            start[0] = static_cast<hsize_t>(k);
            place.check(H5Sselect_hyperslab(space, H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr),
                        "read it");
            place.check(H5Dread(set, file_type(p.dtype), memory, space, H5P_DEFAULT, p.data + k * p.stride),
                        "read " + p.name);
        }
        return p.instances * elements(p.local) * stored_bytes(p.dtype);
    }

    fs::path aside() const { return folder_ / "writing.h5"; }

    /// Keeps the first mistake of rank 0 for end_file, because the other ranks go on gathering.
    void trouble(const std::function<void()>& action) {
        if (problem_.empty()) try {
                action();
            } catch (const std::exception& e) {
                problem_ = without_stop(e.what());
            }
    }

    /// On rank 0; what it throws all ranks throw.
    void on_root(const std::function<void()>& action) {
        std::string text;
        if (comm_.rank() == 0) try {
                action();
            } catch (const std::exception& e) {
                text = without_stop(e.what());
            }
        text = comm_.share(text);
        if (!text.empty()) throw Error({"", text, "", ""}, Exit::io);
    }

    std::shared_ptr<TokenSource> tokens_;
    fs::path folder_;
    bool resume_;
    Comm& comm_;
    std::string problem_;
    Hdf5Place place_{"", Exit::io, ""};
    Handle file_, group_, set_;
};

}  // namespace

std::shared_ptr<Storage> file_storage(std::shared_ptr<TokenSource> tokens, fs::path folder, bool resume, Comm& comm) {
    return std::make_shared<FileStorage>(std::move(tokens), std::move(folder), resume, comm);
}

}  // namespace wb
