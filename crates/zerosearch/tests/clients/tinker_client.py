"""A learner's server asked with Tinker's own client, of whichever version is installed.

python tinker_client.py ZEROSEARCH: starts a server of a small random model, trains, samples, saves and loads, and fails on the first
answer that the client, or a recipe that uses it, could not read.
"""

import io
import math
import subprocess
import sys
import tarfile
import tempfile
import urllib.request
import warnings

import tinker
from tinker import types

warnings.simplefilter("ignore")
MODEL = "random"


def start(program, out):
    """The server and its address, which is the last word of the first line that it prints."""
    command = [program, "serve", "tinker", "--port", "0", "--model", MODEL, "--set", "model.context=64", "--out", out]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return server, server.stdout.readline().split()[-1]


def done(it):
    """What older clients return at once, and newer ones as a future."""
    return it.result() if hasattr(it, "result") else it


def lesson(text, weights=None):
    tokens = list(text.encode())
    inputs = {"target_tokens": tokens[1:], "weights": weights or [1.0] * (len(tokens) - 1)}
    return types.Datum(model_input=types.ModelInput.from_ints(tokens[:-1]), loss_fn_inputs=inputs)


def learns(training):
    losses = []
    for _ in range(4):
        gradients = training.forward_backward([lesson("to be or not"), lesson("Hello")], "cross_entropy")
        step = training.optim_step(types.AdamParams(learning_rate=1e-2, grad_clip_norm=1.0))
        losses.append(gradients.result().metrics["loss:sum"])
        assert step.result().metrics["grad_norm"] > 0
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.9 * losses[0], losses


def cuts_large_batches(training):
    """More rows than one request holds: requests of one batch overtake each other on their way."""
    rows = [lesson(f"{number:04}", [0.0, 0.0, 1.0]) for number in range(1100)]
    outputs = training.forward(rows, "cross_entropy").result().loss_fn_outputs
    few = training.forward(rows[1050:1052], "cross_entropy").result().loss_fn_outputs
    assert len(outputs) == 1100 and len(outputs[0]["logprobs"].data) == 3
    assert [list(it["logprobs"].data) for it in outputs[1050:1052]] == [list(it["logprobs"].data) for it in few]


def samples_and_trains_on_policy(training):
    sampler = done(training.save_weights_and_get_sampling_client())
    prompt = list(b"to be")
    params = types.SamplingParams(max_tokens=8, seed=1, temperature=1.0)
    reply = sampler.sample(types.ModelInput.from_ints(prompt), 2, params).result()
    assert len(reply.sequences) == 2 and reply.sequences[0].stop_reason in ("stop", "length")
    for sequence in reply.sequences:
        tokens, logprobs = list(sequence.tokens), list(sequence.logprobs)
        scored = sampler.compute_logprobs(types.ModelInput.from_ints(prompt + tokens)).result()
        assert scored[0] is None and scored[len(prompt) :] == logprobs, "sampled and scored alike, to the last bit"
        masked, row = len(prompt) - 1, prompt + tokens
        inputs = {
            "target_tokens": row[1:],
            "logprobs": [0.0] * masked + logprobs,
            "advantages": [0.0] * masked + [1.0] * len(tokens),
        }
        datum = types.Datum(model_input=types.ModelInput.from_ints(row[:-1]), loss_fn_inputs=inputs)
        for loss, config in [
            ("importance_sampling", None),
            ("ppo", {"clip_low_threshold": 0.8, "clip_high_threshold": 1.3}),
            ("cispo", None),
        ]:
            output = training.forward_backward([datum], loss, config).result().loss_fn_outputs[0]
            assert list(output["logprobs"].data)[masked:] == logprobs, "trained on what was sampled, to the last bit"
    before = sampler.compute_logprobs(types.ModelInput.from_ints(prompt)).result()
    training.optim_step(types.AdamParams(learning_rate=1e-2)).result()
    assert sampler.compute_logprobs(types.ModelInput.from_ints(prompt)).result() == before, "a sampler is frozen"
    now = done(training.save_weights_and_get_sampling_client())
    assert now.compute_logprobs(types.ModelInput.from_ints(prompt)).result() != before


