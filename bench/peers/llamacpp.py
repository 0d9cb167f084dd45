"""llama.cpp on the CPU: tokens/s of reading prompts, and of decoding many rows together, on the file of gguf_model.py.

Rows are read a batch at a time; --shared tokens at their start are read once and copied to all rows. Decoding feeds one
token a row and takes logits of all rows; choosing tokens from them is not counted.
"""

import argparse
import ctypes
import random
import statistics
import time
from dataclasses import dataclass

import llama_cpp

import figure
import shape

FIRST = 0


@dataclass
class Token:
    """A token to compute: where it stands in which row, and whether its logits are wanted."""

    id: int
    position: int
    row: int
    logits: bool


@llama_cpp.llama_log_callback
def silence(*_):
    """Drops what llama.cpp logs."""


def load(path):
    """The model of a GGUF file."""
    llama_cpp.llama_log_set(silence, ctypes.c_void_p())
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(path.encode(), llama_cpp.llama_model_default_params())
    if not model:
        raise SystemExit(f"{path} is no model; write it with `gguf_model.py {path}`")
    return model


def context(model, rows, tokens, batch):
    """Room for `rows` rows of `tokens` tokens, computed on two threads and at most `batch` at a time."""
    settings = llama_cpp.llama_context_default_params()
    settings.n_seq_max = rows
    settings.n_ctx = rows * (-(-tokens // 256) * 256)
    settings.n_batch = settings.n_ubatch = max(batch, rows)
    settings.n_threads = settings.n_threads_batch = shape.THREADS
    return llama_cpp.llama_init_from_model(model, settings)


def compute(context, tokens):
    """Runs the model over `tokens`, which may belong to several rows."""
    batch = llama_cpp.llama_batch_init(len(tokens), 0, 1)
    batch.n_tokens = len(tokens)
    for place, token in enumerate(tokens):
        batch.token[place] = token.id
        batch.pos[place] = token.position
        batch.n_seq_id[place] = 1
        batch.seq_id[place][0] = token.row
        batch.logits[place] = token.logits
    status = llama_cpp.llama_decode(context, batch)
    llama_cpp.llama_batch_free(batch)
    if status != 0:
        raise SystemExit(f"llama_decode returned {status}")


def random_row(row, length, shared):
    """The tokens of a row, of which the first `shared` are those of every row."""
    together, alone = random.Random("shared"), random.Random(row)
    ids = [(together if place < shared else alone).randrange(10, shape.VOCABULARY) for place in range(length)]
    return [Token(id, place, row, place == length - 1) for place, id in enumerate(ids)]


def read(context, rows, arguments):
    """Reads every row's prompt: the shared start once, then as many whole rows at a time as fit a batch."""
    memory = llama_cpp.llama_get_memory(context)
    llama_cpp.llama_memory_clear(memory, False)
    if arguments.shared:
        compute(context, rows[FIRST][: arguments.shared])
        for row in range(1, len(rows)):
            llama_cpp.llama_memory_seq_cp(memory, FIRST, row, -1, -1)
    together = max(1, arguments.batch // (arguments.prompt - arguments.shared))
    for start in range(0, len(rows), together):
        several = rows[start : start + together]
        compute(context, [token for row in several for token in row[arguments.shared :]])
    llama_cpp.llama_synchronize(context)


def decode(context, rows, arguments):
    """Decodes `arguments.tokens` tokens for every row, one step for all rows at a time."""
    for step in range(arguments.tokens):
        ids = [(row * 37 + step * 11) % 40000 + 10 for row in range(len(rows))]
        compute(context, [Token(id, arguments.prompt + step, row, True) for row, id in enumerate(ids)])
    llama_cpp.llama_synchronize(context)


def measure(arguments):
    """The seconds of reading and those of decoding, the median of each."""
    rows = [random_row(row, arguments.prompt, arguments.shared) for row in range(arguments.rows)]
    room = context(load(arguments.model), len(rows), arguments.prompt + arguments.tokens, arguments.batch)
    compute(room, rows[FIRST])
    reading, decoding = [], []
    for _ in range(arguments.repeats):
        start = time.perf_counter()
        read(room, rows, arguments)
        between = time.perf_counter()
        decode(room, rows, arguments)
        reading.append(between - start)
        decoding.append(time.perf_counter() - between)
    return statistics.median(reading), statistics.median(decoding)


def parse():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a GGUF file")
    parser.add_argument("--rows", type=int, default=64)
    parser.add_argument("--prompt", type=int, default=64)
    parser.add_argument("--shared", type=int, default=0)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--batch", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    return parser.parse_args()


def main():
    arguments = parse()
    reading, decoding = measure(arguments)
    speeds = {"prefill_tokens_per_second": arguments.rows * arguments.prompt / reading}
    if arguments.tokens:
        new = arguments.rows * arguments.tokens
        speeds["decode_tokens_per_second"] = new / decoding
        speeds["tokens_per_second"] = new / (reading + decoding)
    figure.tell(rows=arguments.rows, shared=arguments.shared, **speeds)


if __name__ == "__main__":
    main()
