#!/usr/bin/env python3
"""Writes a tiny model as Hugging Face keeps it, and what it answers, computed with NumPy alone.

usage: tiny_models.py FAMILY FOLDER TOKEN,TOKEN,...;TOKEN,...      sequences of equal length
       tiny_models.py FAMILY FOLDER TOKEN,TOKEN,...;... COUNT      the COUNT likeliest tokens that follow each

FOLDER gets config.json and safetensors files (some families in two shards, some in 16 bits). stdout: the logits of the
last token of each sequence, or the tokens chosen for it, one line each. The layers are written after the papers and the
published layouts of the weights (which matrix is transposed, fused or interleaved), not after this repository's code.
"""
import pathlib
import sys

import numpy as np
from tiny_files import Weights, write
from tiny_layers import attention, gated, gelu, gelu_new, heads_of, layernorm, mixture, rmsnorm, turned

VOCABULARY, HIDDEN, HEADS, LAYERS, FFN = 61, 32, 4, 3, 44
HEAD = HIDDEN // HEADS


# --- families: (config, function from tokens to logits of the last one) -----------------------------------------------


def gpt2(w):
    config = dict(model_type="gpt2", n_embd=HIDDEN, n_layer=LAYERS, n_head=HEADS, n_positions=40, n_inner=None,
                  vocab_size=VOCABULARY, activation_function="gelu_new", layer_norm_epsilon=1e-5)
    wte, wpe = w.new("wte.weight", VOCABULARY, HIDDEN), w.new("wpe.weight", 40, HIDDEN)
    layers = []
    for i in range(LAYERS):  # the published file has no "transformer." before its names; Conv1D keeps [in, out]
        p = f"h.{i}."
        w[p + "attn.bias"] = np.tril(np.ones((1, 1, 40, 40), np.float32))  # a buffer, no weight
        layers.append([w.new(p + "ln_1.weight", HIDDEN, about=1), w.new(p + "ln_1.bias", HIDDEN),
                       w.new(p + "attn.c_attn.weight", HIDDEN, 3 * HIDDEN), w.new(p + "attn.c_attn.bias", 3 * HIDDEN),
                       w.new(p + "attn.c_proj.weight", HIDDEN, HIDDEN), w.new(p + "attn.c_proj.bias", HIDDEN),
                       w.new(p + "ln_2.weight", HIDDEN, about=1), w.new(p + "ln_2.bias", HIDDEN),
                       w.new(p + "mlp.c_fc.weight", HIDDEN, 4 * HIDDEN), w.new(p + "mlp.c_fc.bias", 4 * HIDDEN),
                       w.new(p + "mlp.c_proj.weight", 4 * HIDDEN, HIDDEN), w.new(p + "mlp.c_proj.bias", HIDDEN)])
    gamma, beta = w.new("ln_f.weight", HIDDEN, about=1), w.new("ln_f.bias", HIDDEN)

    def run(tokens):
        x = wte[tokens] + wpe[: len(tokens)]
        for g1, b1, wa, ba, wo, bo, g2, b2, wu, bu, wd, bd in layers:
            q, k, v = (heads_of(t, HEADS) for t in np.split(layernorm(x, g1, b1, 1e-5) @ wa + ba, 3, -1))
            x = x + attention(q, k, v) @ wo + bo
            x = x + gelu_new(layernorm(x, g2, b2, 1e-5) @ wu + bu) @ wd + bd
        return layernorm(x[-1], gamma, beta, 1e-5) @ wte.T

    return config, run


