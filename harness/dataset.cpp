#include "harness/dataset.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/error.hpp"
#include "core/hash.hpp"
#include "harness/hdf5_file.hpp"
#include "harness/hdf5_handle.hpp"

namespace wb {
namespace {

constexpr double builtin_held_out = 0.05;
constexpr const char* builtin_text = "data/genesis.txt";
constexpr std::string_view hdf5_magic = "\x89HDF\r\n\x1a\n";

Dataset dataset_of(const Tokens& t, std::string how) {
    return {t.name,       Digest().add(t.text_hash).add(t.tokenizer).add(t.held_out).hex(),
            t.vocabulary, static_cast<std::int64_t>(t.ids.size()) - t.held_out,
            t.held_out,   std::move(how)};
}

/// A text in the memory of every rank.
class TextSource final : public TokenSource {
public:
    TextSource(Tokens tokens, std::string how)
        : tokens_(std::move(tokens)), dataset_(dataset_of(tokens_, std::move(how))) {}
    const Dataset& dataset() const override { return dataset_; }
    void read(std::int64_t first, std::span<std::int32_t> to) override {
        std::copy_n(tokens_.ids.begin() + first, to.size(), to.begin());
    }

private:
    Tokens tokens_;
    Dataset dataset_;
};

class FileSource final : public TokenSource {
public:
    FileSource(const std::string& path, Comm& comm)
        : place_{path, Exit::usage, "Make it again with waferbench tokenize."} {
        const QuietHdf5 quiet;
        std::string broken;
        if (comm.rank() == 0 && check_seal(path) == Seal::broken) broken = "is damaged: its checksum does not match";
        broken = comm.share(broken);
        if (!broken.empty())
            throw Error({path, broken, "token ids would be wrong", "Make it again with waferbench tokenize."});
        const Handle access = file_access(comm);
        file_ = place_.own(H5Fopen(path.c_str(), H5F_ACC_RDONLY, access), H5Fclose, "open it");
        ids_ = place_.own(H5Dopen2(file_, "/tokens/id", H5P_DEFAULT), H5Dclose, "find /tokens/id");
        const Handle space = place_.own(H5Dget_space(ids_), H5Sclose, "read it");
        const std::int64_t count = H5Sget_simple_extent_npoints(space);
        dataset_.name = text("name");
        dataset_.vocabulary = number("vocabulary");
        dataset_.held_out = number("held_out");
        dataset_.training = number("count") - dataset_.held_out;
        dataset_.hash = Digest().add(text("text_hash")).add(text("tokenizer")).add(dataset_.held_out).hex();
        dataset_.how = parallel_ ? "parallel HDF5" : "HDF5, every rank its part";
        if (count != number("count") || dataset_.held_out < 0 || dataset_.training < 0)
            throw Error({path, fmt::format("holds {} of {} tokens", count, number("count")), "it was cut short",
                         "Make it again with waferbench tokenize."});
    }

    const Dataset& dataset() const override { return dataset_; }

    void read(std::int64_t first, std::span<std::int32_t> to) override {
        const QuietHdf5 quiet;
        const Handle space = place_.own(H5Dget_space(ids_), H5Sclose, "read it");
        const hsize_t start = static_cast<hsize_t>(first), count = to.size();
        const Handle memory = place_.own(H5Screate_simple(1, &count, nullptr), H5Sclose, "read it");
        if (to.empty()) {
            H5Sselect_none(space);
            H5Sselect_none(memory);
        } else {
            place_.check(H5Sselect_hyperslab(space, H5S_SELECT_SET, &start, nullptr, &count, nullptr), "read it");
        }
        const Handle transfer = collective_transfer();
        place_.check(H5Dread(ids_, H5T_NATIVE_INT32, memory, space, transfer, to.data()), "read tokens");
    }

private:
    Handle file_access(const Comm& comm);
    Handle collective_transfer() const;

    std::int64_t number(const char* name) const {
        const Handle a = place_.own(H5Aopen(ids_, name, H5P_DEFAULT), H5Aclose, "read an attribute");
        std::int64_t value = 0;
        place_.check(H5Aread(a, H5T_NATIVE_INT64, &value), "read an attribute");
        return value;
    }
    std::string text(const char* name) const {
        const Handle a = place_.own(H5Aopen(ids_, name, H5P_DEFAULT), H5Aclose, "read an attribute");
        const Handle type = text_type(place_);
        char* value = nullptr;
        place_.check(H5Aread(a, type, &value), "read an attribute");
        std::string out = value ? value : "";
        H5free_memory(value);
        return out;
    }

