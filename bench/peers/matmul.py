"""A matrix product in PyTorch: bf16 GFLOP/s of a linear layer forwards, and of its two products backwards."""

import argparse

import torch
from torch.nn.functional import linear

import figure
from shape import THREADS

# Rows of activations, inner width, outer width.
SIZES = [(1024, 576, 1536), (2048, 2048, 2048), (1024, 576, 49152), (64, 576, 1536)]
# A sample repeats a product until it has done at least this many operations, so that short ones can be timed.
OPERATIONS = 2e10


def products(rows, inner, outer):
    """The three products of one linear layer, by name."""
    activations = torch.randn(rows, inner).bfloat16()
    weight = torch.randn(outer, inner).bfloat16()
    gradient = torch.randn(rows, outer).bfloat16()
    return {
        "forward": lambda: linear(activations, weight),
        "weight_gradient": lambda: gradient.t() @ activations,
        "input_gradient": lambda: gradient @ weight,
    }


def giga_flops(product, operations, repeats):
    """GFLOP/s of one product, the median of `repeats` samples."""
    calls = max(1, round(OPERATIONS / operations))

    def sample():
        for _ in range(calls):
            product()

    return operations * calls / figure.seconds(sample, repeats) / 1e9


def main():
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--repeats", type=int, default=5)
    repeats = arguments.parse_args().repeats
    torch.set_num_threads(THREADS)
    for size in SIZES:
        operations = 2 * size[0] * size[1] * size[2]
        for name, product in products(*size).items():
            speed = giga_flops(product, operations, repeats)
            figure.tell(product=name, size="x".join(map(str, size)), gflops=speed)


if __name__ == "__main__":
    with torch.inference_mode():
        main()
