"""A GGUF file of the measured shape with random bf16 weights, for llama.cpp. Only ids go in and out: no tokenizer."""

import argparse

import gguf
import numpy

import shape

BF16 = gguf.GGMLQuantizationType.BF16
FILE_TYPE = gguf.LlamaFileType.MOSTLY_BF16


def matrices(layer):
    """The names and shapes of a layer's matrices, as the file has them: outer width, then inner width."""
    queries, keys = shape.HEADS * shape.HEAD_WIDTH, shape.KEY_VALUE_HEADS * shape.HEAD_WIDTH
    shapes = {
        "attn_q": (queries, shape.WIDTH),
        "attn_k": (keys, shape.WIDTH),
        "attn_v": (keys, shape.WIDTH),
        "attn_output": (shape.WIDTH, queries),
        "ffn_gate": (shape.FEED_FORWARD, shape.WIDTH),
        "ffn_up": (shape.FEED_FORWARD, shape.WIDTH),
        "ffn_down": (shape.WIDTH, shape.FEED_FORWARD),
    }
    return {f"blk.{layer}.{name}.weight": size for name, size in shapes.items()}


def norms(layer):
    """The names of a layer's norms."""
    return [f"blk.{layer}.{name}.weight" for name in ("attn_norm", "ffn_norm")]


def describe(writer):
    """Writes the shape."""
    writer.add_block_count(shape.LAYERS)
    writer.add_context_length(2048)
    writer.add_embedding_length(shape.WIDTH)
    writer.add_feed_forward_length(shape.FEED_FORWARD)
    writer.add_head_count(shape.HEADS)
    writer.add_head_count_kv(shape.KEY_VALUE_HEADS)
    writer.add_rope_dimension_count(shape.HEAD_WIDTH)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_vocab_size(shape.VOCABULARY)
    writer.add_tokenizer_model("none")
    writer.add_file_type(FILE_TYPE)


def fill(writer):
    """Writes the weights: random matrices, norms of ones; the head is the embedding's."""
    generator = numpy.random.default_rng(1)
    layers = range(shape.LAYERS)
    sizes = {"token_embd.weight": (shape.VOCABULARY, shape.WIDTH)}
    for layer in layers:
        sizes |= matrices(layer)
    for name, size in sizes.items():
        weights = generator.standard_normal(size, dtype=numpy.float32) * 0.02
        writer.add_tensor(name, gguf.quants.quantize(weights, BF16), raw_dtype=BF16)
    for name in ["output_norm.weight", *(name for layer in layers for name in norms(layer))]:
        writer.add_tensor(name, numpy.ones(shape.WIDTH, dtype=numpy.float32))


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file")
    writer = gguf.GGUFWriter(parser.parse_args().file, "llama")
    describe(writer)
    fill(writer)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
