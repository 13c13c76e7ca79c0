#include <fmt/format.h>
#include <fmt/ranges.h>
#include <onnx/defs/schema.h>
#include <onnx/onnx_pb.h>
#include <onnx/shape_inference/implementation.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <fstream>
#include <unordered_map>

#include "core/element.hpp"
#include "core/error.hpp"
#include "kernels/workloads/onnx/imported.hpp"

namespace wb::onnx_import {
namespace {

constexpr std::size_t most_elements = 1U << 25;  // 256 MiB of doubles: a mask of 4096 x 4096 with room

template <class T>
void append(const std::string& raw, std::vector<double>& out) {
    for (std::size_t at = 0; at + sizeof(T) <= raw.size(); at += sizeof(T)) {
        T x;
        std::memcpy(&x, raw.data() + at, sizeof(T));
        out.push_back(static_cast<double>(x));
    }
}

void append_16(const std::string& raw, DType type, std::vector<double>& out) {
    for (std::size_t at = 0; at + 2 <= raw.size(); at += 2) out.push_back(decode(type, raw.data() + at));
}

bool is_floating(int type) {
    return type == onnx::TensorProto::FLOAT || type == onnx::TensorProto::DOUBLE ||
           type == onnx::TensorProto::FLOAT16 || type == onnx::TensorProto::BFLOAT16;
}

/// The elements of an initialiser; nothing if they lie in another file or are of a type that is no number here.
std::optional<Array> array_of(const onnx::TensorProto& t) {
    Array a{Shape(t.dims().begin(), t.dims().end()), {}};
    if (t.data_location() == onnx::TensorProto::EXTERNAL || static_cast<std::size_t>(elements(a.shape)) > most_elements)
        return std::nullopt;
    const auto small = [&](DType type) {
        for (const int x : t.int32_data()) {
            const auto half = static_cast<std::uint16_t>(x);
            a.v.push_back(decode(type, &half));
        }
        append_16(t.raw_data(), type, a.v);
    };
    const auto narrow = [&] { a.v.assign(t.int32_data().begin(), t.int32_data().end()); };
    switch (t.data_type()) {
        case onnx::TensorProto::FLOAT:
            a.v.assign(t.float_data().begin(), t.float_data().end()), append<float>(t.raw_data(), a.v);
            break;
        case onnx::TensorProto::DOUBLE:
            a.v.assign(t.double_data().begin(), t.double_data().end()), append<double>(t.raw_data(), a.v);
            break;
        case onnx::TensorProto::INT64:
            a.v.assign(t.int64_data().begin(), t.int64_data().end()), append<std::int64_t>(t.raw_data(), a.v);
            break;
        case onnx::TensorProto::INT32: narrow(), append<std::int32_t>(t.raw_data(), a.v); break;
        case onnx::TensorProto::BOOL:
        case onnx::TensorProto::UINT8: narrow(), append<std::uint8_t>(t.raw_data(), a.v); break;
        case onnx::TensorProto::INT8: narrow(), append<std::int8_t>(t.raw_data(), a.v); break;
        case onnx::TensorProto::FLOAT16: small(DType::f16); break;
        case onnx::TensorProto::BFLOAT16: small(DType::bf16); break;
        default: return std::nullopt;
    }
    if (static_cast<std::int64_t>(a.v.size()) != elements(a.shape)) return std::nullopt;
    return a;
}

/// Known whole numbers as the library's shape rules want to read them.
onnx::TensorProto proto_of(const Array& a) {
    onnx::TensorProto t;
    t.set_data_type(onnx::TensorProto::INT64);
    for (const std::int64_t extent : a.shape) t.add_dims(extent);
    for (const double x : a.v)
        t.add_int64_data(x >= 9.2e18 ? INT64_MAX : x <= -9.2e18 ? INT64_MIN : static_cast<std::int64_t>(x));
    return t;
}

NodeAttributes attributes_of(const onnx::NodeProto& node) {
    NodeAttributes out;
    for (const onnx::AttributeProto& a : node.attribute()) {
        if (a.has_t())
            if (auto array = array_of(a.t())) out.arrays[a.name()] = std::move(*array);
        if (a.type() == onnx::AttributeProto::INT) out.ints[a.name()] = {a.i()};
        if (a.type() == onnx::AttributeProto::INTS) out.ints[a.name()] = {a.ints().begin(), a.ints().end()};
        if (a.type() == onnx::AttributeProto::FLOAT) out.floats[a.name()] = a.f();
        if (a.type() == onnx::AttributeProto::STRING) out.words[a.name()] = a.s();
    }
    return out;
}

bool contains(const std::string& text, const char* part) { return text.find(part) != std::string::npos; }

class Loader {
public:
    Loader(std::string path, const Sizes& sizes) : path_(std::move(path)), sizes_(sizes) {}