def llama_like(w, config, kv_heads=HEADS, head=HEAD, bias=False, out_bias=False, head_norms=False, fused=False,
               window=0, tied=False, experts=0, moe=None, theta=10000.0):
    config = dict(hidden_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=HEADS, num_key_value_heads=kv_heads,
                  intermediate_size=FFN, vocab_size=VOCABULARY, max_position_embeddings=64, rms_norm_eps=1e-5,
                  rope_theta=theta, hidden_act="silu", tie_word_embeddings=tied, **config)
    table = w.new("model.embed_tokens.weight", VOCABULARY, HIDDEN)
    layers = []
    for i in range(LAYERS):
        p = f"model.layers.{i}."
        a = p + "self_attn."
        d = dict(n1=w.new(p + "input_layernorm.weight", HIDDEN, about=1),
                 n2=w.new(p + "post_attention_layernorm.weight", HIDDEN, about=1))
        widths = [HEADS * head, kv_heads * head, kv_heads * head]
        if fused:
            d["qkv"] = np.split(w.new(a + "qkv_proj.weight", sum(widths), HIDDEN), np.cumsum(widths)[:-1])
        else:
            d["qkv"] = [w.new(a + f"{c}_proj.weight", n, HIDDEN) for c, n in zip("qkv", widths)]
        d["b"] = [w.new(a + f"{c}_proj.bias", n) if bias else 0 for c, n in zip("qkv", widths)]
        d["o"] = w.new(a + "o_proj.weight", HIDDEN, HEADS * head)
        d["ob"] = w.new(a + "o_proj.bias", HIDDEN) if out_bias else 0
        if head_norms:
            d["qn"], d["kn"] = (w.new(a + f"{c}_norm.weight", head, about=1) for c in "qk")
        if experts:
            d["router"] = w.new(p + moe["router"], experts, HIDDEN)
            d["experts"] = [[w.new(p + moe["expert"].format(e, part), *shape) for part, shape in
                             zip(moe["parts"], [(FFN, HIDDEN), (FFN, HIDDEN), (HIDDEN, FFN)])] for e in range(experts)]
        elif fused:
            d["mlp"] = [*np.split(w.new(p + "mlp.gate_up_proj.weight", 2 * FFN, HIDDEN), 2),
                        w.new(p + "mlp.down_proj.weight", HIDDEN, FFN)]
        else:
            d["mlp"] = [w.new(p + "mlp.gate_proj.weight", FFN, HIDDEN), w.new(p + "mlp.up_proj.weight", FFN, HIDDEN),
                        w.new(p + "mlp.down_proj.weight", HIDDEN, FFN)]
        layers.append(d)
    final = w.new("model.norm.weight", HIDDEN, about=1)
    head_matrix = table if tied else w.new("lm_head.weight", VOCABULARY, HIDDEN)

    def run(tokens):
        x = table[tokens]
        for d in layers:
            h = rmsnorm(x, d["n1"], 1e-5)
            q, k, v = (heads_of(h @ m.T + b, n) for m, b, n in zip(d["qkv"], d["b"], (HEADS, kv_heads, kv_heads)))
            if head_norms:
                q, k = rmsnorm(q, d["qn"], 1e-5), rmsnorm(k, d["kn"], 1e-5)
            x = x + attention(turned(q, theta), turned(k, theta), v, window=window) @ d["o"].T + d["ob"]
            h = rmsnorm(x, d["n2"], 1e-5)
            x = x + (mixture(h, d["router"], d["experts"], 2) if experts else gated(h, *d["mlp"]))
        return rmsnorm(x[-1], final, 1e-5) @ head_matrix.T

    return config, run


def llama(w):
    return llama_like(w, dict(model_type="llama", torch_dtype="bfloat16"), kv_heads=2, theta=5e5)


def qwen2(w):
    return llama_like(w, dict(model_type="qwen2", use_sliding_window=False), kv_heads=2, bias=True, tied=True)


def qwen3(w):
    return llama_like(w, dict(model_type="qwen3", head_dim=12), kv_heads=2, head=12, head_norms=True, theta=1e6)


def mistral(w):
    return llama_like(w, dict(model_type="mistral", sliding_window=3), kv_heads=1, window=3)


def phi3(w):
    return llama_like(w, dict(model_type="phi3", sliding_window=None), kv_heads=2, fused=True)


def mixtral(w):
    moe = dict(router="block_sparse_moe.gate.weight", expert="block_sparse_moe.experts.{}.{}.weight", parts=("w1", "w3", "w2"))
    return llama_like(w, dict(model_type="mixtral", num_local_experts=5, num_experts_per_tok=2, sliding_window=None),
                      kv_heads=2, experts=5, moe=moe)


def qwen3_moe(w):
    moe = dict(router="mlp.gate.weight", expert="mlp.experts.{}.{}_proj.weight", parts=("gate", "up", "down"))
    return llama_like(w, dict(model_type="qwen3_moe", head_dim=HEAD, num_experts=5, num_experts_per_tok=2, norm_topk_prob=True,
                              moe_intermediate_size=FFN, decoder_sparse_step=1), kv_heads=2, head_norms=True, experts=5, moe=moe)


