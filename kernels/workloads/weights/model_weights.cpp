#include "kernels/workloads/weights/model_weights.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cctype>
#include <cstring>
#include <filesystem>

#include "core/element.hpp"
#include "core/error.hpp"
#include "core/fill_source.hpp"
#include "core/hash.hpp"
#include "core/suggest.hpp"
#include "kernels/workloads/weights/weight_names.hpp"

namespace wb {
namespace {

/// A weight read where it lies in the files, through transpositions and out of fused matrices.
class StoredWeight : public FillSource {
public:
    struct Part {
        const StoredTensor* from;
        StoredView view;
    };

    explicit StoredWeight(std::shared_ptr<const Safetensors> files) : files_(std::move(files)) {}
    void add_instance(std::vector<Part> parts) { instances_.push_back(std::move(parts)); }

    double value(std::int64_t instance, std::int64_t i) const override {
        const std::vector<Part>& parts = instances_.at(static_cast<std::size_t>(instance));
        const std::int64_t each = parts.front().view.size();
        const Part& part = parts.at(static_cast<std::size_t>(i / each));
        const DType type = *part.from->dtype;
        const std::byte* const at = part.from->data + part.view.at(i % each) * stored_bytes(type);
        alignas(8) std::byte element[8];  // the format does not align tensors
        std::memcpy(element, at, static_cast<std::size_t>(stored_bytes(type)));
        return decode(type, element);
    }

    std::string digest() const override {
        Digest d;
        for (const std::vector<Part>& parts : instances_)
            for (const Part& part : parts) {
                d.add(name(*part.from->dtype)).add(part.view.offset);
                for (const StoredView::Digit& digit : part.view.digits) d.add(digit.extent).add(digit.stride);
                d.add(static_cast<std::uint64_t>(files_->checksum(*part.from)));
            }
        return d.hex();
    }

private:
    std::shared_ptr<const Safetensors> files_;
    std::vector<std::vector<Part>> instances_;
};

/// Names under which the same tensor is known: with or without the model's own prefix, and BERT's older norms.
std::vector<std::string> spellings(const std::string& name) {
    std::vector<std::string> out{name};
    for (const char* prefix : {"transformer.", "model.", "bert.", "gpt_neox."}) {
        const std::string p = prefix;
        if (name.starts_with(p)) out.push_back(name.substr(p.size()));
        if (p == "bert." && name.starts_with(p)) out.push_back("roberta." + name.substr(p.size()));
    }
    const auto older = [](std::string text, const std::string& norm, const std::string& was) {
        if (text.ends_with(norm)) text.replace(text.size() - norm.size(), norm.size(), was);
        return text;
    };
    for (std::size_t i = 0, n = out.size(); i < n; ++i) {
        out.push_back(older(out[i], "LayerNorm.weight", "LayerNorm.gamma"));
        out.push_back(older(out[i], "LayerNorm.bias", "LayerNorm.beta"));
    }
    return out;
}

}  // namespace

std::shared_ptr<const ModelWeights> ModelWeights::find(const std::string& folder, const ModelConfig& model) {
    std::shared_ptr<const Safetensors> files = Safetensors::open(folder);
    if (!files) return nullptr;
    return std::make_shared<const ModelWeights>(std::move(files), model, folder);
}

ModelWeights::ModelWeights(std::shared_ptr<const Safetensors> files, const ModelConfig& model, std::string folder)
    : files_(std::move(files)), model_(model), folder_(std::move(folder)) {}

const StoredTensor& ModelWeights::stored(const std::string& name, const std::string& role) const {
    for (const std::string& spelling : spellings(name))
        if (const StoredTensor* t = files_->find(spelling)) {
            const std::lock_guard lock(guard_);
            used_.insert(spelling);
            return *t;
        }
    std::vector<std::string> known;
    for (const auto& [other, tensor] : files_->tensors()) known.push_back(other);
    const auto near = nearest(name, known);
    throw Error({folder_, fmt::format("its safetensors hold no \"{}\"", name),
                 fmt::format("the model's weight {} is read from it", role),
                 (near ? fmt::format("There is \"{}\". ", *near) : fmt::format("They hold {} others. ", known.size())) +
                     "Without the files beside config.json, weights come from a hash."});
}

Fill ModelWeights::fill(const std::string& role, const Shape& shape, const LayerRange& layers) const {
    auto source = std::make_shared<StoredWeight>(files_);
    for (std::int64_t k = 0; k < layers.count; ++k) {
        std::vector<StoredWeight::Part> parts;
        for (StoredView& view : stored_views(model_, role, layers.first + k * layers.step, shape)) {
            const StoredTensor& t = stored(view.tensor, role);
            if (t.shape != view.stored)
                throw Error({t.file->path(),
                             fmt::format("tensor \"{}\" has shape [{}], should have [{}]", t.name,
                                         fmt::join(t.shape, ", "), fmt::join(view.stored, ", ")),
                             "config.json says so", "One of the two belongs to another model."});
            if (!t.dtype)
                throw Error({t.file->path(), fmt::format("tensor \"{}\" is of type {}", t.name, t.type),
                             "integers and 8-bit floats are quantised and need scales kept elsewhere",
                             "Known: F64, F32, F16, BF16."});
            parts.push_back({&t, std::move(view)});
        }
        if (parts.empty())
            throw Error({folder_, fmt::format("no tensor is known for the weight {} of {}", role, model_.type),
                         "the graph needs its values", "Take the safetensors away to use hashed weights."});
        source->add_instance(std::move(parts));
    }
    return {Fill::Kind::source, 0, {}, std::move(source)};
}

std::vector<std::string> ModelWeights::unused() const {
    const std::lock_guard lock(guard_);
    std::set<std::string> out;
    for (const auto& [name, tensor] : files_->tensors()) {
        if (used_.contains(name)) continue;
        std::string folded;
        for (const char c : name) {
            const bool digit = std::isdigit(static_cast<unsigned char>(c)) != 0;
            if (digit && (folded.empty() || folded.back() == '.')) folded += '*';
            if (!digit || folded.back() != '*') folded += c;
        }
        out.insert(folded);
    }
    return {out.begin(), out.end()};
}

}  // namespace wb