    Imported load() {
        std::ifstream in(path_, std::ios::binary);
        if (!in) fail("cannot be read", "", "");
        if (!model_.ParseFromIstream(&in) || !model_.has_graph())
            fail("is no ONNX model", "its bytes are no message of that form", "");
        for (const auto& set : model_.opset_import()) opsets_[set.domain()] = static_cast<int>(set.version());
        opsets_.emplace("", 1);
        out_.opset = opsets_[""];
        out_.producer = model_.producer_name();
        out_.nodes_in_file = model_.graph().node_size();
        for (const onnx::TensorProto& t : model_.graph().initializer()) initialiser(t);
        for (const onnx::ValueInfoProto& info : model_.graph().input())
            if (!ids_.contains(info.name())) input(info);
        for (onnx::NodeProto& node : *model_.mutable_graph()->mutable_node()) add(node);
        for (const onnx::ValueInfoProto& info : model_.graph().output()) {
            out_.outputs.push_back(id(info.name()));
            out_.value(out_.outputs.back()).output = true;
        }
        return std::move(out_);
    }

private:
    [[noreturn]] void fail(std::string problem, std::string why, std::string hint) const {
        throw Error({path_, std::move(problem), std::move(why), std::move(hint)});
    }

    int id(const std::string& name) {
        const auto [at, fresh] = ids_.emplace(name, static_cast<int>(out_.values.size()));
        if (fresh) {
            out_.values.emplace_back();
            out_.values.back().name = name;
        }
        return at->second;
    }

    void set_type(int v, int element, const Shape& shape) {
        Value& value = out_.value(v);
        value.shape = shape;
        value.typed = true;
        value.floating = is_floating(element);
        onnx::TypeProto& type = types_[value.name];
        type.mutable_tensor_type()->set_elem_type(element);
        type.mutable_tensor_type()->mutable_shape()->clear_dim();
        for (const std::int64_t extent : shape)
            type.mutable_tensor_type()->mutable_shape()->add_dim()->set_dim_value(extent);
    }

    void initialiser(const onnx::TensorProto& t) {
        const int v = id(t.name());
        set_type(v, t.data_type(), Shape(t.dims().begin(), t.dims().end()));
        out_.value(v).weight = is_floating(t.data_type()) && elements(out_.value(v).shape) > 1;
        if (out_.value(v).weight && elements(out_.value(v).shape) > 4096)
            unread_[v] = &t;  // only masks and tables of angles are ever read
        else
            out_.value(v).known = array_of(t);
    }

    /// The size a free dimension is given, by its name or, if that says nothing, by its place.
    std::int64_t bound(const std::string& input, const std::string& name, int place) const {
        std::string lower = name;
        std::transform(lower.begin(), lower.end(), lower.begin(), [](unsigned char c) { return std::tolower(c); });
        const bool past = contains(lower, "past");
        const std::int64_t batch = sizes_.batch > 0 ? sizes_.batch : 1, seq = sizes_.seq > 0 ? sizes_.seq : 128;
        if (contains(lower, "total") || (past && contains(lower, "+"))) return sizes_.past + seq;
        if (past) return sizes_.past;
        if (contains(lower, "batch")) return batch;
        if (contains(lower, "seq") || contains(lower, "len") || contains(lower, "token")) return seq;
        if (place == 0) return batch;
        if (place == 1) return seq;
        fail(fmt::format("its input \"{}\" has a dimension \"{}\" that nobody sizes", input, name),
             "known are names with batch, seq, len, token, past or total, and the first two places",
             "Fix it when exporting.");
    }

