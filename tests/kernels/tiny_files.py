"""The weights of a tiny model, and its folder as Hugging Face keeps it."""
import json
import math
import struct

import numpy as np


class Weights(dict):
    """Name -> array; made in the order they are asked for, so that one seed gives one model."""

    def __init__(self, dtype):
        super().__init__()
        self.random, self.dtype = np.random.default_rng(7), dtype

    def new(self, name, *shape, about=0.0):
        scale = 0.3 if len(shape) == 1 else 1.2 / math.sqrt(shape[-1])
        values = about + scale * self.random.standard_normal(shape)
        self[name] = rounded(values.astype(np.float32), self.dtype)
        return self[name].astype(np.float64)


def rounded(x, dtype):
    if dtype == "F16":
        return x.astype(np.float16).astype(np.float32)
    if dtype == "BF16":
        return (x.view(np.uint32) & np.uint32(0xFFFF0000)).view(np.float32)
    return x


def stored(x, dtype):
    if dtype == "F16":
        return x.astype("<f2").tobytes()
    if dtype == "BF16":
        return (np.ascontiguousarray(x).view(np.uint32) >> 16).astype("<u2").tobytes()
    return x.astype("<f4").tobytes()


def write_safetensors(path, weights, names):
    header, data = {"__metadata__": {"format": "pt"}}, b""
    for name in names:
        raw = stored(weights[name], weights.dtype)
        header[name] = {"dtype": weights.dtype, "shape": list(weights[name].shape), "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    text = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)


def write(folder, config, weights, shards):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    names = sorted(weights)
    if shards == 1:
        return write_safetensors(folder / "model.safetensors", weights, names)
    where = {}
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        mine = names[i::shards]
        write_safetensors(folder / file, weights, mine)
        where.update({name: file for name in mine})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))
