#!/usr/bin/env python3
"""Scores a large run with `tdense eval --run` and with pytrec_eval, in alternating runs.

    python3 -m pip install pytrec_eval-terrier==0.5.11
    cargo build --release --no-default-features --features cli
    python3 benches/score.py target/release/tdense [--topics 1000] [--depth 1000] [--judged 100] [--runs 7]

The run and the judgements are drawn from `--seed`: topics x depth lines and topics x judged judgements. Our side is the
whole process, from its start to its end. The other side is a warm Python: its start and its imports do not count, reading
both files, evaluating, and printing means does. Both print the same values, or the script stops.
"""

import argparse
import pathlib
import random
import statistics
import subprocess
import tempfile
import time

import pytrec_eval

# Ours, and trec_eval's.
MEASURES = {"AP": "map", "nDCG@10": "ndcg_cut_10", "R@100": "recall_100", "RR": "recip_rank"}
ASKED = {"map", "ndcg_cut.10", "recall.100", "recip_rank"}


def draw(folder, seed, topics, depth, judged, mixed):
    """Writes `run` and `qrels`, with ties, unjudged passages and grades from 0 to 3."""
    draw = random.Random(seed)
    lines = []
    with open(folder / "qrels", "w") as qrels:
        for topic in range(topics):
            passages = draw.sample(range(8_800_000), depth + judged // 2)
            # Half of what is judged is found.
            for passage in draw.sample(passages[:depth], judged - judged // 2) + passages[depth:]:
                qrels.write(f"{1_000_000 + topic} 0 msmarco_passage_{passage} {draw.choice((0, 0, 1, 2, 3))}\n")
            score = 30.0
            for rank, passage in enumerate(passages[:depth], 1):
                score -= draw.choice((0, 0.0121, 0.0343))
                lines.append(f"{1_000_000 + topic} Q0 msmarco_passage_{passage} {rank} {score:.6f} drawn\n")
    if mixed:
        draw.shuffle(lines)
    with open(folder / "run", "w") as run:
        run.writelines(lines)


def ours(tdense, folder):
    command = [tdense, "eval", "--run", folder / "run", "--qrels", folder / "qrels", "--measures", ",".join(MEASURES)]
    printed = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return dict(line.split() for line in printed.splitlines()[1:])


def theirs(folder):
    with open(folder / "qrels") as qrels, open(folder / "run") as run:
        evaluator = pytrec_eval.RelevanceEvaluator(pytrec_eval.parse_qrel(qrels), ASKED)
        values = evaluator.evaluate(pytrec_eval.parse_run(run))
    means = {}
    for name, theirs in MEASURES.items():
        mean = pytrec_eval.compute_aggregated_measure(theirs, [of_topic[theirs] for of_topic in values.values()])
        means[name] = f"{mean:.4f}"
        print(name, means[name])
    return means


def timed(work):
    start = time.perf_counter()
    result = work()
    return time.perf_counter() - start, result


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("tdense", type=pathlib.Path)
    parser.add_argument("--topics", type=int, default=1000)
    parser.add_argument("--depth", type=int, default=1000, help="lines of the run for each topic")
    parser.add_argument("--judged", type=int, default=100, help="judgements for each topic")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--mixed", action="store_true", help="shuffle the lines of the run")
    given = parser.parse_args()

    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        draw(folder, given.seed, given.topics, given.depth, given.judged, given.mixed)
        sides = {"tdense": lambda: ours(given.tdense, folder), "pytrec_eval": lambda: theirs(folder)}
        seconds = {side: [] for side in sides}
        for run in range(given.runs + 1):
            results = {side: timed(work) for side, work in sides.items()}
            assert results["tdense"][1] == results["pytrec_eval"][1], results
            for side in sides if run else ():  # the first warms the file cache
                seconds[side].append(results[side][0])

    print(f"\n{given.topics * given.depth:,} lines, {given.topics * given.judged:,} judgements, seed {given.seed}")
    for side, runs in seconds.items():
        print(f"{side:12} median {statistics.median(runs):.3f} s  {sorted(round(x, 3) for x in runs)}")
    pairs = [theirs / ours for ours, theirs in zip(*seconds.values())]
    medians = statistics.median(seconds["pytrec_eval"]) / statistics.median(seconds["tdense"])
    print(f"tdense is {medians:.1f} times as fast (of medians), {statistics.median(pairs):.1f} (median of pairs)")


if __name__ == "__main__":
    main()