    Hdf5Place place_;
    bool parallel_ = false;
    Handle file_, ids_;
    Dataset dataset_;
};

void put_number(const Hdf5Place& place, hid_t at, const char* name, std::int64_t value) {
    const Handle space = place.own(H5Screate(H5S_SCALAR), H5Sclose, "write it");
    const Handle a =
        place.own(H5Acreate2(at, name, H5T_STD_I64LE, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose, "write it");
    place.check(H5Awrite(a, H5T_NATIVE_INT64, &value), "write it");
}

void put_text(const Hdf5Place& place, hid_t at, const char* name, const std::string& value) {
    const Handle space = place.own(H5Screate(H5S_SCALAR), H5Sclose, "write it"), type = text_type(place);
    const Handle a = place.own(H5Acreate2(at, name, type, space, H5P_DEFAULT, H5P_DEFAULT), H5Aclose, "write it");
    const char* text = value.c_str();
    place.check(H5Awrite(a, type, &text), "write it");
}

}  // namespace

/// With a parallel library and several ranks, all open the file together. The seal behind its end does not disturb it.
Handle FileSource::file_access(const Comm& comm) {
    Handle access = place_.own(H5Pcreate(H5P_FILE_ACCESS), H5Pclose, "open it");
#if defined(WB_HAVE_MPI) && defined(H5_HAVE_PARALLEL)
    parallel_ = comm.size() > 1 && H5Pset_fapl_mpio(access, MPI_COMM_WORLD, MPI_INFO_NULL) >= 0;
#else
    static_cast<void>(comm);
#endif
    return access;
}

Handle FileSource::collective_transfer() const {
    Handle transfer = place_.own(H5Pcreate(H5P_DATASET_XFER), H5Pclose, "read it");
#if defined(WB_HAVE_MPI) && defined(H5_HAVE_PARALLEL)
    if (parallel_) place_.check(H5Pset_dxpl_mpio(transfer, H5FD_MPIO_COLLECTIVE), "read together");
#endif
    return transfer;
}

std::string read_text(const std::string& path) {
    std::error_code ignored;
    std::ifstream in(path, std::ios::binary);
    std::ostringstream text;
    if (in && std::filesystem::is_regular_file(path, ignored)) text << in.rdbuf();
    if (!in || !std::filesystem::is_regular_file(path, ignored))
        throw Error({path, "cannot be read", "it holds what is asked for", "Check its name and permissions."});
    if (text.str().empty()) throw Error({path, "is empty", "there is nothing in it to use", ""});
    return text.str();
}

Tokens tokenised(std::string name, std::string_view text, const Tokenizer& tokenizer, double held_out) {
    Tokens t;
    t.name = std::move(name);
    t.text_hash = Digest().add(text).hex();
    t.tokenizer = tokenizer.name();
    t.vocabulary = tokenizer.vocabulary();
    t.ids = tokenizer.encode(text);
    t.held_out = std::llround(held_out * static_cast<double>(t.ids.size()));
    return t;
}

void write_dataset(const std::string& path, const Tokens& t) {
    const QuietHdf5 quiet;
    const Hdf5Place place{path, Exit::io, ""};
    {
        const Handle file =
            place.own(H5Fcreate(path.c_str(), H5F_ACC_TRUNC, H5P_DEFAULT, H5P_DEFAULT), H5Fclose, "create it");
        put_text(place, file, "Conventions", "waferbench dataset 1");
        const Handle group =
            place.own(H5Gcreate2(file, "tokens", H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT), H5Gclose, "write it");
        const hsize_t count = t.ids.size();
        const Handle space = place.own(H5Screate_simple(1, &count, nullptr), H5Sclose, "write it");
        const hid_t type = t.vocabulary <= 65536 ? H5T_STD_U16LE : H5T_STD_U32LE;
        const Handle ids = place.own(H5Dcreate2(group, "id", type, space, H5P_DEFAULT, H5P_DEFAULT, H5P_DEFAULT),
                                     H5Dclose, "write it");
        if (count > 0)
            place.check(H5Dwrite(ids, H5T_NATIVE_INT32, H5S_ALL, H5S_ALL, H5P_DEFAULT, t.ids.data()), "write it");
        put_text(place, ids, "name", t.name);
        put_text(place, ids, "text_hash", t.text_hash);
        put_text(place, ids, "tokenizer", t.tokenizer);
        put_number(place, ids, "vocabulary", t.vocabulary);
        put_number(place, ids, "count", static_cast<std::int64_t>(count));
        put_number(place, ids, "held_out", t.held_out);
    }
    seal_file(path);
}

std::shared_ptr<TokenSource> tokens_in_memory(Tokens tokens, std::string how) {
    return std::make_shared<TextSource>(std::move(tokens), std::move(how));
}

std::shared_ptr<TokenSource> open_tokens(const std::string& data, const Files& files, Comm& comm) {
    const std::string path = data == "builtin" ? files.find(builtin_text) : data;
    std::error_code ignored;
    if (path.empty() || !std::filesystem::is_regular_file(path, ignored))
        throw Error({"data = " + data, "there is no such file", "it holds the text to train on",
                     "Use \"builtin\", a text, or what waferbench tokenize wrote."});
    std::string head(hdf5_magic.size(), '\0');
    std::ifstream(path, std::ios::binary).read(head.data(), static_cast<std::streamsize>(head.size()));
    if (head == hdf5_magic) return std::make_shared<FileSource>(path, comm);
    if (path.ends_with(".h5"))
        throw Error({path, "is no HDF5 file", "it was cut short, or is something else",
                     "Make it again with waferbench tokenize."});
    return tokens_in_memory(
        tokenised(std::filesystem::path(path).stem(), read_text(path), *byte_tokenizer(), builtin_held_out),
        "every rank, byte by byte");
}

}  // namespace wb
