#!/usr/bin/env python3
"""PyTorch on the cases that scripts/gpu measures: the best library attention, and a compiled training step of GPT-2.

usage: scripts/gpu_peers.py OUT     writes a line of JSON for each case and library as soon as it is known
Times are between events on the device, medians, on random data. Exit: 0 done, 1 no library had a case, 2 no PyTorch or no GPU.
"""
import json
import math
import statistics
import sys
import time

SEQUENCES, HEADS, FEATURES = (8192, 16384), 16, 128
BATCH, SEQUENCE = 16, 1024


def timed(torch, work, least_s=0.5, calls=4):
    """Median seconds of a call, several between two events; the first ones are warm-up."""
    for _ in range(3):
        work()
    torch.cuda.synchronize()
    samples, end = [], time.monotonic() + least_s
    while len(samples) < 5 or time.monotonic() < end:
        first, last = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        first.record()
        for _ in range(calls):
            work()
        last.record()
        last.synchronize()
        samples.append(first.elapsed_time(last) * 1e-3 / calls)
    return statistics.median(samples)


def attention(torch, tell):
    from torch.nn.attention import SDPBackend, sdpa_kernel

    sdpa = torch.nn.functional.scaled_dot_product_attention
    libraries = {"PyTorch SDPA, cuDNN": SDPBackend.CUDNN_ATTENTION, "PyTorch SDPA, FlashAttention": SDPBackend.FLASH_ATTENTION,
                 "PyTorch SDPA, memory-efficient": SDPBackend.EFFICIENT_ATTENTION}
    for seq in SEQUENCES:
        for causal in (False, True):
            # Heads side by side in rows of tokens, as the cases have them.
            q, k, v, dy = (torch.randn(1, seq, HEADS, FEATURES, device="cuda", dtype=torch.bfloat16).transpose(1, 2)
                           for _ in range(4))
            leaves = [x.detach().requires_grad_() for x in (q, k, v)]
            name = "attention heads=%d seq_q=%d head_dim=%d causal=%s %%s 16-bit" % (HEADS, seq, FEATURES, str(causal).lower())
            for library, backend in libraries.items():
                def forward():
                    with torch.no_grad():
                        sdpa(q, k, v, is_causal=causal)

                def both():
                    torch.autograd.grad(sdpa(*leaves, is_causal=causal), leaves, dy)

                for which, work in (("forward", forward), ("forward_backward", both)):
                    try:
                        with sdpa_kernel(backend):
                            tell(name % which, library, timed(torch, work))
                    except RuntimeError as error:
                        tell(name % which, library, 0, str(error))


def gpt2(torch, vocabulary):
    """GPT-2 124M as its authors have it, the head tied to the embedding."""
    nn, functional = torch.nn, torch.nn.functional

    class Block(nn.Module):
        def __init__(self, width, heads):
            super().__init__()
            self.heads = heads
            self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

        def forward(self, x):
            b, t, c = x.shape
            q, k, v = (y.view(b, t, self.heads, c // self.heads).transpose(1, 2)
                       for y in self.qkv(self.first(x)).split(c, dim=2))
            y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
            return x + self.down(functional.gelu(self.up(self.second(x)), approximate="tanh"))

    class Model(nn.Module):
        def __init__(self, width=768, heads=12, layers=12):
            super().__init__()
            self.tokens, self.places = nn.Embedding(vocabulary, width), nn.Embedding(SEQUENCE, width)
            self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
            self.last = nn.LayerNorm(width)
            nn.init.normal_(self.tokens.weight, std=0.02)

        def forward(self, tokens, targets):
            x = self.tokens(tokens) + self.places.weight[: tokens.shape[1]]
            for block in self.blocks:
                x = block(x)
            logits = functional.linear(self.last(x), self.tokens.weight)
            return functional.cross_entropy(logits.view(-1, vocabulary).float(), targets.view(-1))

    return Model().cuda()


def training(torch, tell):
    torch.set_float32_matmul_precision("high")
    name = "train gpt2 batch=%d seq=%d 16-bit" % (BATCH, SEQUENCE)
    for vocabulary in (50257, 50304):  # as published, and rounded up to multiples of 128
        library = "PyTorch %s compiled, vocabulary %d" % (torch.__version__, vocabulary)
        try:
            model = gpt2(torch, vocabulary)
            optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.1, fused=True)
            compiled = torch.compile(model)
            data = torch.randint(50257, (BATCH, SEQUENCE + 1), device="cuda")

            def step():
                with torch.autocast("cuda", dtype=torch.bfloat16):
                    loss = compiled(data[:, :-1], data[:, 1:])
                loss.backward()
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                return loss

            before = step().item()
            seconds = timed(torch, step, 2.0, 1)
            after = step().item()
            if not (math.isfinite(after) and after < before):
                raise RuntimeError("the loss went from %g to %g" % (before, after))
            tell(name, library, seconds)
        except Exception as error:  # a compiler that is missing, or memory
            tell(name, library, 0, "%s: %s" % (type(error).__name__, error))
        torch._dynamo.reset()


def main(path):
    try:
        import torch
    except ImportError as error:
        print("no PyTorch: %s" % error)
        return 2
    if not torch.cuda.is_available():
        print("PyTorch %s sees no GPU" % torch.__version__)
        return 2
    known = {}
    with open(path, "w") as out:
        def tell(case, library, seconds, why=""):
            known[case] = known.get(case, False) or seconds > 0
            row = {"case": case, "library": library, "seconds": seconds}
            if why:
                row["why"] = why.splitlines()[0][:200]
            print("%-75s %-45s %s" % (case, library, "%.4g ms" % (1e3 * seconds) if seconds > 0 else row["why"]), flush=True)
            print(json.dumps(row), file=out, flush=True)

        attention(torch, tell)
        training(torch, tell)
    return 0 if all(known.values()) else 1


if __name__ == "__main__":
    if len(sys.argv) != 2 or sys.argv[1] in ("-h", "--help"):
        print(__doc__.strip())
        sys.exit(0 if sys.argv[1:] in (["-h"], ["--help"]) else 2)
    sys.exit(main(sys.argv[1]))
