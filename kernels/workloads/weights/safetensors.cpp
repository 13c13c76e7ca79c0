#include "kernels/workloads/weights/safetensors.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "core/crc32c.hpp"
#include "core/error.hpp"

namespace wb {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "safetensors are little endian");

constexpr std::size_t longest_header = 100'000'000;  // as the format's own reader allows

struct TypeRow {
    const char* name;
    std::size_t bits;
    std::optional<DType> dtype;
};
constexpr TypeRow types[] = {
    {"F64", 64, DType::f64}, {"F32", 32, DType::f32}, {"F16", 16, DType::f16}, {"BF16", 16, DType::bf16},
    {"I64", 64, {}},         {"I32", 32, {}},         {"I16", 16, {}},         {"I8", 8, {}},
    {"U64", 64, {}},         {"U32", 32, {}},         {"U16", 16, {}},         {"U8", 8, {}},
    {"BOOL", 8, {}},         {"F8_E4M3", 8, {}},      {"F8_E5M2", 8, {}},
};

[[noreturn]] void damaged(const std::string& path, std::string problem) {
    throw Error({path, std::move(problem), "it is no whole safetensors file", "Fetch it again."});
}

StoredTensor entry(const MappedFile& file, std::size_t begin, const std::string& name, const json& row) {
    StoredTensor t;
    t.name = name;
    t.file = &file;
    try {
        t.type = row.at("dtype").get<std::string>();
        std::size_t count = 1;
        for (const json& extent : row.at("shape")) {
            const auto n = extent.get<std::int64_t>();
            if (n < 0 || (n > 0 && count > std::numeric_limits<std::size_t>::max() / 128 / static_cast<std::size_t>(n)))
                damaged(file.path(), fmt::format("tensor \"{}\" has an extent of {}", name, n));
            t.shape.push_back(n);
            count *= static_cast<std::size_t>(n);
        }
        const auto first = row.at("data_offsets").at(0).get<std::size_t>();
        const auto last = row.at("data_offsets").at(1).get<std::size_t>();
        if (first > last || last > file.size() - begin)
            damaged(file.path(),
                    fmt::format("tensor \"{}\" lies at bytes {} to {} of {}", name, first, last, file.size() - begin));
        t.data = file.data() + begin + first;
        t.bytes = last - first;
        for (const TypeRow& type : types) {
            if (t.type != type.name) continue;
            t.dtype = type.dtype;
            if (t.bytes * 8 != count * type.bits)
                damaged(file.path(), fmt::format("tensor \"{}\", {} [{}], has {} bytes", name, t.type,
                                                 fmt::join(t.shape, ", "), t.bytes));
        }
    } catch (const json::exception&) {
        damaged(file.path(), fmt::format("tensor \"{}\" has no dtype, shape and data_offsets", name));
    }
    return t;
}

std::vector<std::string> files_of(const fs::path& folder) {
    std::error_code ignored;
    const fs::path index = folder / "model.safetensors.index.json";
    std::set<std::string> out;
    if (fs::exists(index, ignored)) {
        std::ifstream in(index);
        const json parsed = json::parse(in, nullptr, false);
        if (!parsed.is_object() || !parsed.contains("weight_map") || !parsed["weight_map"].is_object())
            throw Error({index.string(), "has no \"weight_map\"", "it says which file holds which tensor", ""});
        for (const auto& [tensor, file] : parsed["weight_map"].items()) {
            if (!file.is_string() || !fs::exists(folder / file.get<std::string>(), ignored))
                throw Error({index.string(),
                             fmt::format("puts \"{}\" into {}, which is not there", tensor, file.dump()),
                             "a part of the weights would be missing",
                             "Fetch it, or take the index away to use hashed weights."});
            out.insert((folder / file.get<std::string>()).string());
        }
        return {out.begin(), out.end()};
    }
    if (fs::exists(folder / "model.safetensors", ignored)) return {(folder / "model.safetensors").string()};
    for (const auto& file : fs::directory_iterator(folder, ignored))
        if (file.path().extension() == ".safetensors") out.insert(file.path().string());
    return {out.begin(), out.end()};
}

}  // namespace

MappedFile::MappedFile(const std::string& path) : path_(path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
    struct stat status {};
    if (file < 0 || ::fstat(file, &status) != 0) {
        const std::string why = std::strerror(errno);
        if (file >= 0) ::close(file);
        throw Error({path, "cannot be read", why, ""});
    }
    size_ = static_cast<std::size_t>(status.st_size);
    void* const at = size_ > 0 ? ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0) : nullptr;
    const std::string why = at == MAP_FAILED ? std::strerror(errno) : "";
    ::close(file);
    if (at == MAP_FAILED) throw Error({path, "cannot be mapped into memory", why, ""});
    data_ = static_cast<const std::byte*>(at);
}

MappedFile::~MappedFile() {
    if (data_) ::munmap(const_cast<std::byte*>(data_), size_);
}

void Safetensors::read(const std::string& path) {
    const MappedFile& file = *files_.emplace_back(std::make_unique<MappedFile>(path));
    std::uint64_t length = 0;
    if (file.size() < sizeof(length)) damaged(path, fmt::format("has {} bytes", file.size()));
    std::memcpy(&length, file.data(), sizeof(length));
    if (length > longest_header || length > file.size() - sizeof(length))
        damaged(path, fmt::format("has {} bytes and a header of {}", file.size(), length));
    const auto* text = reinterpret_cast<const char*>(file.data() + sizeof(length));
    const json header = json::parse(text, text + length, nullptr, false);
    if (!header.is_object()) damaged(path, "has a header that is no JSON object");
    for (const auto& [name, row] : header.items()) {
        if (name == "__metadata__") continue;
        if (!tensors_.emplace(name, entry(file, sizeof(length) + length, name, row)).second)
            throw Error({path, fmt::format("holds \"{}\", as another file does", name), "only one can be meant", ""});
    }
}

std::shared_ptr<const Safetensors> Safetensors::open(const std::string& folder) {
    const std::vector<std::string> paths = files_of(folder);
    if (paths.empty()) return nullptr;
    auto all = std::make_shared<Safetensors>();
    for (const std::string& path : paths) all->read(path);
    return all;
}

const StoredTensor* Safetensors::find(const std::string& name) const {
    const auto at = tensors_.find(name);
    return at == tensors_.end() ? nullptr : &at->second;
}

std::size_t Safetensors::bytes() const {
    std::size_t sum = 0;
    for (const auto& [name, tensor] : tensors_) sum += tensor.bytes;
    return sum;
}

std::uint32_t Safetensors::checksum(const StoredTensor& tensor) const {
    constexpr std::size_t piece = 4096, pieces = 16;
    const std::lock_guard lock(guard_);
    const auto [at, fresh] = checksums_.emplace(&tensor, 0);
    if (!fresh) return at->second;
    if (tensor.bytes <= piece * pieces) return at->second = crc32c(tensor.data, tensor.bytes);
    for (std::size_t i = 0; i < pieces; ++i)
        at->second = crc32c(tensor.data + (tensor.bytes - piece) / (pieces - 1) * i, piece, at->second);
    return at->second;
}

}  // namespace wb
