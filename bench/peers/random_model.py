"""A PyTorch model of the measured shape with random weights, and rows of random tokens for it."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import shape

DTYPES = {"bf16": torch.bfloat16, "f32": torch.float32}


def config():
    """The shape in the words of transformers."""
    return LlamaConfig(
        hidden_size=shape.WIDTH,
        intermediate_size=shape.FEED_FORWARD,
        num_hidden_layers=shape.LAYERS,
        num_attention_heads=shape.HEADS,
        num_key_value_heads=shape.KEY_VALUE_HEADS,
        vocab_size=shape.VOCABULARY,
        tie_word_embeddings=True,
        max_position_embeddings=2048,
        bos_token_id=1,
        eos_token_id=2,
        pad_token_id=0,
    )


def build(dtype="bf16"):
    """A model of this shape with random weights, all of its numbers in `dtype`, on two threads."""
    torch.set_num_threads(shape.THREADS)
    torch.manual_seed(1)
    return LlamaForCausalLM(config()).to(DTYPES[dtype])


def rows(count, length, seed=1):
    """`count` distinct rows of `length` random tokens, none of them special."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(10, shape.VOCABULARY, (count, length), generator=generator)