def gptj(w):
    config = dict(model_type="gptj", n_embd=HIDDEN, n_layer=LAYERS, n_head=HEADS, n_positions=40, rotary_dim=4,
                  vocab_size=VOCABULARY, activation_function="gelu_new", layer_norm_epsilon=1e-5, tie_word_embeddings=False)
    wte, layers = w.new("transformer.wte.weight", VOCABULARY, HIDDEN), []
    for i in range(LAYERS):
        p = f"transformer.h.{i}."
        layers.append([w.new(p + "ln_1.weight", HIDDEN, about=1), w.new(p + "ln_1.bias", HIDDEN)]
                      + [w.new(p + f"attn.{n}_proj.weight", HIDDEN, HIDDEN) for n in ("q", "k", "v", "out")]
                      + [w.new(p + "mlp.fc_in.weight", 4 * HIDDEN, HIDDEN), w.new(p + "mlp.fc_in.bias", 4 * HIDDEN),
                         w.new(p + "mlp.fc_out.weight", HIDDEN, 4 * HIDDEN), w.new(p + "mlp.fc_out.bias", HIDDEN)])
    gamma, beta = w.new("transformer.ln_f.weight", HIDDEN, about=1), w.new("transformer.ln_f.bias", HIDDEN)
    head, bias = w.new("lm_head.weight", VOCABULARY, HIDDEN), w.new("lm_head.bias", VOCABULARY)

    def partly(x):  # the first features of each head turn, neighbours in pairs
        return np.concatenate([turned(x[..., :4], 10000.0, interleaved=True), x[..., 4:]], -1)

    def run(tokens):
        x = wte[tokens]
        for g, b, q, k, v, o, wu, bu, wd, bd in layers:
            h = layernorm(x, g, b, 1e-5)
            a = attention(partly(heads_of(h @ q.T, HEADS)), partly(heads_of(h @ k.T, HEADS)), heads_of(h @ v.T, HEADS))
            x = x + a @ o.T + gelu_new(h @ wu.T + bu) @ wd.T + bd
        return layernorm(x[-1], gamma, beta, 1e-5) @ head.T + bias

    return config, run


def gpt_neox(w):
    config = dict(model_type="gpt_neox", hidden_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
                  intermediate_size=FFN, max_position_embeddings=40, rotary_pct=0.25, rotary_emb_base=10000,
                  vocab_size=VOCABULARY, hidden_act="gelu", layer_norm_eps=1e-5, use_parallel_residual=True)
    table, layers = w.new("gpt_neox.embed_in.weight", VOCABULARY, HIDDEN), []
    for i in range(LAYERS):
        p = f"gpt_neox.layers.{i}."
        layers.append([w.new(p + f"{n}.{x}", HIDDEN, about=about) for n in ("input_layernorm", "post_attention_layernorm")
                       for x, about in (("weight", 1), ("bias", 0))]
                      + [w.new(p + "attention.query_key_value.weight", 3 * HIDDEN, HIDDEN),
                         w.new(p + "attention.query_key_value.bias", 3 * HIDDEN),
                         w.new(p + "attention.dense.weight", HIDDEN, HIDDEN), w.new(p + "attention.dense.bias", HIDDEN),
                         w.new(p + "mlp.dense_h_to_4h.weight", FFN, HIDDEN), w.new(p + "mlp.dense_h_to_4h.bias", FFN),
                         w.new(p + "mlp.dense_4h_to_h.weight", HIDDEN, FFN), w.new(p + "mlp.dense_4h_to_h.bias", HIDDEN)])
    gamma, beta = w.new("gpt_neox.final_layer_norm.weight", HIDDEN, about=1), w.new("gpt_neox.final_layer_norm.bias", HIDDEN)
    head = w.new("embed_out.weight", VOCABULARY, HIDDEN)

    def run(tokens):
        x = table[tokens]
        for g1, b1, g2, b2, wa, ba, wo, bo, wu, bu, wd, bd in layers:
            mixed = (layernorm(x, g1, b1, 1e-5) @ wa.T + ba).reshape(len(tokens), HEADS, 3, HEAD).transpose(2, 1, 0, 3)
            q, k = (np.concatenate([turned(t[..., :2], 10000.0), t[..., 2:]], -1) for t in mixed[:2])
            a = attention(q, k, mixed[2]) @ wo.T + bo
            x = x + a + gelu(layernorm(x, g2, b2, 1e-5) @ wu.T + bu) @ wd.T + bd
        return layernorm(x[-1], gamma, beta, 1e-5) @ head.T

    return config, run


