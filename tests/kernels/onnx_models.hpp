#pragma once

#include <cmath>

#include "tests/kernels/onnx_writer.hpp"

/// Transformers written as torch.onnx writes them, with their weights in another file.
namespace exported {

struct Shape {
    std::int64_t layers, hidden, heads, kv_heads, ffn, vocab, positions;
};
using W = OnnxWriter;

inline std::string layernorm(W& w, const std::string& x, const std::string& name, std::int64_t n, float eps) {
    const std::string centred = w.node("Sub", {x, w.node("ReduceMean", {x}, {{"axes", {-1}}, {"keepdims", {1}}})});
    const std::string square = w.node("Pow", {centred, w.number(2)});
    const std::string variance = w.node("ReduceMean", {square}, {{"axes", {-1}}, {"keepdims", {1}}});
    const std::string normal = w.node("Div", {centred, w.node("Sqrt", {w.node("Add", {variance, w.number(eps)})})});
    const std::string scaled = w.node("Mul", {normal, w.weight(name + ".weight", {n})});
    return w.node("Add", {scaled, w.weight(name + ".bias", {n})});
}

/// Conv1D of GPT-2: flattened, Gemm, the shape put together again.
inline std::string conv1d(W& w, const std::string& x, const std::string& name, std::int64_t in, std::int64_t out) {
    const std::string shape = w.shape({w.extent(x, 0), w.extent(x, 1), w.integer(out)});
    const std::string flat = w.node("Reshape", {x, w.ints({-1, in})});
    const std::string y =
        w.node("Gemm", {flat, w.weight(name + ".weight", {in, out}), w.weight(name + ".bias", {out})});
    return w.node("Reshape", {y, shape});
}

inline std::string heads(W& w, const std::string& x, std::int64_t n, std::int64_t d, bool keys) {
    const std::string parted =
        w.node("Reshape", {x, w.shape({w.extent(x, 0), w.extent(x, 1), w.integer(n), w.integer(d)})});
    return w.node("Transpose", {parted}, {{"perm", keys ? W::Ints{0, 2, 3, 1} : W::Ints{0, 2, 1, 3}}});
}

inline std::string joined(W& w, const std::string& o, std::int64_t width) {
    const std::string t = w.node("Transpose", {o}, {{"perm", {0, 2, 1, 3}}});
    return w.node("Reshape", {t, w.shape({w.extent(t, 0), w.extent(t, 1), w.integer(width)})});
}

inline std::string gelu_new(W& w, const std::string& x) {
    const std::string cube = w.node("Mul", {w.node("Pow", {x, w.number(3)}), w.number(0.044715F)});
    const std::string inner = w.node("Mul", {w.node("Add", {x, cube}), w.number(0.7978845608028654F)});
    const std::string one_and = w.node("Add", {w.node("Tanh", {inner}), w.number(1)});
    return w.node("Mul", {w.node("Mul", {x, w.number(0.5F)}), one_and});
}

inline std::string gelu_erf(W& w, const std::string& x) {
    const std::string e = w.node("Erf", {w.node("Div", {x, w.number(1.4142135381698608F)})});
    return w.node("Mul", {w.node("Mul", {x, w.node("Add", {e, w.number(1)})}), w.number(0.5F)});
}

/// The lower triangle that GPT-2 keeps as a buffer, cut to the keys at hand.
inline std::string causal_buffer(W& w, const std::string& name, std::int64_t n) {
    std::string raw(static_cast<std::size_t>(n * n), '\0');
    for (std::int64_t i = 0; i < n; ++i)
        for (std::int64_t j = 0; j <= i; ++j) raw[static_cast<std::size_t>(i * n + j)] = 1;
    return w.booleans(name, {1, 1, n, n}, raw);
}

inline void gpt2(W& w, const Shape& s) {
    const std::int64_t d = s.hidden / s.heads;
    w.input("input_ids", onnx::TensorProto::INT64, {"batch_size", "sequence_length"});
    const std::string length = w.extent("input_ids", 1);
    const std::string places =
        w.node("Unsqueeze", {w.node("Range", {w.integer(0), length, w.integer(1)}), w.ints({0})});
    const std::string ids = w.node("Reshape", {"input_ids", w.shape({w.integer(-1), length})});
    const std::string table = w.weight("wte.weight", {s.vocab, s.hidden});
    std::string x = w.node("Add", {w.node("Gather", {table, ids}),
                                   w.node("Gather", {w.weight("wpe.weight", {s.positions, s.hidden}), places})});
    for (std::int64_t i = 0; i < s.layers; ++i) {
        const std::string p = "h." + std::to_string(i) + ".";
        const std::string fused =
            conv1d(w, layernorm(w, x, p + "ln_1", s.hidden, 1e-5F), p + "attn.c_attn", s.hidden, 3 * s.hidden);
        const std::string q = w.node("Split", {fused, w.ints({s.hidden, s.hidden, s.hidden})}, {{"axis", {2}}}, 3);
        const std::string qh = heads(w, q, s.heads, d, false), kh = heads(w, W::output_of(q, 1), s.heads, d, true);
        const std::string vh = heads(w, W::output_of(q, 2), s.heads, d, false);
        const std::string scores =
            w.node("Div", {w.node("MatMul", {qh, kh}), w.number(std::sqrt(static_cast<float>(d)))});
        const std::string rows =
            w.node("Slice", {causal_buffer(w, p + "attn.bias", s.positions), w.ints({0}),
                             w.node("Unsqueeze", {length, w.ints({0})}), w.ints({2}), w.ints({1})});
        const std::string mask =
            w.node("Slice", {rows, w.ints({0}), w.node("Unsqueeze", {length, w.ints({0})}), w.ints({3}), w.ints({1})});
        const std::string seen = w.node("Where", {mask, scores, w.number(-3.4028234663852886e+38F)});
        const std::string o = w.node("MatMul", {w.node("Softmax", {seen}, {{"axis", {-1}}}), vh});
        x = w.node("Add", {conv1d(w, joined(w, o, s.hidden), p + "attn.c_proj", s.hidden, s.hidden), x});
        const std::string up = conv1d(w, layernorm(w, x, p + "ln_2", s.hidden, 1e-5F), p + "mlp.c_fc", s.hidden, s.ffn);
        x = w.node("Add", {x, conv1d(w, gelu_new(w, up), p + "mlp.c_proj", s.ffn, s.hidden)});
    }
    const std::string last = layernorm(w, x, "ln_f", s.hidden, 1e-5F);
    w.node("MatMul", {last, w.node("Transpose", {table}, {{"perm", {1, 0}}})});
    w.rename_last("logits");
    w.output("logits");
}

inline std::string rmsnorm(W& w, const std::string& x, const std::string& name, std::int64_t n, float eps) {
    const std::string exact = w.node("Cast", {x}, {{"to", {onnx::TensorProto::FLOAT}}});
    const std::string mean =
        w.node("ReduceMean", {w.node("Pow", {exact, w.number(2)})}, {{"axes", {-1}}, {"keepdims", {1}}});
    const std::string inverse = w.node("Reciprocal", {w.node("Sqrt", {w.node("Add", {mean, w.number(eps)})})});
    const std::string normal = w.node("Cast", {w.node("Mul", {exact, inverse})}, {{"to", {onnx::TensorProto::FLOAT}}});
    return w.node("Mul", {w.weight(name, {n}), normal});
}

/// Linear without bias: tracing keeps the transposed matrix.
inline std::string linear(W& w, const std::string& x, const std::string& name, std::int64_t in, std::int64_t out) {
    return w.node("MatMul", {x, w.weight(name, {in, out})});
}

inline std::string rotate_half(W& w, const std::string& x, std::int64_t d) {
    const std::string a = w.node("Slice", {x, w.ints({0}), w.ints({d / 2}), w.ints({3}), w.ints({1})});
    const std::string b = w.node("Slice", {x, w.ints({d / 2}), w.ints({INT64_MAX}), w.ints({3}), w.ints({1})});
    return w.node("Concat", {w.node("Neg", {b}), a}, {{"axis", {-1}}});
}

inline std::string repeated(W& w, const std::string& x, const Shape& s, const std::string& batch,
                            const std::string& length) {
    const std::int64_t d = s.hidden / s.heads;
    const std::string wide = w.node("Unsqueeze", {x, w.ints({2})});
    const std::string all =
        w.node("Expand",
               {wide, w.shape({batch, w.integer(s.kv_heads), w.integer(s.heads / s.kv_heads), length, w.integer(d)})});
    return w.node("Reshape", {all, w.shape({batch, w.integer(s.heads), length, w.integer(d)})});
}

inline void llama(W& w, const Shape& s, double theta) {
    const std::int64_t d = s.hidden / s.heads;
    w.input("input_ids", onnx::TensorProto::INT64, {"batch_size", "sequence_length"});
    w.input("attention_mask", onnx::TensorProto::INT64, {"batch_size", "sequence_length"});
    w.input("position_ids", onnx::TensorProto::INT64, {"batch_size", "sequence_length"});
    const std::string batch = w.extent("input_ids", 0), length = w.extent("input_ids", 1);
    // Angles: inverse frequencies times places, twice beside each other.
    std::vector<float> frequencies;
    for (std::int64_t i = 0; i < d; i += 2)
        frequencies.push_back(static_cast<float>(std::pow(theta, -static_cast<double>(i) / static_cast<double>(d))));
    const std::string places =
        w.node("Cast", {w.node("Unsqueeze", {"position_ids", w.ints({1})})}, {{"to", {onnx::TensorProto::FLOAT}}});
    const std::string spread = w.node(
        "Expand", {w.floats("inv_freq", {1, d / 2, 1}, frequencies), w.shape({batch, w.integer(d / 2), w.integer(1)})});
    const std::string half = w.node("Transpose", {w.node("MatMul", {spread, places})}, {{"perm", {0, 2, 1}}});
    const std::string angles = w.node("Concat", {half, half}, {{"axis", {-1}}});
    const std::string cos = w.node("Unsqueeze", {w.node("Cos", {angles}), w.ints({1})});
    const std::string sin = w.node("Unsqueeze", {w.node("Sin", {angles}), w.ints({1})});
    // The mask: keys after the query's own place, and those of no token.
    const std::string square = w.node("ConstantOfShape", {w.shape({length, length})});
    const std::string places_j = w.node("Range", {w.integer(0), length, w.integer(1)});
    const std::string later = w.node("Greater", {places_j, w.node("Unsqueeze", {places_j, w.ints({1})})});
    const std::string above = w.node("Where", {later, w.number(-3.4e38F), square});
    const std::string padded = w.node("Equal", {w.node("Unsqueeze", {"attention_mask", w.ints({1, 2})}), w.integer(0)});
    const std::string mask =
        w.node("Where", {padded, w.number(-3.4e38F), w.node("Unsqueeze", {above, w.ints({0, 1})})});
    const std::string root = w.number(static_cast<float>(std::pow(static_cast<double>(d), -0.25)));
    std::string x = w.node("Gather", {w.weight("embed_tokens", {s.vocab, s.hidden}), "input_ids"});
    for (std::int64_t i = 0; i < s.layers; ++i) {
        const std::string p = "layers." + std::to_string(i) + ".";
        const std::string h = rmsnorm(w, x, p + "input_layernorm", s.hidden, 1e-5F);
        const auto part = [&](const char* name, std::int64_t n) {
            const std::string y = linear(w, h, p + name, s.hidden, n * d);
            const std::string parted = w.node("Reshape", {y, w.shape({batch, length, w.integer(-1), w.integer(d)})});
            return w.node("Transpose", {parted}, {{"perm", {0, 2, 1, 3}}});
        };
        const auto turned = [&](const std::string& v) {
            return w.node("Add", {w.node("Mul", {v, cos}), w.node("Mul", {rotate_half(w, v, d), sin})});
        };
        const std::string q0 = part("q_proj", s.heads), k0 = part("k_proj", s.kv_heads), v = part("v_proj", s.kv_heads);
        const std::string q = turned(q0), k = repeated(w, turned(k0), s, batch, length);
        const std::string kt = w.node("Transpose", {k}, {{"perm", {0, 1, 3, 2}}});
        const std::string scores = w.node("MatMul", {w.node("Mul", {q, root}), w.node("Mul", {kt, root})});
        const std::string weights = w.node("Softmax", {w.node("Add", {scores, mask})}, {{"axis", {-1}}});
        const std::string o = w.node("MatMul", {weights, repeated(w, v, s, batch, length)});
        const std::string flat = w.node(
            "Reshape", {w.node("Transpose", {o}, {{"perm", {0, 2, 1, 3}}}), w.shape({batch, length, w.integer(-1)})});
        x = w.node("Add", {x, linear(w, flat, p + "o_proj", s.hidden, s.hidden)});
        const std::string m = rmsnorm(w, x, p + "post_attention_layernorm", s.hidden, 1e-5F);
        const std::string gate = linear(w, m, p + "gate_proj", s.hidden, s.ffn);
        const std::string active = w.node("Mul", {gate, w.node("Sigmoid", {gate})});
        const std::string product = w.node("Mul", {active, linear(w, m, p + "up_proj", s.hidden, s.ffn)});
        x = w.node("Add", {x, linear(w, product, p + "down_proj", s.ffn, s.hidden)});
    }
    linear(w, rmsnorm(w, x, "norm", s.hidden, 1e-5F), "lm_head", s.hidden, s.vocab);
    w.rename_last("logits");
    w.output("logits");
}

inline void bert(W& w, const Shape& s) {
    const std::int64_t d = s.hidden / s.heads;
    w.input("input_ids", onnx::TensorProto::INT64, {"batch", "sequence"});
    w.input("attention_mask", onnx::TensorProto::INT64, {"batch", "sequence"});
    w.input("token_type_ids", onnx::TensorProto::INT64, {"batch", "sequence"});
    const auto biased = [&](const std::string& x, const std::string& name, std::int64_t in, std::int64_t out) {
        return w.node("Add", {w.weight(name + ".bias", {out}), linear(w, x, name + ".weight", in, out)});
    };
    const auto norm = [&](const std::string& x, const std::string& name) {
        return w.node("LayerNormalization",
                      {x, w.weight(name + ".weight", {s.hidden}), w.weight(name + ".bias", {s.hidden})},
                      {{"axis", {-1}}});
    };
    const std::string wide =
        w.node("Cast", {w.node("Unsqueeze", {"attention_mask", w.ints({1, 2})})}, {{"to", {onnx::TensorProto::FLOAT}}});
    const std::string mask = w.node("Mul", {w.node("Sub", {w.number(1), wide}), w.number(-3.4028234663852886e+38F)});
    std::vector<std::int64_t> all;
    for (std::int64_t i = 0; i < s.positions; ++i) all.push_back(i);
    const std::string length = w.node("Unsqueeze", {w.extent("input_ids", 1), w.ints({0})});
    const std::string buffer = w.node("Unsqueeze", {w.ints(all), w.ints({0})});
    const std::string places = w.node("Slice", {buffer, w.ints({0}), length, w.ints({1}), w.ints({1})});
    const std::string table = w.weight("word_embeddings", {s.vocab, s.hidden});
    const std::string words = w.node("Gather", {table, "input_ids"});
    const std::string types = w.node("Gather", {w.weight("token_type_embeddings", {2, s.hidden}), "token_type_ids"});
    const std::string sum = w.node("Add", {words, types});
    std::string x =
        norm(w.node("Add", {sum, w.node("Gather", {w.weight("position_embeddings", {s.positions, s.hidden}), places})}),
             "LayerNorm");
    for (std::int64_t i = 0; i < s.layers; ++i) {
        const std::string p = "layer." + std::to_string(i) + ".";
        const std::string q = heads(w, biased(x, p + "query", s.hidden, s.hidden), s.heads, d, false);
        const std::string k = heads(w, biased(x, p + "key", s.hidden, s.hidden), s.heads, d, true);
        const std::string v = heads(w, biased(x, p + "value", s.hidden, s.hidden), s.heads, d, false);
        const std::string scores =
            w.node("Div", {w.node("MatMul", {q, k}), w.number(std::sqrt(static_cast<float>(d)))});
        const std::string o =
            w.node("MatMul", {w.node("Softmax", {w.node("Add", {scores, mask})}, {{"axis", {-1}}}), v});
        x = norm(w.node("Add", {biased(joined(w, o, s.hidden), p + "output", s.hidden, s.hidden), x}), p + "norm1");
        const std::string up = gelu_erf(w, biased(x, p + "up", s.hidden, s.ffn));
        x = norm(w.node("Add", {biased(up, p + "down", s.ffn, s.hidden), x}), p + "norm2");
    }
    const std::string h = norm(gelu_erf(w, biased(x, "transform", s.hidden, s.hidden)), "transform.norm");
    w.node("Add", {w.node("MatMul", {h, w.node("Transpose", {table}, {{"perm", {1, 0}}})}),
                   w.weight("decoder.bias", {s.vocab})});
    w.rename_last("logits");
    w.output("logits");
}

}  // namespace exported