    void input(const onnx::ValueInfoProto& info) {
        const auto& type = info.type().tensor_type();
        Shape shape;
        for (int d = 0; d < type.shape().dim_size(); ++d) {
            const auto& dim = type.shape().dim(d);
            if (dim.has_dim_value() && dim.dim_value() > 0) {
                const std::int64_t asked = d == 0 ? sizes_.batch : d == 1 ? sizes_.seq : 0;
                if (asked > 0 && asked != dim.dim_value() && !sizes_.flexible && !is_floating(type.elem_type()))
                    fail(fmt::format("its input \"{}\" has {} {}, fixed in the file, not {}", info.name(),
                                     dim.dim_value(), d == 0 ? "sequences" : "tokens", asked),
                         "what follows is computed for that size",
                         "Export with dynamic axes, or ask for the file's size.");
                shape.push_back(dim.dim_value());
                continue;
            }
            const std::int64_t size = bound(info.name(), dim.dim_param(), d);
            if (size < 1)
                fail(fmt::format("dimension \"{}\" of its input \"{}\" is free", dim.dim_param(), info.name()),
                     "the file names no size",
                     contains(dim.dim_param(), "past") ? "Give past = 1 or more." : "Give seq = 128 or another size.");
            shape.push_back(size);
        }
        const int v = id(info.name());
        set_type(v, type.elem_type(), shape);
        out_.value(v).input = true;
        if (is_floating(type.elem_type())) {
            out_.inputs.push_back(v);
        } else if (contains(info.name(), "mask")) {
            out_.value(v).known = Array::filled(shape, 1);
        } else if (contains(info.name(), "position")) {
            Array a = Array::filled(shape, 0);
            for (std::size_t i = 0; i < a.v.size(); ++i)
                a.v[i] = static_cast<double>(sizes_.past + static_cast<std::int64_t>(i) % shape.back());
            out_.value(v).known = a;
        } else {
            out_.inputs.push_back(v);
        }
    }

    void add(onnx::NodeProto& proto) {
        Node node{proto.op_type(), proto.name(), proto.domain(), {}, {}, attributes_of(proto)};
        for (const std::string& name : proto.input()) node.in.push_back(name.empty() ? -1 : id(name));
        infer(proto, node);
        for (const std::string& name : proto.output()) node.out.push_back(name.empty() ? -1 : id(name));
        if (fold(node)) return;
        const int at = static_cast<int>(out_.nodes.size());
        for (const int v : node.in)
            if (v >= 0) out_.value(v).users.push_back(at);
        for (const int v : node.out)
            if (v >= 0) out_.value(v).producer = at;
        out_.nodes.push_back(std::move(node));
    }

    /// Newer opsets than the library's give reductions their axes as an input, which its rules do not read.
    void make_older(onnx::NodeProto& proto, const Node& node) const {
        if (!node.op.starts_with("Reduce") || node.op == "ReduceSum" || node.in.size() < 2) return;
        if (const Array* axes = out_.known(node, 1)) {
            onnx::AttributeProto* a = proto.add_attribute();
            a->set_name("axes");
            a->set_type(onnx::AttributeProto::INTS);
            for (const double d : axes->v) a->add_ints(static_cast<std::int64_t>(d));
            proto.mutable_input()->DeleteSubrange(1, proto.input_size() - 1);
        }
    }

