"""Writes a tiny Llama and a tiny Qwen3 with random weights: `tiny_models.py FOLDER` makes FOLDER/llama and FOLDER/qwen3.

Their tokenizer has a token for every byte, one for each tag of the protocol, one for the end of a text, and a few for common pairs
of letters.
"""

import json
import pathlib
import sys

import numpy
from safetensors.numpy import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

WIDTH, LAYERS, HEADS, KV_HEADS, HEAD_WIDTH, MLP_WIDTH, CONTEXT = 64, 2, 4, 2, 16, 128, 512
PAIRS = ["th", "he", "in", "er", "an", "re", "on", "at", "en", "nd", "ti", "es", "or", "te", "of", "ed"]


def tokenizer():
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: at for at, letter in enumerate(letters + PAIRS)}
    made = Tokenizer(models.BPE(vocab=vocabulary, merges=[tuple(pair) for pair in PAIRS]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    tags = [f"<{slash}{name}>" for name in ["think", "search", "information", "answer"] for slash in ["", "/"]]
    made.add_tokens([AddedToken(tag, normalized=False) for tag in tags])
    made.add_special_tokens([AddedToken("<|end|>", special=True)])
    return made


def tensors(family, vocabulary, seed):
    draw = numpy.random.default_rng(seed)
    matrix = lambda rows, columns, spread: draw.normal(0, spread, (rows, columns)).astype(numpy.float32)
    around_one = lambda length: (1 + draw.normal(0, 0.1, length)).astype(numpy.float32)
    made = {
        "model.embed_tokens.weight": matrix(vocabulary, WIDTH, 0.25),
        "model.norm.weight": around_one(WIDTH),
        "lm_head.weight": matrix(vocabulary, WIDTH, 0.15),
    }
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        made[at + "input_layernorm.weight"] = around_one(WIDTH)
        made[at + "post_attention_layernorm.weight"] = around_one(WIDTH)
        for name, rows, columns in [
            ("self_attn.q_proj", HEADS * HEAD_WIDTH, WIDTH),
            ("self_attn.k_proj", KV_HEADS * HEAD_WIDTH, WIDTH),
            ("self_attn.v_proj", KV_HEADS * HEAD_WIDTH, WIDTH),
            ("self_attn.o_proj", WIDTH, HEADS * HEAD_WIDTH),
            ("mlp.gate_proj", MLP_WIDTH, WIDTH),
            ("mlp.up_proj", MLP_WIDTH, WIDTH),
            ("mlp.down_proj", WIDTH, MLP_WIDTH),
        ]:
            made[f"{at}{name}.weight"] = matrix(rows, columns, columns**-0.5)
        if family == "qwen3":
            for name in ["q_norm", "k_norm"]:
                made[f"{at}self_attn.{name}.weight"] = around_one(HEAD_WIDTH)
    return made


def write(folder, family, seed):
    folder.mkdir(parents=True)
    text = tokenizer()
    vocabulary, end = text.get_vocab_size(), text.token_to_id("<|end|>")
    text.save(str(folder / "tokenizer.json"))
    config = {
        "architectures": [{"llama": "LlamaForCausalLM", "qwen3": "Qwen3ForCausalLM"}[family]],
        "model_type": family,
        "attention_bias": False,
        "bos_token_id": None,
        "eos_token_id": end,
        "head_dim": HEAD_WIDTH,
        "hidden_act": "silu",
        "hidden_size": WIDTH,
        "intermediate_size": MLP_WIDTH,
        "max_position_embeddings": CONTEXT,
        "mlp_bias": False,
        "num_attention_heads": HEADS,
        "num_hidden_layers": LAYERS,
        "num_key_value_heads": KV_HEADS,
        "rms_norm_eps": 1e-6,
        "rope_theta": 10000.0,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
        "vocab_size": vocabulary,
    }
    described = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>", "pad_token": "<|end|>"}
    (folder / "config.json").write_text(json.dumps(config, indent=1))
    (folder / "tokenizer_config.json").write_text(json.dumps(described, indent=1))
    save_file(tensors(family, vocabulary, seed), folder / "model.safetensors", metadata={"format": "pt"})


if __name__ == "__main__":
    for seed, family in enumerate(["llama", "qwen3"]):
        write(pathlib.Path(sys.argv[1]) / family, family, seed)
