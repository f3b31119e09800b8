#!/usr/bin/env python3
"""Encoding here against the same int8 file driven from Python's onnxruntime, in alternating runs.

    python3 -m pip install numpy 'onnxruntime==1.31.1' 'tokenizers==0.22.*'
    cargo bench --bench encode --no-run
    python3 benches/encode.py target/release/deps/encode-* CACHE_FOLDER TEXT_FILE [--threads 2] [--runs 7]

TEXT_FILE has a text a line; or give a folder of XQuAD-R, whose sentences are then taken (`--languages en,hi`). Both sides
tokenise, sort by length, and run batches of at most the same number of tokens, padding included.
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import tempfile
import time

import numpy as np
import onnxruntime
import tokenizers


class PythonSide:
    def __init__(self, model, threads, batch_tokens):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        self.session = onnxruntime.InferenceSession(str(model / "model.int8.onnx"), options)
        self.tokenizer = tokenizers.Tokenizer.from_file(str(model / "tokenizer.json"))
        self.tokenizer.enable_truncation(512)
        self.batch_tokens = batch_tokens

    def encode(self, texts):
        encodings = self.tokenizer.encode_batch_fast(["passage: " + text for text in texts])
        ids = [encoding.ids for encoding in encodings]
        order = sorted(range(len(ids)), key=lambda text: -len(ids[text]))
        vectors = np.empty((len(ids), 384), np.float32)
        at = 0
        while at < len(order):
            seq = len(ids[order[at]])
            group = order[at : at + max(1, self.batch_tokens // seq)]
            at += len(group)
            batch = np.zeros((len(group), seq), np.int64)
            mask = np.zeros((len(group), seq), np.int64)
            for row, text in enumerate(group):
                batch[row, : len(ids[text])] = ids[text]
                mask[row, : len(ids[text])] = 1
            vectors[group] = self.session.run(None, {"input_ids": batch, "attention_mask": mask})[0]
        return vectors


def sentences(source, languages):
    if source.is_file():
        return source.read_text().splitlines()
    texts = []
    for language in languages.split(","):
        for article in json.loads((source / f"{language}.json").read_text())["data"]:
            for paragraph in article["paragraphs"]:
                texts += [" ".join(sentence.split()) for sentence in paragraph["sentences"]]
    return [text for text in texts if text]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("binary")
    parser.add_argument("cache", type=pathlib.Path)
    parser.add_argument("texts", type=pathlib.Path)
    parser.add_argument("--languages", default="en,hi,th,zh")
    parser.add_argument("--most", type=int, default=1000, help="texts, evenly taken")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-tokens", type=int, default=768)
    parser.add_argument("--runs", type=int, default=7)
    given = parser.parse_args()

    texts = sentences(given.texts, given.languages)
    texts = texts[:: max(1, -(-len(texts) // given.most))]
    python = PythonSide(given.cache / "models/multilingual-e5-small", given.threads, given.batch_tokens)
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("\n".join(texts))
        file.flush()
        arguments = [given.binary, given.cache, file.name, given.threads, given.batch_tokens]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        with subprocess.Popen([str(argument) for argument in arguments], **pipes) as rust:

            def rust_run():
                rust.stdin.write("\n")
                rust.stdin.flush()
                return [float(part) for part in rust.stdout.readline().split()]

            def python_run():
                start = time.perf_counter()
                python.encode(texts)
                return time.perf_counter() - start

            rust_run(), python_run()
            ours, theirs = [], []
            for _ in range(given.runs):
                seconds, tokens = rust_run()
                ours.append(seconds)
                theirs.append(python_run())
            rust.stdin.close()
    print(f"{len(texts)} texts, {tokens / len(texts):.1f} tokens each, {given.threads} threads")
    for name, runs in (("rust", ours), ("python", theirs)):
        median = statistics.median(runs)
        print(f"{name:7} {len(texts) / median:7.1f} texts/s  median {median:.3f} s  {sorted(round(x, 3) for x in runs)}")
    ratios = [python_seconds / rust_seconds for rust_seconds, python_seconds in zip(ours, theirs)]
    print(f"rust / python: {statistics.median(ratios):.3f} (median of pairs), {statistics.median(theirs) / statistics.median(ours):.3f} (of medians)")


if __name__ == "__main__":
    main()