def falcon(w, kv_heads=1):
    new = kv_heads > 1
    config = dict(model_type="falcon", hidden_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
                  vocab_size=VOCABULARY, multi_query=True, parallel_attn=True, bias=False, alibi=False,
                  new_decoder_architecture=new, num_kv_heads=kv_heads, layer_norm_epsilon=1e-5)
    table, layers = w.new("transformer.word_embeddings.weight", VOCABULARY, HIDDEN), []
    for i in range(LAYERS):
        p = f"transformer.h.{i}."
        norms = ("ln_attn", "ln_mlp") if new else ("input_layernorm",)
        layers.append([[(w.new(p + n + ".weight", HIDDEN, about=1), w.new(p + n + ".bias", HIDDEN)) for n in norms],
                       w.new(p + "self_attention.query_key_value.weight", (HEADS + 2 * kv_heads) * HEAD, HIDDEN),
                       w.new(p + "self_attention.dense.weight", HIDDEN, HIDDEN),
                       w.new(p + "mlp.dense_h_to_4h.weight", 4 * HIDDEN, HIDDEN),
                       w.new(p + "mlp.dense_4h_to_h.weight", HIDDEN, 4 * HIDDEN)])
    gamma, beta = w.new("transformer.ln_f.weight", HIDDEN, about=1), w.new("transformer.ln_f.bias", HIDDEN)

    def run(tokens):
        x = table[tokens]
        for norms, wa, wo, wu, wd in layers:
            h, m = layernorm(x, *norms[0], 1e-5), layernorm(x, *norms[-1], 1e-5)
            mixed = (h @ wa.T).reshape(len(tokens), kv_heads, HEADS // kv_heads + 2, HEAD).transpose(1, 2, 0, 3)
            q = mixed[:, :-2].reshape(HEADS, len(tokens), HEAD)
            x = x + attention(turned(q, 10000.0), turned(mixed[:, -2], 10000.0), mixed[:, -1]) @ wo.T + gelu(m @ wu.T) @ wd.T
        return layernorm(x[-1], gamma, beta, 1e-5) @ table.T

    return config, run


def falcon_grouped(w):
    return falcon(w, kv_heads=2)


def bert(w, kind="bert"):
    first = 2 if kind == "roberta" else 0
    config = dict(model_type=kind, hidden_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
                  intermediate_size=FFN, max_position_embeddings=40, type_vocab_size=1, vocab_size=VOCABULARY,
                  hidden_act="gelu", layer_norm_eps=1e-12, pad_token_id=1 if first else 0)

    def pair(name, *shape, about=0.0):
        return w.new(name + ".weight", *shape, about=about), w.new(name + ".bias", shape[0])

    e = f"{kind}.embeddings."
    word, place = w.new(e + "word_embeddings.weight", VOCABULARY, HIDDEN), w.new(e + "position_embeddings.weight", 40, HIDDEN)
    types, norm = w.new(e + "token_type_embeddings.weight", 1, HIDDEN), pair(e + "LayerNorm", HIDDEN, about=1)
    layers = []
    for i in range(LAYERS):
        p = f"{kind}.encoder.layer.{i}."
        layers.append([pair(p + f"attention.self.{n}", HIDDEN, HIDDEN) for n in ("query", "key", "value")]
                      + [pair(p + "attention.output.dense", HIDDEN, HIDDEN),
                         pair(p + "attention.output.LayerNorm", HIDDEN, about=1),
                         pair(p + "intermediate.dense", FFN, HIDDEN), pair(p + "output.dense", HIDDEN, FFN),
                         pair(p + "output.LayerNorm", HIDDEN, about=1)])
    h = "lm_head." if first else "cls.predictions."
    dense = pair(h + ("dense" if first else "transform.dense"), HIDDEN, HIDDEN)
    last = pair(h + ("layer_norm" if first else "transform.LayerNorm"), HIDDEN, about=1)
    bias = w.new(h + "bias", VOCABULARY)

    def run(tokens):
        x = layernorm(word[tokens] + types[0] + place[first : first + len(tokens)], *norm, 1e-12)
        for q, k, v, o, n1, up, down, n2 in layers:
            a = attention(*(heads_of(x @ m.T + b, HEADS) for m, b in (q, k, v)), causal=False)
            x = layernorm(x + a @ o[0].T + o[1], *n1, 1e-12)
            x = layernorm(x + gelu(x @ up[0].T + up[1]) @ down[0].T + down[1], *n2, 1e-12)
        return layernorm(gelu(x[-1] @ dense[0].T + dense[1]), *last, 1e-12) @ word.T + bias

    return config, run


def roberta(w):
    return bert(w, "roberta")


def deepseek_v3(w):
    rank, q_rank, nope, rope, vd, experts, ffn = 10, 14, 6, 4, 7, 5, 12
    config = dict(model_type="deepseek_v3", hidden_size=HIDDEN, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
                  intermediate_size=FFN, vocab_size=VOCABULARY, rms_norm_eps=1e-6, rope_theta=10000, hidden_act="silu",
                  kv_lora_rank=rank, q_lora_rank=q_rank, qk_nope_head_dim=nope, qk_rope_head_dim=rope, v_head_dim=vd,
                  n_routed_experts=experts, num_experts_per_tok=2, n_shared_experts=1, moe_intermediate_size=ffn,
                  first_k_dense_replace=1, scoring_func="sigmoid", routed_scaling_factor=2.5, norm_topk_prob=True)
    table, layers = w.new("model.embed_tokens.weight", VOCABULARY, HIDDEN), []

    def mlp(name, width):
        return [w.new(f"{name}.{n}_proj.weight", *s) for n, s in
                (("gate", (width, HIDDEN)), ("up", (width, HIDDEN)), ("down", (HIDDEN, width)))]

    for i in range(LAYERS):
        p = f"model.layers.{i}."
        a = p + "self_attn."
        d = dict(n1=w.new(p + "input_layernorm.weight", HIDDEN, about=1),
                 n2=w.new(p + "post_attention_layernorm.weight", HIDDEN, about=1),
                 qa=w.new(a + "q_a_proj.weight", q_rank, HIDDEN), qn=w.new(a + "q_a_layernorm.weight", q_rank, about=1),
                 qb=w.new(a + "q_b_proj.weight", HEADS * (nope + rope), q_rank),
                 ka=w.new(a + "kv_a_proj_with_mqa.weight", rank + rope, HIDDEN),
                 kn=w.new(a + "kv_a_layernorm.weight", rank, about=1),
                 kb=w.new(a + "kv_b_proj.weight", HEADS * (nope + vd), rank),
                 o=w.new(a + "o_proj.weight", HIDDEN, HEADS * vd))
        if i == 0:
            d["mlp"] = mlp(p + "mlp", FFN)
        else:
            d["router"] = w.new(p + "mlp.gate.weight", experts, HIDDEN)
            d["experts"] = [mlp(p + f"mlp.experts.{e}", ffn) for e in range(experts)]
            d["shared"] = mlp(p + "mlp.shared_experts", ffn)
        layers.append(d)
    final, head = w.new("model.norm.weight", HIDDEN, about=1), w.new("lm_head.weight", VOCABULARY, HIDDEN)

    def run(tokens):
        x = table[tokens]
        for d in layers:
            h = rmsnorm(x, d["n1"], 1e-6)
            q = heads_of(rmsnorm(h @ d["qa"].T, d["qn"], 1e-6) @ d["qb"].T, HEADS)
            q = np.concatenate([q[..., :nope], turned(q[..., nope:], 10000.0, interleaved=True)], -1)
            low = h @ d["ka"].T
            kv = heads_of(rmsnorm(low[:, :rank], d["kn"], 1e-6) @ d["kb"].T, HEADS)
            shared = turned(low[None, :, rank:], 10000.0, interleaved=True)
            k = np.concatenate([kv[..., :nope], np.repeat(shared, HEADS, 0)], -1)
            x = x + attention(q, k, kv[..., nope:]) @ d["o"].T
            h = rmsnorm(x, d["n2"], 1e-6)
            if "mlp" in d:
                x = x + gated(h, *d["mlp"])
            else:
                sigmoid = lambda s: 1 / (1 + np.exp(-s))
                x = x + mixture(h, d["router"], d["experts"], 2, sigmoid, 2.5) + gated(h, *d["shared"])
        return rmsnorm(x[-1], final, 1e-6) @ head.T

    return config, run


FAMILIES = {f.__name__: f for f in (gpt2, gptj, gpt_neox, llama, mistral, qwen2, qwen3, qwen3_moe, mixtral, phi3, falcon,
                                    falcon_grouped, bert, roberta, deepseek_v3)}
DTYPES = {"llama": "BF16", "mixtral": "F16", "deepseek_v3": "BF16"}


def followers(run, tokens, count):
    """The likeliest token, `count` times, each from all before it."""
    for _ in range(count):
        tokens = np.append(tokens, int(np.argmax(run(tokens))))
    return tokens[-count:]


def main(family, folder, sequences, count="0"):
    weights = Weights(DTYPES.get(family, "F32"))
    config, run = FAMILIES[family](weights)
    write(pathlib.Path(folder), config, weights, 2 if family in ("llama", "qwen3", "deepseek_v3") else 1)
    for sequence in sequences.split(";"):
        tokens = np.array([int(t) for t in sequence.split(",")])
        print(*(followers(run, tokens, int(count)) if int(count) else (repr(float(x)) for x in run(tokens))))


if __name__ == "__main__":
    main(*sys.argv[1:])
