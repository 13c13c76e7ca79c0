#include "harness/publish.hpp"

#include <fcntl.h>
#include <fmt/core.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <system_error>
#include <utility>

#include "core/error.hpp"

namespace wb {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const std::string& doing, int error, const std::string& why) {
    throw Error({path.string(), fmt::format("cannot {}: {}", doing, std::generic_category().message(error)), why,
                 "Free some space or check permissions; the journal still holds everything."},
                Exit::io);
}

/// A file beside the target that disappears unless it was renamed.
class Aside {
public:
    explicit Aside(const fs::path& target)
        : target_(target), path_(target.string() + ".tmp." + std::to_string(::getpid())) {
        ::unlink(path_.c_str());  // a leftover of a killed process that had the same id
        file_ = ::open(path_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file_ < 0) fail(target_, "create " + path_.string(), errno, "the old file, if any, is untouched");
    }
    Aside(const Aside&) = delete;
    Aside& operator=(const Aside&) = delete;
    ~Aside() {
        if (file_ >= 0) ::close(file_);
        if (!renamed_) ::unlink(path_.c_str());
    }

    const fs::path& path() const { return path_; }

    void write(std::span<const std::byte> bytes) {
        std::size_t done = 0;
        while (done < bytes.size()) {
            const ssize_t count = ::write(file_, bytes.data() + done, bytes.size() - done);
            if (count < 0 && errno == EINTR) continue;
            if (count <= 0) stop("write", count < 0 ? errno : EIO, bytes.size(), done);
            done += static_cast<std::size_t>(count);
        }
        if (::fsync(file_) != 0) stop("sync", errno, bytes.size(), done);
        if (::close(std::exchange(file_, -1)) != 0) stop("close", errno, bytes.size(), done);
    }

