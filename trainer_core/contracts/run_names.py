"""Names of what a run writes at a step: how they are made, and read again. The folders are `rundir`'s."""

import re

CONFIG_FILE = "config.toml"
_CHECKPOINT = re.compile(r"step-(\d+)")
_SAMPLE = re.compile(r"step-(\d{8,})-(\d{2,})\.png")
_EXPORT = re.compile(r".*-step-(\d+)(?:\.safetensors|-peft)", re.DOTALL)


def checkpoint_name(step: int) -> str:
    return f"step-{step:08d}"


def checkpoint_step(name: str) -> int | None:
    """The step of a checkpoint's folder; None for any other name."""
    return _step(_CHECKPOINT, name)


def sample_name(step: int, number: int) -> str:
    """``number``: the prompt's place in sample_prompts."""
    return f"step-{step:08d}-{number:02d}.png"


def sample_place(name: str) -> tuple[int, int] | None:
    """(step, number) of a sample picture; None for any other name."""
    found = _SAMPLE.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def export_name(output_name: str, step: int) -> str:
    return f"{output_name}-step-{step:08d}.safetensors"


def peft_name(export: str) -> str:
    """The PEFT folder beside an export."""
    return f"{export.removesuffix('.safetensors')}-peft"


def export_step(name: str) -> int | None:
    """The step of an export, a file or a PEFT folder; None for any other name."""
    return _step(_EXPORT, name)


def _step(pattern: re.Pattern[str], name: str) -> int | None:
    found = pattern.fullmatch(name)
    return int(found[1]) if found else None
