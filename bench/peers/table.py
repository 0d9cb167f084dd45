"""The table: for every figure measured on two sides, both medians and the median of the ratios of each round."""

import argparse
import json
import statistics
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Comparison:
    """One row: which number of which two files is compared, and what the peer calls it where it has another name."""

    title: str
    files: str
    peer: str
    key: str
    peers_key: str | None = None
    less_is_better: bool = False


SPEED, DECODING, PREFILL = "tokens_per_second", "decode_tokens_per_second", "prefill_tokens_per_second"
COMPARISONS = [
    Comparison("training step, 4 x 256, tokens/s", "train", "torch", SPEED),
    Comparison("the same, peak memory, GiB", "train", "torch", "peak_memory_gib", less_is_better=True),
    Comparison("training step, rollout batch, tokens/s", "rollouts", "torch", SPEED),
    Comparison("generation, 64 rows, prompt included, tokens/s", "sample-64", "torch", SPEED),
    Comparison("decoding, 64 rows, tokens/s", "sample-64", "llamacpp", DECODING),
    Comparison("generation, 1 row, prompt included, tokens/s", "sample-1", "torch", SPEED),
    Comparison("decoding, 1 row, tokens/s", "sample-1", "llamacpp", DECODING),
    Comparison("prefill, 64 x 512, 150 shared, tokens/s", "prefill", "torch", SPEED),
    Comparison("prefill, 64 x 512, 150 shared, tokens/s", "prefill", "llamacpp", SPEED, PREFILL),
    Comparison("GRPO step, single turn, seconds", "grpo", "trl", "seconds", less_is_better=True),
    Comparison("GRPO step, three turns, seconds", "grpo-turns", "trl", "seconds", less_is_better=True),
]


def lines(output, name):
    """The measurements of a file, none where it is missing."""
    path = output / f"{name}.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def row(title, peer, ours, theirs, less_is_better=False):
    """A row from the numbers of both sides, round by round; nothing where a side was not measured."""
    if not ours or not theirs:
        return []
    ratios = [a / b for a, b in zip(ours, theirs, strict=False)]
    ratio = statistics.median(1 / ratio if less_is_better else ratio for ratio in ratios)
    return [f"| {title} | {peer} | {number(ours)} | {number(theirs)} | {ratio:.2f} | {len(ratios)} |"]


def number(values):
    """The median, with three digits that count."""
    median = statistics.median(values)
    return f"{median:.3g}" if median < 1000 else f"{median:,.0f}"


def compared(output, comparison):
    """The row of a comparison."""
    keys = {"ours": comparison.key, comparison.peer: comparison.peers_key or comparison.key}
    sides = [[line[key] for line in lines(output, f"{comparison.files}.{side}")] for side, key in keys.items()]
    return row(comparison.title, comparison.peer, *sides, comparison.less_is_better)


def products(output):
    """The rows of the matrix products."""
    sides = [lines(output, f"matmul.{side}") for side in ("ours", "torch")]
    names = dict.fromkeys((line["size"], line["product"]) for line in sides[1])
    rows = []
    for name in names:
        speeds = [[line["gflops"] for line in side if (line["size"], line["product"]) == name] for side in sides]
        rows += row(f"{name[0]}, {name[1].replace('_', ' ')}, GFLOP/s", "torch", *speeds)
    return rows


def bounds(output):
    """The rows whose other side is no program: conversations beside a server that is always full, and eight turns beside two."""
    rounds = lines(output, "orchestration.ours")
    sides = [[line[key] for line in rounds] for key in ("seconds", "ideal_seconds")]
    rows = row("1,000 conversations x 3 searches, seconds", "a full server", *sides, less_is_better=True)
    steps = lines(output, "turns.ours")
    sides = [[line["seconds_per_trajectory"] for line in steps if line["turns"] == turns] for turns in (8, 2)]
    return rows + row("GRPO step of eight turns, seconds per trajectory (last: how many times two turns)", "two turns", *sides)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="the folder that run.sh wrote")
    output = parser.parse_args().output
    print("| what | peer | ours | peer's | times better | rounds |")
    print("|---|---|---|---|---|---|")
    rows = [line for comparison in COMPARISONS for line in compared(output, comparison)]
    print(*products(output), *rows, *bounds(output), sep="\n")


if __name__ == "__main__":
    main()
