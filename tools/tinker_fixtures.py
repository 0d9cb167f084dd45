"""Tinker fixtures: the bytes that the protocol's own client makes of its protobuf messages.

    pip install --no-deps tinker==0.38.0 protobuf
    python tools/tinker_fixtures.py crates/zerosearch-learner/src/tinker/wire/golden

Writes one file for each message, in hexadecimal: a request for gradients, its result, and samples. Map entries stand in the
order of their names.
"""

import importlib.util
import struct
import sys
from pathlib import Path

import google.protobuf

# The package's own `__init__` asks for the whole client; its messages stand alone.
found = next(
    path for root in sys.path for path in [Path(root) / "tinker/proto/tinker_public_pb2.py"] if path.is_file()
)
spec = importlib.util.spec_from_file_location("tinker_public_pb2", found)
pb = importlib.util.module_from_spec(spec)
spec.loader.exec_module(pb)

FLOAT32, INT64 = 1, 2


def floats(*numbers):
    return struct.pack(f"<{len(numbers)}f", *numbers)


def int64s(*numbers):
    return struct.pack(f"<{len(numbers)}q", *numbers)


def int32s(*numbers):
    return struct.pack(f"<{len(numbers)}i", *numbers)


def request():
    message = pb.ForwardBackwardRequest(model_id="model_95401ece", seq_id=17, loss_fn="ppo")
    message.loss_fn_config["clip_low_threshold"] = 0.75
    message.loss_fn_config_v2["clip_low_threshold"].number = 0.75
    datum = message.data.add()
    datum.model_input.add().encoded_text.tokens = int32s(3, 40, 77, 114)
    for name, dtype, dense in [
        ("target_tokens", INT64, int64s(40, 77, 114, 254)),
        ("logprobs", FLOAT32, floats(0.0, 0.0, 0.0, -6.125)),
        ("advantages", FLOAT32, floats(0.0, 0.0, 0.0, 1.0)),
    ]:
        tensor = datum.loss_fn_inputs[name]
        tensor.dense, tensor.dtype = dense, dtype
        tensor.shape.append(4)
    return message


def output():
    message = pb.ForwardBackwardOutput(loss_fn_output_type="scalar")
    message.metrics["loss:sum"] = 1.25
    for rows in [[(-1.0, -2.0, -3.0), (-0.5,)], [(-4.0, -0.25)]]:
        record = message.loss_fn_outputs.add(num_datums=len(rows))
        tensor = record.fields["logprobs"]
        tensor.data = b"".join(floats(*row) for row in rows)
        ends = [4 * sum(len(row) for row in rows[:end]) for end in range(len(rows) + 1)]
        tensor.offsets, tensor.dtype = int64s(*ends), FLOAT32
    return message


def sample():
    message = pb.SampleResponse(prompt_logprobs=floats(float("nan"), -1.5, 0.0))
    message.sequences.add(stop_reason=1, tokens=int32s(394, 494), logprobs=floats(-6.5, -6.25))
    message.sequences.add(stop_reason=0, tokens=int32s(7))
    return message


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, message in [("request", request()), ("output", output()), ("sample", sample())]:
        (folder / f"{name}.hex").write_text(message.SerializeToString(deterministic=True).hex() + "\n")
    print(f"protobuf {google.protobuf.__version__}, messages of {found}")
