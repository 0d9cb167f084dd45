"""Reading prompts in PyTorch: tokens/s of the forward pass over many rows, logits of each row's last position only."""

import argparse

import torch

import figure
import random_model


def prefill(model, tokens, batch):
    """The forward pass over all rows, `batch` at a time, keys and values kept as a generation would."""
    for rows in tokens.split(batch):
        model(rows, use_cache=True, logits_to_keep=1)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    model = random_model.build().eval()
    tokens = random_model.rows(arguments.rows, arguments.tokens)
    prefill(model, tokens[: arguments.batch], arguments.batch)
    seconds = figure.seconds(lambda: prefill(model, tokens, arguments.batch), arguments.repeats, warm_up=0)
    figure.tell(
        batch=arguments.batch, tokens_per_second=tokens.numel() / seconds, seconds=seconds, tokens=tokens.numel()
    )


if __name__ == "__main__":
    with torch.inference_mode():
        main()