def row_logprobs(training):
    return list(training.forward([lesson("to be or not")], "cross_entropy").result().loss_fn_outputs[0]["logprobs"].data)


def saves_and_loads(service, training):
    path = training.save_state("one").result().path
    expected = row_logprobs(training)
    resumed = done(service.create_training_client_from_state_with_optimizer(path))
    fresh = done(service.create_training_client_from_state(path))
    assert row_logprobs(resumed) == row_logprobs(fresh) == expected
    for client in (training, resumed, fresh):
        client.forward_backward([lesson("to be or not")], "cross_entropy").result()
        client.optim_step(types.AdamParams(learning_rate=1e-2)).result()
    assert row_logprobs(resumed) == row_logprobs(training) != row_logprobs(fresh), "the optimizer's state came along"
    return training.save_weights_for_sampler("last").result().path


def samples_from_what_was_saved(service, training, path):
    prompt = types.ModelInput.from_ints(list(b"to be or not"))
    now = done(training.save_weights_and_get_sampling_client()).compute_logprobs(prompt).result()
    assert done(service.create_sampling_client(model_path=path)).compute_logprobs(prompt).result() == now
    base = done(service.create_sampling_client(base_model=MODEL)).compute_logprobs(prompt).result()
    assert base != now and all(math.isfinite(number) for number in base[1:])


def is_listed_and_taken_away(service, training, path):
    rest = service.create_rest_client()
    run = training.model_id
    listed = done(rest.list_checkpoints(run)).checkpoints
    assert {it.checkpoint_id for it in listed} == {"weights/one", "sampler_weights/last"}, listed
    assert path in {it.tinker_path for it in listed}
    assert run in {it.training_run_id for it in done(rest.list_training_runs()).training_runs}
    assert done(rest.get_training_run(run)).lora_rank == 4
    address = path.removeprefix("tinker://").split("/", 1)[1]
    url = f"{service.holder._constructor_kwargs['base_url']}/api/v1/training_runs/{run}/checkpoints/{address}/archive"
    with urllib.request.urlopen(url) as answer:
        names = tarfile.open(fileobj=io.BytesIO(answer.read())).getnames()
    assert {"adapter_config.json", "adapter_model.safetensors"} <= set(names), names


def refusals(service, training):
    def refused(call, word):
        try:
            call()
        except Exception as error:
            assert word in str(error), error
        else:
            raise AssertionError(f"{word}: was not refused")

    sampler = done(training.save_weights_and_get_sampling_client())
    prompt = types.ModelInput.from_ints([70000])
    refused(lambda: sampler.sample(prompt, 1, types.SamplingParams(max_tokens=1)).result(), "not in the vocabulary")
    refused(lambda: training.save_state("../out").result(), "cannot name saved weights")
    refused(lambda: done(service.create_lora_training_client("another/model")), "another/model")
    refused(lambda: training.forward_backward([lesson("x" * 80)], "cross_entropy").result(), "this model reads 64")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as out:
        server, url = start(sys.argv[1], out)
        try:
            service = tinker.ServiceClient(base_url=url, api_key="tml-any")
            assert service.get_server_capabilities().supported_models[0].model_name == MODEL
            training = done(service.create_lora_training_client(MODEL, rank=4, seed=3))
            assert training.get_info().model_data.model_name == MODEL and training.get_info().lora_rank == 4
            learns(training)
            cuts_large_batches(training)
            samples_and_trains_on_policy(training)
            path = saves_and_loads(service, training)
            samples_from_what_was_saved(service, training, path)
            is_listed_and_taken_away(service, training, path)
            refusals(service, training)
        finally:
            server.terminate()
        assert server.wait(timeout=20) == 0
    print(f"Tinker's client {tinker.__version__} reads every answer")
