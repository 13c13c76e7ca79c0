#pragma once

#include <onnx/onnx_pb.h>

#include <cstdint>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

/// Writes ONNX graphs node by node, as exporters do: every size is computed from shapes, every bias and norm written
/// out.
class OnnxWriter {
public:
    using Ints = std::vector<std::int64_t>;
    using Names = std::vector<std::string>;

    explicit OnnxWriter(int opset) {
        model_.set_ir_version(8);
        model_.set_producer_name("pytorch");
        model_.add_opset_import()->set_version(opset);
        model_.mutable_graph()->set_name("main_graph");
    }

    void input(const std::string& name, int type, const Names& dims) {
        describe(*model_.mutable_graph()->add_input(), name, type, dims);
    }
    void output(const std::string& name) {
        describe(*model_.mutable_graph()->add_output(), name, onnx::TensorProto::FLOAT, {});
    }

    /// Weights are kept in another file, as those of large models are: only their shapes matter.
    std::string weight(const std::string& name, const Ints& shape) {
        onnx::TensorProto* t = initialiser(name, shape, onnx::TensorProto::FLOAT);
        t->set_data_location(onnx::TensorProto::EXTERNAL);
        auto* where = t->add_external_data();
        where->set_key("location");
        where->set_value("weights.bin");
        return name;
    }
    std::string floats(const std::string& name, const Ints& shape, const std::vector<float>& values) {
        initialiser(name, shape, onnx::TensorProto::FLOAT)->mutable_float_data()->Add(values.begin(), values.end());
        return name;
    }
    std::string booleans(const std::string& name, const Ints& shape, const std::string& raw) {
        initialiser(name, shape, onnx::TensorProto::BOOL)->set_raw_data(raw);
        return name;
    }
    /// A Constant node.
    std::string number(float x) {
        onnx::TensorProto t;
        t.set_data_type(onnx::TensorProto::FLOAT);
        t.add_float_data(x);
        return constant(t);
    }
    std::string ints(const Ints& values) {
        onnx::TensorProto t;
        t.set_data_type(onnx::TensorProto::INT64);
        t.add_dims(static_cast<std::int64_t>(values.size()));
        t.mutable_int64_data()->Add(values.begin(), values.end());
        return constant(t);
    }
    std::string integer(std::int64_t x) {
        onnx::TensorProto t;
        t.set_data_type(onnx::TensorProto::INT64);
        t.add_int64_data(x);
        return constant(t);
    }

    std::string node(const std::string& op, const Names& in,
                     const std::vector<std::pair<std::string, Ints>>& attributes = {}, int outputs = 1) {
        onnx::NodeProto* n = model_.mutable_graph()->add_node();
        n->set_op_type(op);
        n->set_name("/" + op + "_" + std::to_string(count_));
        for (const std::string& name : in) n->add_input(name);
        const std::string out = n->name() + "_output";
        for (int i = 0; i < outputs; ++i) n->add_output(out + "_" + std::to_string(i));
        ++count_;
        for (const auto& [name, values] : attributes) {
            const bool one =
                name == "axis" || name == "keepdims" || name == "to" || name == "transB" || name == "upper";
            onnx::AttributeProto* a = n->add_attribute();
            a->set_name(name);
            a->set_type(one ? onnx::AttributeProto::INT : onnx::AttributeProto::INTS);
            if (one)
                a->set_i(values.front());
            else
                a->mutable_ints()->Add(values.begin(), values.end());
        }
        return out + "_0";
    }
    /// Another output of the node that made `first`.
    static std::string output_of(const std::string& first, int i) {
        return first.substr(0, first.size() - 1) + std::to_string(i);
    }
    void rename_last(const std::string& name) { model_.mutable_graph()->mutable_node()->rbegin()->set_output(0, name); }
    /// Extent `axis` of a value, the way tracing writes it.
    std::string extent(const std::string& of, std::int64_t axis) {
        return node("Gather", {node("Shape", {of}), integer(axis)}, {{"axis", {0}}});
    }
    /// A shape of computed and fixed extents.
    std::string shape(const Names& extents) {
        Names parts;
        for (const std::string& e : extents) parts.push_back(node("Unsqueeze", {e, ints({0})}));
        return node("Concat", parts, {{"axis", {0}}});
    }

    void save(const std::string& path) const {
        std::ofstream out(path, std::ios::binary);
        model_.SerializeToOstream(&out);
    }

private:
    std::string constant(const onnx::TensorProto& t) {
        const std::string out = node("Constant", {});
        onnx::AttributeProto* a = model_.mutable_graph()->mutable_node()->rbegin()->add_attribute();
        a->set_name("value");
        a->set_type(onnx::AttributeProto::TENSOR);
        *a->mutable_t() = t;
        return out;
    }
    onnx::TensorProto* initialiser(const std::string& name, const Ints& shape, int type) {
        onnx::TensorProto* t = model_.mutable_graph()->add_initializer();
        t->set_name(name);
        t->set_data_type(type);
        t->mutable_dims()->Add(shape.begin(), shape.end());
        return t;
    }
    static void describe(onnx::ValueInfoProto& info, const std::string& name, int type, const Names& dims) {
        info.set_name(name);
        auto* tensor = info.mutable_type()->mutable_tensor_type();
        tensor->set_elem_type(type);
        for (const std::string& d : dims) {
            auto* dim = tensor->mutable_shape()->add_dim();
            if (d.find_first_not_of("0123456789") == std::string::npos)
                dim->set_dim_value(std::stoll(d));
            else
                dim->set_dim_param(d);
        }
    }

    onnx::ModelProto model_;
    int count_ = 0;
};
