"""A training step in PyTorch: tokens/s of forward, backward and AdamW, and the memory that it takes.

Plain: rows of equal length, every token trained. With --rollouts: the rollout batch, padded, the head over every token,
one group of eight rows at a time; only real tokens are counted.
"""

import argparse

import torch
from torch.nn.functional import cross_entropy

import figure
import random_model
import rollouts


def plain_step(model, optimizer, tokens):
    """One step on rows of equal length."""
    model(tokens, labels=tokens).loss.backward()
    optimizer.step()
    optimizer.zero_grad()


def policy_loss(model, group, own_tokens):
    """The policy gradient of a group: ratio times advantage, averaged over the own tokens of the whole batch."""
    logits = model(group.tokens, attention_mask=group.real.long(), use_cache=False).logits[:, :-1]
    targets = group.tokens[:, 1:]
    logprobs = -cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
    ratio = (logprobs - logprobs.detach()).exp()
    return -(ratio * group.advantages[:, None] * group.own[:, 1:]).sum() / own_tokens


def rollout_step(model, optimizer, groups):
    """One step on the rollout batch, a group at a time."""
    own_tokens = sum(int(group.own.sum()) for group in groups)
    for group in groups:
        policy_loss(model, group, own_tokens).backward()
    optimizer.step()
    optimizer.zero_grad()


def work(arguments, model, optimizer):
    """The step as a function, and the number of tokens that count."""
    if arguments.rollouts:
        groups = rollouts.groups(arguments.rows or rollouts.ROWS)
        real = sum(int(group.real.sum()) for group in groups)
        return lambda: rollout_step(model, optimizer, groups), real
    tokens = random_model.rows(arguments.rows or 4, arguments.tokens)
    return lambda: plain_step(model, optimizer, tokens), tokens.numel()


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rollouts", action="store_true")
    parser.add_argument("--rows", type=int, help="4, or 64 with --rollouts")
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--dtype", choices=random_model.DTYPES, default="bf16")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=1)
    return parser.parse_args()


def main():
    arguments = parse()
    model = random_model.build(arguments.dtype)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)
    step, tokens = work(arguments, model, optimizer)
    seconds = figure.seconds(step, arguments.repeats, arguments.warm_up)
    figure.tell(
        tokens_per_second=tokens / seconds,
        seconds=seconds,
        tokens=tokens,
        peak_memory_gib=figure.peak_memory_gib(),
    )


if __name__ == "__main__":
    main()
