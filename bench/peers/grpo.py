"""A whole GRPO step with TRL's trainer: seconds to sample 4 questions x 8, score them, and train on them once.

With more than one turn, 100 tokens of documents from a tool stand between two. Random weights call no tool by
themselves, so the tokenizer reads a call out of whatever was sampled: TRL's own tool loop then plays exactly the turns
that are asked for.
"""

import argparse
import os
import statistics
import tempfile
import time

os.environ["HF_HUB_OFFLINE"] = "1"

from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, PrinterCallback, TrainerCallback
from trl import GRPOConfig, GRPOTrainer

import figure
import random_model
import shape

QUESTIONS, GROUP = 4, 8
PROMPT, NEW, DOCUMENTS = 64, 64, 100
# Renders a message as its words, one token each; a call as its name and arguments, which TRL asks of a template.
TEMPLATE = """{% for message in messages %}{{ message['content'] }} {% for call in message['tool_calls'] or [] %}
{{ call['function']['name'] }} {{ call['function']['arguments'] }} {% endfor %}{% endfor %}"""


class CallingTokenizer(PreTrainedTokenizerFast):
    """A tokenizer of words w0, w1, ... that reads a tool call out of every answer."""

    def parse_response(self, ids, prefix=None, tools=None):
        """An assistant's message that calls the tool, whatever the ids say."""
        call = {"type": "function", "function": {"name": "search", "arguments": {}}}
        return {"role": "assistant", "content": self.decode(ids), "tool_calls": [call]}


class StepClock(TrainerCallback):
    """The seconds of every step."""

    def __init__(self):
        self.seconds = []

    def on_step_begin(self, *_, **__):
        self.start = time.perf_counter()

    def on_step_end(self, *_, **__):
        self.seconds.append(time.perf_counter() - self.start)


def words(count, seed):
    """A text of `count` words, one token each."""
    return " ".join(f"w{token}" for token in random_model.rows(1, count, seed)[0].tolist())


def search() -> str:
    """Finds documents.

    Returns:
        The documents, always the same.
    """
    return words(DOCUMENTS, seed=7)


def reward(completions, **_):
    """A reward that differs inside a group."""
    return [float(place % GROUP) for place in range(len(completions))]


def tokenizer():
    """One token per word, for the whole vocabulary."""
    names = ["<pad>", "<start>", "<end>", *(f"w{token}" for token in range(3, shape.VOCABULARY))]
    tokens = Tokenizer(models.WordLevel({name: id for id, name in enumerate(names)}, unk_token="<pad>"))
    tokens.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = CallingTokenizer(
        tokenizer_object=tokens, pad_token="<pad>", unk_token="<pad>", bos_token="<start>", eos_token="<end>"
    )
    made.chat_template = TEMPLATE
    made.response_template = {"forced": True}
    return made


def plan(folder, turns, steps):
    """The trainer's arguments: all rows sampled at once, one group in each micro-batch."""
    return GRPOConfig(
        output_dir=folder,
        per_device_train_batch_size=GROUP,
        gradient_accumulation_steps=QUESTIONS,
        num_generations=GROUP,
        max_completion_length=turns * NEW + (turns - 1) * DOCUMENTS,
        max_tool_calling_iterations=turns - 1,
        generation_kwargs={"max_new_tokens": NEW, "min_new_tokens": NEW},
        max_steps=steps,
        learning_rate=1e-6,
        beta=0.0,
        bf16=True,
        use_cpu=True,
        gradient_checkpointing=False,
        logging_steps=1,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


def trainer(turns, steps, folder):
    """TRL's trainer on a model with random weights, and the clock that it carries."""
    model = random_model.build()
    model.save_pretrained(folder)
    model.name_or_path = folder
    prompts = [[{"role": "user", "content": words(PROMPT, seed=seed)}] for seed in range(QUESTIONS * steps)]
    clock = StepClock()
    made = GRPOTrainer(
        model=model,
        args=plan(os.path.join(folder, "out"), turns, steps),
        train_dataset=Dataset.from_dict({"prompt": prompts}),
        processing_class=tokenizer(),
        reward_funcs=[reward],
        tools=[search] if turns > 1 else None,
        callbacks=[clock],
    )
    made.remove_callback(PrinterCallback)
    return made, clock


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--warm-up", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        made, clock = trainer(arguments.turns, arguments.warm_up + arguments.repeats, folder)
        made.train()
    log = made.state.log_history[0]
    figure.tell(
        turns=arguments.turns,
        seconds=statistics.median(clock.seconds[arguments.warm_up :]),
        own_tokens_per_row=log["completions/mean_length"],
        prompt_tokens_per_row=log["num_tokens"] / (QUESTIONS * GROUP) - log["completions/mean_length"],
        peak_memory_gib=figure.peak_memory_gib(),
    )


if __name__ == "__main__":
    main()
