#!/usr/bin/env python3
"""A training step of multilingual-e5-small in PyTorch, by turns with ours: the same weights, trained parts (LoRA, rank
16, all linear layers), batch and threads; fused AdamW.

    python3 -m pip install numpy onnx torch
    cargo bench --bench step --no-run
    python3 benches/step.py MODEL_FOLDER BATCH_FILE THREADS STEPS OUR_COMMAND...

PyTorch pads each side of the batch to its longest text, as the prototype of this trainer did. Prints the seconds and the
loss of each step and, last, medians and the most resident memory of both.
"""

import json
import math
import resource
import statistics
import subprocess
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F

HEADS, RANK, ALPHA, TEMPERATURE, RATE = 12, 16, 32.0, 0.03, 4e-4


def weights(folder):
    """The f32 graph's weights, straight from the file beside it."""
    import onnx

    model = onnx.load(folder + "/model.onnx")
    return {t.name: torch.from_numpy(np.array(onnx.numpy_helper.to_array(t))) for t in model.graph.initializer}


def padded(texts):
    seq = max(map(len, texts))
    ids = torch.tensor([text + [0] * (seq - len(text)) for text in texts])
    mask = torch.tensor([[True] * len(text) + [False] * (seq - len(text)) for text in texts])
    return ids, mask


class Encoder:
    def __init__(self, w):
        self.w, self.low = w, {}
        self.layers = sum(name.endswith("intermediate.dense.weight") for name in w)
        for layer in range(self.layers):
            prefix = f"encoder.layer.{layer}."
            three = w.pop(prefix + "attention.self.weight").chunk(3, dim=1)
            biases = w.pop(prefix + "attention.self.bias").chunk(3)
            for part, weight, bias in zip(["query", "key", "value"], three, biases):
                w[f"{prefix}attention.self.{part}.weight"] = weight
                w[f"{prefix}attention.self.{part}.bias"] = bias
        for name in [name for name in w if name.startswith("encoder") and w[name].dim() == 2]:
            w[name] = w[name].t().contiguous()
            outputs, inputs = w[name].shape
            a = torch.nn.Parameter(torch.randn(RANK, inputs) / math.sqrt(inputs))
            self.low[name] = (a, torch.nn.Parameter(torch.zeros(outputs, RANK)))

    def linear(self, x, name):
        a, b = self.low[name + ".weight"]
        y = F.linear(x, self.w[name + ".weight"], self.w[name + ".bias"])
        return y + F.linear(F.linear(x, a), b) * (ALPHA / RANK)

    def norm(self, x, name):
        return F.layer_norm(x, x.shape[-1:], self.w[name + ".weight"], self.w[name + ".bias"], 1e-12)

    def __call__(self, ids, mask):
        w, (texts, seq) = self.w, ids.shape
        x = F.embedding(ids, w["embeddings.word_embeddings.weight"]) + w["positions"][:seq]
        x = self.norm(x, "embeddings.LayerNorm")
        for layer in range(self.layers):
            prefix = f"encoder.layer.{layer}."
            q, k, v = (
                self.linear(x, prefix + "attention.self." + part).view(texts, seq, HEADS, -1).transpose(1, 2)
                for part in ["query", "key", "value"]
            )
            y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None, :])
            y = self.linear(y.transpose(1, 2).reshape(texts, seq, -1), prefix + "attention.output.dense")
            x = self.norm(x + y, prefix + "attention.output.LayerNorm")
            y = F.gelu(self.linear(x, prefix + "intermediate.dense"))
            x = self.norm(x + self.linear(y, prefix + "output.dense"), prefix + "output.LayerNorm")
        mask = mask[..., None].float()
        return F.normalize((x * mask).sum(1) / mask.sum(1), dim=1)


def main():
    folder, file, threads, steps, *command = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.manual_seed(0)
    with open(file) as lines:
        batch = json.load(lines)
    ours = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    encoder = Encoder(weights(folder))
    parameters = [p for pair in encoder.low.values() for p in pair]
    optimizer = torch.optim.AdamW(parameters, lr=RATE, weight_decay=0.01, fused=True)
    queries, passages = padded(batch["queries"]), padded(batch["passages"])
    answers = torch.arange(len(batch["queries"]))

    def torch_step():
        start = time.perf_counter()
        scores = encoder(*queries) @ encoder(*passages).T / TEMPERATURE
        loss = (F.cross_entropy(scores, answers) + F.cross_entropy(scores.T, answers)) / 2
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        return time.perf_counter() - start, loss.item()

    def our_step():
        ours.stdin.write("\n")
        ours.stdin.flush()
        seconds, loss, peak = ours.stdout.readline().split()
        return float(seconds), float(loss), int(peak)

    times, peak = ([], []), 0
    for step in range(int(steps) + 1):
        found = torch_step()
        seconds, loss, peak = our_step()
        print(f"{step} torch {found[0]:.3f} s loss {found[1]:.4f}, ours {seconds:.3f} s loss {loss:.4f}", flush=True)
        if step > 0:  # the first warms up
            times[0].append(found[0])
            times[1].append(seconds)
    medians = [statistics.median(side) for side in times]
    own = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(f"median torch {medians[0]:.3f} s, ours {medians[1]:.3f} s, {medians[0] / medians[1]:.2f}x")
    print(f"most memory torch {own} MB, ours {peak} MB; torch {torch.__version__}")


main()
