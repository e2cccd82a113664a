"""What models and LoRAs can be written as, in the words of commands, jobs and pages."""

from typing import Literal, get_args

LoraForm = Literal["comfyui", "peft", "diffusers"]

BASE_FORMS = ("official", "comfyui")
BASE_SOURCES = "a base model in any layout, its transformer alone, or a hub id (org/name)"
LORA_FORMS: tuple[LoraForm, ...] = get_args(LoraForm)
# One .safetensors file; the others are folders.
LORA_FILES = ("comfyui", "diffusers")
# "keep": as it is stored.
DTYPES = ("keep", "bf16", "fp16", "fp32")
# The base's, and so of whatever is made of it.
LICENSE = "Newbie-NC-1.0 (non-commercial)"
