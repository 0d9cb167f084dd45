"""Adapter fixtures: what peft on PyTorch computes for small LoRA adapters over the tiny models of the tests.

    pip install torch transformers peft
    python tools/adapter_fixtures.py crates/zerosearch-local/tests/fixtures

For each model it writes a folder of its name in `adapters/`: the adapter as peft saves it, and `expected.safetensors` with
the log-probabilities of the rows in the model's own `expected.safetensors`, the mean cross-entropy over the tokens from
index 8 of each row on, its gradients, and the factors after one step of AdamW (gradients clipped to norm 1, learning
rate 1e-3, decay 0.01). All in f32; the factors are rounded to bf16, so that both arithmetics start from the same ones.
"""

import sys
from pathlib import Path

import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

FIRST_TRAINED = 8
ATTENTION = ["q_proj", "k_proj", "v_proj", "o_proj"]
ADAPTERS = {
    "llama-tiny": dict(r=4, lora_alpha=8, target_modules=[*ATTENTION, "gate_proj", "up_proj", "down_proj"]),
    "qwen2-tiny": dict(r=3, lora_alpha=6, use_rslora=True, target_modules=["q_proj", "v_proj", "up_proj"]),
    "qwen3-tiny": dict(r=4, lora_alpha=4, target_modules=["k_proj", "o_proj", "gate_proj", "lm_head"]),
}


def adapted(folder: Path, settings: dict):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", lora_dropout=0.0, **settings))
    generator = torch.Generator().manual_seed(7)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                numbers = torch.randn(parameter.shape, generator=generator) * 0.2
                parameter.copy_(numbers.bfloat16().float())
    return model


def own_name(name: str) -> str:
    return name.replace(".default", "")


def fixture(folder: Path, settings: dict) -> None:
    model = adapted(folder, settings)
    out = folder.parent / "adapters" / folder.name
    model.peft_config["default"].base_model_name_or_path = folder.name
    model.save_pretrained(out, save_embedding_layers=False)
    (out / "README.md").unlink(missing_ok=True)
    rows = load_file(folder / "expected.safetensors")
    rows = [rows[f"tokens.{row}"].long() for row in range(3)]
    expected, trained = {}, []
    for row, tokens in enumerate(rows):
        logits = model(tokens[None]).logits[0]
        logprobs = torch.log_softmax(logits, -1)[:-1].gather(1, tokens[1:, None])[:, 0]
        expected[f"logprobs.{row}"] = logprobs.detach().clone()
        trained.append(logprobs[FIRST_TRAINED - 1 :])
    loss = -torch.cat(trained).mean()
    loss.backward()
    expected["loss"] = loss.detach()[None]
    factors = {own_name(name): it for name, it in model.named_parameters() if it.requires_grad}
    for name, factor in factors.items():
        expected[f"grad.{name}"] = factor.grad.clone()
    expected["grad_norm"] = torch.nn.utils.clip_grad_norm_(factors.values(), 1.0).detach()[None]
    torch.optim.AdamW(factors.values(), lr=1e-3, weight_decay=0.01).step()
    for name, factor in factors.items():
        expected[f"after_adamw.{name}"] = factor.detach().clone()
    save_file(expected, out / "expected.safetensors")
    print(f"{folder.name}: loss {loss.item():.6f}, {len(factors)} factors")


if __name__ == "__main__":
    for name, settings in ADAPTERS.items():
        fixture(Path(sys.argv[1]) / name, settings)
