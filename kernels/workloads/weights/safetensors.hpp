#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/dtype.hpp"
#include "core/op.hpp"

namespace wb {

/// A file mapped into memory, read only.
class MappedFile {
public:
    explicit MappedFile(const std::string& path);
    ~MappedFile();
    MappedFile(const MappedFile&) = delete;
    MappedFile& operator=(const MappedFile&) = delete;

    const std::string& path() const { return path_; }
    const std::byte* data() const { return data_; }
    std::size_t size() const { return size_; }

private:
    std::string path_;
    const std::byte* data_ = nullptr;
    std::size_t size_ = 0;
};

/// One tensor of a safetensors file: row-major, little endian.
struct StoredTensor {
    std::string name, type;      ///< "F32", "BF16", as the file writes it
    std::optional<DType> dtype;  ///< nothing: a type whose values are not read (quantised ones have scales elsewhere)
    Shape shape;
    const std::byte* data = nullptr;
    std::size_t bytes = 0;
    const MappedFile* file = nullptr;
};

/// The weights of a folder as Hugging Face keeps them: `model.safetensors`, or the shards that
/// `model.safetensors.index.json` names, or else every *.safetensors file. Format:
/// https://github.com/huggingface/safetensors (8 bytes length, that many of JSON, then the data).
class Safetensors {
public:
    /// Null if the folder has none. Throws Error for a file that is cut short, damaged or missing from the index.
    static std::shared_ptr<const Safetensors> open(const std::string& folder);

    const StoredTensor* find(const std::string& name) const;
    const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }
    const std::vector<std::unique_ptr<MappedFile>>& files() const { return files_; }
    std::size_t bytes() const;  ///< of all tensors
    /// CRC-32C of a tensor's bytes: of all of them up to 64 KiB, else of 16 pieces of 4 KiB from begin to end. A model
    /// trained further differs in every piece; the 140 GB of a large one need not be read for its name.
    std::uint32_t checksum(const StoredTensor& tensor) const;

private:
    void read(const std::string& path);

    std::vector<std::unique_ptr<MappedFile>> files_;
    std::map<std::string, StoredTensor> tensors_;
    mutable std::mutex guard_;
    mutable std::map<const StoredTensor*, std::uint32_t> checksums_;
};

}  // namespace wb
