"""The rollout batch: groups of eight rows that share a prompt of 150 tokens.

Rows are 200 to 700 tokens long, all lengths equally likely. Behind the prompt stand three turns of the policy with
documents between them; 35 % of all tokens are the policy's own.
"""

import random
from dataclasses import dataclass

import torch

import random_model

ROWS, GROUP = 64, 8
PROMPT = 150
SHORTEST, LONGEST = 200, 700
OWN_SHARE = 0.35


@dataclass
class Group:
    """Rows of one prompt, padded on the right: their tokens, which of them are no padding, which the policy's own."""

    tokens: torch.Tensor
    real: torch.Tensor
    own: torch.Tensor
    advantages: torch.Tensor


def own_tokens(length, share):
    """Which tokens of a row are the policy's own: `share` of those behind the prompt, in three turns."""
    own = round((length - PROMPT) * share)
    shown = length - PROMPT - own
    parts = [own // 3, shown // 2, own // 3, shown - shown // 2, own - own // 3 * 2]
    spans = [torch.full((size,), place % 2 == 0) for place, size in enumerate(parts)]
    return torch.cat([torch.zeros(PROMPT, dtype=torch.bool), *spans])


def group(index, lengths, share):
    """The group of rows of these lengths; each index has a prompt of its own."""
    tokens = random_model.rows(len(lengths), max(lengths), seed=index)
    tokens[:, :PROMPT] = tokens[0, :PROMPT].clone()
    real, own = torch.zeros(2, *tokens.shape, dtype=torch.bool)
    for row, length in enumerate(lengths):
        real[row, :length] = True
        own[row, :length] = own_tokens(length, share)
    return Group(tokens, real, own, torch.linspace(-1, 1, len(lengths)))


def groups(rows=ROWS, seed=1):
    """The groups of a batch."""
    chosen = random.Random(seed)
    lengths = [chosen.randint(SHORTEST, LONGEST) for _ in range(rows)]
    share = OWN_SHARE * sum(lengths) / sum(length - PROMPT for length in lengths)
    starts = range(0, rows, GROUP)
    return [group(index, lengths[start : start + GROUP], share) for index, start in enumerate(starts)]
