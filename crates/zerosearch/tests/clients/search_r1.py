"""A search server asked as Search-R1's trainer asks it, and as its users do.

python search_r1.py ZEROSEARCH: starts servers with that program and fails on the first answer that a trainer could not read.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import requests

CORPUS = [
    {"id": "7", "title": "Emma", "text": "Emma is a novel by Jane Austen."},
    {"id": "8", "title": "Middlemarch", "text": "Middlemarch is a novel by George Eliot."},
    {"id": "9", "contents": '"Tea"\nTea is a drink.'},
]


def start(program, *words):
    """The server and its address, which is the last word of the first line that it prints."""
    command = [program, "serve", "search", "--port", "0", *words]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return server, server.stdout.readline().split()[-1]


def batch_search(url, queries, topk=3, **more):
    """All queries of a turn in one request, with scores, without a time limit or a second try."""
    payload = {"queries": queries, "topk": topk, "return_scores": True, **more}
    return requests.post(f"{url}/retrieve", json=payload).json()["result"]


def passages(results):
    """What the policy is shown: the first line of `contents` is the title."""
    shown = ""
    for index, item in enumerate(results):
        title, *text = item["document"]["contents"].split("\n")
        shown += f"Doc {index + 1}(Title: {title}) {chr(10).join(text)}\n"
    return shown


def real(program):
    with tempfile.TemporaryDirectory() as folder:
        corpus = Path(folder, "corpus.jsonl")
        corpus.write_text("".join(json.dumps(row) + "\n" for row in CORPUS))
        server, url = start(program, "--engine", "bm25", "--corpus", str(corpus))
        try:
            emma, tea, nothing = batch_search(url, ["novel by Jane Austen", "tea", ""], topk=1)
            assert passages(emma) == 'Doc 1(Title: "Emma") Emma is a novel by Jane Austen.\n', emma
            assert passages(tea) == 'Doc 1(Title: "Tea") Tea is a drink.\n', tea
            assert nothing == [] and isinstance(emma[0]["score"], float), (nothing, emma)
            told = requests.post(f"{url}/retrieve", json={"query": "tea", "top_k": 2}).json()
            assert [document["text"] for document in told] == ["Tea is a drink."], told
        finally:
            server.terminate()
        assert server.wait(timeout=20) == 0


def simulated(program):
    server, url = start(program, "--engine", "scripted", "--noise", "1")
    try:
        plain = batch_search(url, ["capital of France", "capital of Italy"])
        assert [len(found) for found in plain] == [3, 3] and all(map(passages, plain)), plain
        useful, noisy = batch_search(
            url, ["capital of France", "capital of Italy"], labels=["useful", "noisy"],
            question=["Where is the Louvre?", "Where is the Forum?"], golden_answers=[["Paris"], ["Rome"]],
        )
        assert "Paris" in passages(useful) and "Rome" not in passages(noisy), (useful, noisy)
        refused = requests.post(f"{url}/retrieve", json={"queries": ["a"], "label": "useful"})
        assert refused.status_code == 400 and "golden_answers" in refused.json()["error"]["message"], refused.text
    finally:
        server.terminate()
    assert server.wait(timeout=20) == 0


if __name__ == "__main__":
    real(sys.argv[1])
    simulated(sys.argv[1])
    print("a Search-R1 client reads every answer")
