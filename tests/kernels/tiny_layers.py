"""What transformers are made of, computed with NumPy alone."""
import math

import numpy as np


def layernorm(x, gamma, beta, eps):
    mean = x.mean(-1, keepdims=True)
    return (x - mean) / np.sqrt(((x - mean) ** 2).mean(-1, keepdims=True) + eps) * gamma + beta


def rmsnorm(x, gamma, eps):
    return x / np.sqrt((x * x).mean(-1, keepdims=True) + eps) * gamma


def gelu(x):
    return 0.5 * x * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


def gelu_new(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def silu(x):
    return x / (1 + np.exp(-x))


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def turned(x, theta, interleaved=False):
    """x [heads, tokens, features]: pairs turn by place * theta^(-2i/features)."""
    n = x.shape[-1]
    angle = np.arange(x.shape[-2])[:, None] * theta ** (-np.arange(0, n, 2) / n)
    cos, sin = np.cos(angle), np.sin(angle)
    a, b = (x[..., 0::2], x[..., 1::2]) if interleaved else (x[..., : n // 2], x[..., n // 2 :])
    y = np.empty_like(x)
    if interleaved:
        y[..., 0::2], y[..., 1::2] = a * cos - b * sin, a * sin + b * cos
    else:
        y[..., : n // 2], y[..., n // 2 :] = a * cos - b * sin, a * sin + b * cos
    return y


def heads_of(x, heads):
    return x.reshape(x.shape[0], heads, -1).transpose(1, 0, 2)


def attention(q, k, v, causal=True, window=0):
    """q [heads, tokens, d]; k and v may have fewer heads, each of which serves the next few queries."""
    share = q.shape[0] // k.shape[0]
    k, v = np.repeat(k, share, 0), np.repeat(v, share, 0)
    scores = q @ k.transpose(0, 2, 1) / math.sqrt(q.shape[-1])
    n = scores.shape[-1]
    i, j = np.arange(n)[:, None], np.arange(n)[None, :]
    if causal:
        scores = np.where(j > i, -np.inf, scores)
    if window:
        scores = np.where(j <= i - window, -np.inf, scores)
    return (softmax(scores) @ v).transpose(1, 0, 2).reshape(n, -1)


def gated(h, gate, up, down):
    return (silu(h @ gate.T) * (h @ up.T)) @ down.T


def mixture(h, router, experts, topk, score=softmax, scale=1.0):
    y = np.zeros_like(h)
    for t, row in enumerate(h):
        scores = score(row @ router.T)
        best = np.argsort(-scores)[:topk]
        for e in best:
            y[t] += scale * scores[e] / scores[best].sum() * gated(row, *experts[e])
    return y