    void rename() {
        if (::rename(path_.c_str(), target_.c_str()) != 0)
            fail(target_, "move the new file into place", errno, "the old file, if any, is untouched");
        renamed_ = true;
        const fs::path parent = target_.has_parent_path() ? target_.parent_path() : fs::path(".");
        const int directory = ::open(parent.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (directory < 0) return;  // a directory that may be written but not read: the rename stands
        const int error = ::fsync(directory) == 0 ? 0 : errno;
        ::close(directory);
        if (error != 0 && error != EINVAL)
            fail(parent, "sync the directory", error, "the new name may not survive a crash");
    }

private:
    [[noreturn]] void stop(const char* doing, int error, std::size_t needed, std::size_t done) {
        fail(target_, std::string(doing) + " " + path_.string(), error,
             fmt::format("{} bytes were needed, {} fitted; the old file, if any, is untouched", needed, done));
    }

    fs::path target_;
    fs::path path_;
    int file_ = -1;
    bool renamed_ = false;
};

const std::string* text_in(const ObjectAttributes& attributes, std::string_view name) {
    const auto found = attributes.find(name);
    return found == attributes.end() ? nullptr : std::get_if<std::string>(&found->second);
}

void check_number(const Hdf5Reader& reader, const char* name, std::int64_t wanted, std::vector<std::string>& problems) {
    const auto value = reader.attribute("integrity", name);
    const auto* number = value ? std::get_if<std::int64_t>(&*value) : nullptr;
    if (!number) problems.push_back(fmt::format("/integrity has no number {}", name));
    if (number && *number != wanted)
        problems.push_back(fmt::format("/integrity: {} is {}, not {}", name, *number, wanted));
}

void check_columns(const Hdf5Reader& reader, const std::string& group, const std::vector<std::string>& columns,
                   const std::map<std::string, ObjectDigest>& found, std::vector<std::string>& problems) {
    const auto index = found.find(group + "/row_id");
    if (index == found.end()) problems.push_back(fmt::format("/{} has no row_id", group));
    for (const std::string& column : columns) {
        const std::string path = fmt::format("{}/{}", group, column);
        const auto own = found.find(path);
        if (own == found.end()) {
            problems.push_back(fmt::format("column /{} is missing", path));
            continue;
        }
        if (index != found.end() && own->second.rows != index->second.rows)
            problems.push_back(
                fmt::format("column /{} has {} rows, row_id has {}", path, own->second.rows, index->second.rows));
        const ObjectAttributes attributes = reader.attributes(path);
        const std::string* units = text_in(attributes, "units");
        const std::string* kind = text_in(attributes, "kind");
        if (!units || (units->empty() && own->second.type != 's'))
            problems.push_back(fmt::format("column /{} has no units", path));
        if (!kind || kind->empty()) problems.push_back(fmt::format("column /{} has no kind", path));
    }
}

/// Groups with the attribute waferbench_columns; returns the number of their rows together.
std::int64_t check_tables(const Hdf5Reader& reader, const std::map<std::string, ObjectDigest>& found,
                          std::vector<std::string>& problems) {
    std::int64_t records = 0;
    for (const auto& [path, digest] : found) {
        if (digest.type != 'g' || path.empty()) continue;
        const auto value = reader.attribute(path, "waferbench_columns");
        const auto* columns = value ? std::get_if<std::vector<std::string>>(&*value) : nullptr;
        if (!columns) continue;
        check_columns(reader, path, *columns, found, problems);
        if (const auto index = found.find(path + "/row_id"); index != found.end())
            records += static_cast<std::int64_t>(index->second.rows);
    }
    return records;
}

void check_digests(const Hdf5Reader& reader, std::map<std::string, ObjectDigest> found,
                   std::vector<std::string>& problems) {
    const Table table = reader.table("integrity");
    const auto& paths = values<std::string>(table, "path");
    const auto& checksums = values<std::string>(table, "crc32c");
    for (std::size_t i = 0; i < paths.size(); ++i) {
        const auto own = found.find(paths[i].substr(std::min<std::size_t>(1, paths[i].size())));
        if (own == found.end()) {
            problems.push_back(fmt::format("{} is missing", paths[i]));
            continue;
        }
        if (fmt::format("{:08x}", own->second.crc) != checksums[i])
            problems.push_back(fmt::format("{} has changed: its checksum is {:08x}, {} was written", paths[i],
                                           own->second.crc, checksums[i]));
        found.erase(own);
    }
    for (const auto& [path, digest] : found) problems.push_back(fmt::format("/{} was added after publishing", path));
}

}  // namespace

std::vector<std::string> verify(const fs::path& path) {
    std::vector<std::string> problems;
    try {
        const Hdf5Reader reader(path);
        if (!reader.sealed()) problems.push_back("the file has no seal: it was cut or edited after publishing");
        if (!reader.has("integrity")) return {"/integrity is missing: the file was never finished"};
        check_number(reader, "closed", 1, problems);
        const auto found = reader.digests();
        check_number(reader, "record_count", check_tables(reader, found, problems), problems);
        check_digests(reader, found, problems);
    } catch (const std::exception& error) {  // Error, or memory that a damaged file asks for
        problems.emplace_back(error.what());
    }
    return problems;
}

void replace_file(const fs::path& path, std::span<const std::byte> bytes,
                  const std::function<void(const fs::path& aside)>& check) {
    Aside aside(path);
    aside.write(bytes);
    if (check) check(aside.path());
    aside.rename();
}

void publish(const fs::path& path, const std::function<void(Hdf5Writer&)>& build) {
    Hdf5Writer writer(path.string());
    build(writer);
    const std::vector<std::byte> image = writer.finish();
    replace_file(path, image, [&](const fs::path& aside) {
        const auto problems = verify(aside);
        if (!problems.empty())
            throw Error({path.string(), "what was written does not read back: " + problems.front(),
                         fmt::format("{} problems; the old file, if any, is untouched", problems.size()),
                         "Check the disk; the journal still holds everything."},
                        Exit::io);
    });
}

}  // namespace wb
