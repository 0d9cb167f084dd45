"""A policy's server asked with OpenAI's own client.

python openai_client.py ZEROSEARCH: starts a server of a small random model and fails on the first answer that the client, or a
user of it, could not read.
"""

import subprocess
import sys

from openai import BadRequestError, NotFoundError, OpenAI

MODEL = "random"


def start(program):
    """The server and its address, which is the last word of the first line that it prints."""
    command = [program, "serve", "model", "--port", "0", "--model", MODEL, "--set", "model.context=512"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return server, server.stdout.readline().split()[-1]


def chats(client):
    ask = dict(model=MODEL, messages=[{"role": "user", "content": "Hello"}], max_completion_tokens=12, seed=7)
    whole = client.chat.completions.create(**ask, logprobs=True, n=2, temperature=0.8, top_p=0.9)
    assert [choice.index for choice in whole.choices] == [0, 1] and whole.usage.completion_tokens == 24
    first = whole.choices[0]
    assert first.finish_reason == "length" and first.message.role == "assistant"
    assert len(first.logprobs.content) == 12 and all(entry.logprob <= 0 for entry in first.logprobs.content)
    again = client.chat.completions.create(**ask, temperature=0.8, top_p=0.9)
    assert again.choices[0].message.content == first.message.content, "the same seed, the same reply"
    parts = [{"role": "user", "content": [{"type": "text", "text": "Hello"}]}]
    same = client.chat.completions.create(**{**ask, "messages": parts}, temperature=0.8, top_p=0.9)
    assert same.choices[0].message.content == first.message.content
    stream = client.chat.completions.create(
        **ask, temperature=0.8, top_p=0.9, stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    said = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert said == first.message.content, (said, first.message.content)
    assert chunks[0].choices[0].delta.role == "assistant" and chunks[-2].choices[0].finish_reason == "length"
    assert chunks[-1].choices == [] and chunks[-1].usage == again.usage


def completions(client):
    prompt = list(b"Hello")
    ask = dict(model=MODEL, max_tokens=6, seed=3, logprobs=1, extra_body={"return_token_ids": True})
    [first, second] = client.completions.create(prompt=[prompt, prompt[:3]], **ask).choices
    ids, logprobs = first.model_extra["token_ids"], first.logprobs.token_logprobs
    assert len(ids) == len(logprobs) == 6 and first.model_extra["prompt_token_ids"] == prompt
    assert second.index == 1 and second.model_extra["prompt_token_ids"] == prompt[:3]
    echo = client.completions.create(model=MODEL, prompt=prompt + ids, max_tokens=0, echo=True, logprobs=0)
    scored = echo.choices[0].logprobs.token_logprobs
    assert scored[0] is None and scored[len(prompt) :] == logprobs, "sampled and scored alike, to the last bit"
    chunks = list(client.completions.create(prompt=prompt, stream=True, **ask))
    assert [token for chunk in chunks for token in chunk.choices[0].model_extra["token_ids"]] == ids
    assert [number for chunk in chunks for number in chunk.choices[0].logprobs.token_logprobs] == logprobs
    assert "".join(chunk.choices[0].text for chunk in chunks) == first.text
    stop = first.text[-1]
    cut = client.completions.create(model=MODEL, prompt=prompt, max_tokens=6, seed=3, stop=[stop]).choices[0]
    assert cut.finish_reason == "stop" and cut.text == first.text[: first.text.index(stop)], (cut, first)


def refusals(client):
    for more, word in [
        ({"logprobs": True, "top_logprobs": 5}, "top_logprobs"),
        ({"presence_penalty": 1.5}, "presence_penalty"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"messages": [{"role": "user", "content": "x" * 600}]}, "reads 512"),
    ]:
        try:
            client.chat.completions.create(**{"model": MODEL, "messages": [{"role": "user", "content": "a"}], **more})
        except BadRequestError as error:
            assert word in error.message and error.type == "invalid_request_error", error
        else:
            raise AssertionError(f"{more} was not refused")
    try:
        client.models.retrieve("gpt-4")
    except NotFoundError as error:
        assert error.code == "model_not_found", error
    else:
        raise AssertionError("an unknown model was found")


if __name__ == "__main__":
    server, url = start(sys.argv[1])
    try:
        client = OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0)
        assert [model.id for model in client.models.list()] == [MODEL]
        chats(client)
        completions(client)
        refusals(client)
    finally:
        server.terminate()
    assert server.wait(timeout=20) == 0
    print("OpenAI's client reads every answer")
