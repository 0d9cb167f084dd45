"""Generation with `transformers.generate`: new tokens/s at some numbers of rows, reading the prompt included."""

import argparse

import torch

import figure
import random_model


def generate(model, prompts, new):
    """Exactly `new` sampled tokens for every prompt."""
    model.generate(
        prompts,
        attention_mask=torch.ones_like(prompts),
        max_new_tokens=new,
        min_new_tokens=new,
        do_sample=True,
        pad_token_id=0,
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    model = random_model.build().eval()
    prompts = random_model.rows(arguments.rows, arguments.prompt)
    generate(model, prompts, 2)
    seconds = figure.seconds(lambda: generate(model, prompts, arguments.tokens), arguments.repeats, warm_up=0)
    new = arguments.rows * arguments.tokens
    figure.tell(rows=arguments.rows, tokens_per_second=new / seconds, seconds=seconds)


if __name__ == "__main__":
    main()
