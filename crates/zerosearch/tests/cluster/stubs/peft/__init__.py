"""Stands in for peft, of which the JAX backend uses the file that describes an adapter."""

import json
import os


class LoraConfig:
    def __init__(self, base_model_name_or_path=None, r=8, lora_alpha=8, **more):
        self.written = dict(
            peft_type="LORA", base_model_name_or_path=base_model_name_or_path, r=r, lora_alpha=lora_alpha, **more
        )

    def save_pretrained(self, folder):
        with open(os.path.join(folder, "adapter_config.json"), "w") as file:
            json.dump(self.written, file)