    /// Gives the outputs of a node their types and shapes, by the rules of the ONNX library. What it has no rule for
    /// stays untyped; such a node is named later.
    void infer(onnx::NodeProto& proto, const Node& node) {
        for (const std::string& name : proto.output())
            if (!name.empty()) id(name);
        const bool newer = node.op == "Gelu" || node.op == "RMSNormalization";  // opsets 20 and 23
        if (newer && node.domain.empty() && out_.value(node.in.at(0)).typed) {
            const Value& x = out_.value(node.in[0]);
            return set_type(id(proto.output(0)), onnx::TensorProto::FLOAT, Shape(x.shape));
        }
        const auto* schema = onnx::OpSchemaRegistry::Schema(node.op, opset_of(node), node.domain);
        if (!schema || !schema->has_type_and_shape_inference_function()) return;
        for (const int v : node.in)
            if (v >= 0 && !out_.value(v).typed) return;  // it follows one that is not known
        make_older(proto, node);
        std::unordered_map<std::string, onnx::TypeProto*> types;
        std::unordered_map<std::string, onnx::TensorProto> protos;
        std::unordered_map<std::string, const onnx::TensorProto*> data;
        for (const int v : node.in) {
            if (v < 0) continue;
            const Value& value = out_.value(v);
            types[value.name] = &types_.at(value.name);
            if (value.known && !value.floating && value.known->v.size() <= 4096)
                data[value.name] = &(protos[value.name] = proto_of(*value.known));
        }
        try {
            onnx::shape_inference::InferenceContextImpl context(proto, types, data, {});
            schema->GetTypeAndShapeInferenceFunction()(context);
            for (int i = 0; i < proto.output_size(); ++i) {
                if (proto.output(i).empty()) continue;
                const auto& type = context.getOutputType(static_cast<std::size_t>(i))->tensor_type();
                Shape shape;
                bool whole = type.has_shape();
                for (const auto& dim : type.shape().dim()) {
                    whole = whole && dim.has_dim_value();
                    shape.push_back(dim.dim_value());
                }
                if (whole) set_type(id(proto.output(i)), type.elem_type(), shape);
            }
        } catch (const std::exception& e) {
            fail(fmt::format("node \"{}\" ({}) does not fit its inputs", node.name, node.op), e.what(), "");
        }
    }

    int opset_of(const Node& node) const {
        const auto at = opsets_.find(node.domain);
        return at == opsets_.end() ? 1 : at->second;
    }

    /// A trained matrix stays one through a change of its form; everything else that is known is computed now.
    bool fold(const Node& node) {
        if (!node.domain.empty()) return false;
        bool typed = true, whole = true;
        for (const int v : node.out)
            if (v >= 0) typed = typed && out_.value(v).typed;
        if (!typed) return false;
        std::vector<const Array*> in;
        if (node.op == "Shape" || node.op == "Size") return fold_shape(node);
        for (const int v : node.in)
            if (v >= 0 && out_.value(v).weight && out_.value(v).shape.size() > 1 && keeps_weight(node.op)) return false;
        for (const int v : node.in)
            if (v >= 0 && !out_.value(v).known && !unread_.contains(v)) return false;
        for (std::size_t i = 0; i < node.in.size(); ++i) {
            if (node.in[i] >= 0 && !out_.known(node, i))
                out_.value(node.in[i]).known = array_of(*unread_.at(node.in[i]));
            in.push_back(out_.known(node, i));
            if (node.in[i] < 0) continue;
            if (!in.back()) return false;
            whole = whole && !out_.value(node.in[i]).floating;
        }
        if (node.op == "Cast") whole = !out_.value(node.out[0]).floating;
        const auto results = evaluate(node.op, in, node.attributes, node.out.size(), whole, most_elements);
        if (!results) return false;
        for (std::size_t i = 0; i < node.out.size() && i < results->size(); ++i) {
            if (node.out[i] < 0) continue;
            Value& value = out_.value(node.out[i]);
            value.known = (*results)[i];
            value.weight = node.op == "Identity" && out_.value(node.in[0]).weight;
        }
        return true;
    }

    static bool keeps_weight(const std::string& op) {
        return op == "Transpose" || op == "Cast" || op == "Identity" || op == "Gather" || op == "Reshape" ||
               op == "MatMul" || op == "Gemm" || op == "Squeeze" || op == "Unsqueeze";
    }

    bool fold_shape(const Node& node) {
        const Value& x = out_.value(node.in.at(0));
        if (!x.typed) return false;
        Array of{x.shape, {}};
        const double count = static_cast<double>(elements(x.shape));
        if (node.op == "Size") {
            out_.value(node.out[0]).known = Array::scalar(count);
        } else {
            const auto result = evaluate("Shape", {&of}, node.attributes, 1, true, most_elements);
            out_.value(node.out[0]).known = result->front();
        }
        return true;
    }

    std::string path_;
    Sizes sizes_;
    onnx::ModelProto model_;
    std::unordered_map<std::string, int> opsets_;
    std::unordered_map<std::string, int> ids_;
    std::unordered_map<int, const onnx::TensorProto*> unread_;
    std::unordered_map<std::string, onnx::TypeProto> types_;
    Imported out_;
};

}  // namespace

Imported load(const std::string& path, const Sizes& sizes) { return Loader(path, sizes).load(); }

}  // namespace wb::onnx_import
