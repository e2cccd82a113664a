"""Checking a whole set of values: names, single values, and what several options say together."""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

from trainer_core.contracts.base_part import PART_OPTIONS
from trainer_core.contracts.errors import Problem
from trainer_core.contracts.foreign import hint_of, is_secret
from trainer_core.contracts.options import OptionSpec, checked


def all_problems(specs: Sequence[OptionSpec], values: Mapping[str, object]) -> tuple[dict[str, Any], list[Problem]]:
    """Check ``values`` against ``specs``.

    Returns:
        The usable values in their declared types with defaults filled in, and every problem found. The first
        is complete only if the second is empty.
    """
    known = {spec.name: spec for spec in specs}
    problems = [_unknown(name, value, known) for name, value in values.items() if name not in known]
    good: dict[str, Any] = {}
    for spec in specs:
        if spec.name not in values and spec.required:
            problems.append(Problem(field=spec.name, value=None, message=f"must be set. {spec.help}"))
            continue
        value = values.get(spec.name, spec.default)
        try:
            good[spec.name] = checked(spec, value)
        except ValueError as error:
            problems.append(Problem(field=spec.name, value=value, message=str(error)))
    order = list(known)
    problems += _cross_problems(good)
    return good, sorted(problems, key=lambda p: order.index(p.field) if p.field in known else -1)


def _unknown(name: str, value: object, known: Mapping[str, OptionSpec]) -> Problem:
    if isinstance(value, Mapping):
        message = "is not a section used here; write its options at the top of the file, without this heading"
        return Problem(field=f"[{name}]", value=None, message=message)
    # Another trainer's key may be a password; an error text must not carry it into a log.
    shown = None if is_secret(name) else value
    return Problem(field=name, value=shown, message=f"is not an option{hint_of(name) or nearest(name, known)}")


# Names of sd-scripts whose spelling leads to another option; "" where there is none for it.
_ELSEWHERE = MappingProxyType(
    {
        "max_train_epochs": "num_epochs",
        "save_every_n_epochs": "save_epochs_interval",
        "save_last_n_epochs": "keep_last_n_checkpoints",
        "save_last_n_steps": "keep_last_n_checkpoints",
        "network_dim": "lora_rank",
        "network_alpha": "lora_alpha",
        "network_dropout": "lora_dropout",
        "network_weights": "resume_from_lora",
        "unet_lr": "learning_rate",
        "max_grad_norm": "gradient_clip_norm",
        "image_dir": "train_data_dir",
        "pretrained_model_name_or_path": "base_model_path",
        "num_repeats": "",
        "bucket_no_upscale": "",
    }
)


def nearest(name: str, known: Iterable[str]) -> str:
    """The end of "is not an option ...": the option that is meant, or where all of them stand."""
    meant = _ELSEWHERE.get(name.lower())
    near = [meant] if meant else [] if meant == "" else difflib.get_close_matches(name.lower(), list(known), n=1)
    return f'; did you mean "{near[0]}"?' if near else "; config_template.toml lists all of them"


def _cross_problems(values: Mapping[str, Any]) -> list[Problem]:
    """Contradictions between options; one whose own value is bad is missing here and left out."""
    checks = (_base_problems, _bucket_problems, _device_problems, _swap_problems, _validation_problems)
    return [problem for check in checks for problem in check(values)]


def _base_problems(values: Mapping[str, Any]) -> list[Problem]:
    if values.get("base_model_path", " ").strip() or all(values.get(name, " ").strip() for name in PART_OPTIONS):
        return []
    message = f"must be set: the folder of the base model. (Or set all of {', '.join(PART_OPTIONS)}.)"
    return [Problem(field="base_model_path", value=None, message=message)]


def _validation_problems(values: Mapping[str, Any]) -> list[Problem]:
    if not (values.get("validation_data_dir") and values.get("validation_split")):
        return []
    message = "cannot be combined with validation_data_dir; set one of the two"
    return [Problem(field="validation_split", value=values["validation_split"], message=message)]


def _bucket_problems(values: Mapping[str, Any]) -> list[Problem]:
    if not values.get("enable_bucket") or "resolution" not in values:
        return []
    resolution = values["resolution"]
    # 0 stands for "automatic", which always fits; a default of `resolution` does the same for a bad value.
    shortest = values.get("min_bucket_reso", 0)
    longest = values.get("max_bucket_reso", 0) or resolution
    step = values.get("bucket_reso_step", 0)
    found = []
    if shortest > resolution:
        message = f"must be at most resolution ({resolution}), or 0"
        found.append(Problem(field="min_bucket_reso", value=shortest, message=message))
    if longest < resolution:
        message = f"must be at least resolution ({resolution}), or 0"
        found.append(Problem(field="max_bucket_reso", value=longest, message=message))
    if step > resolution:
        message = f"must be at most resolution ({resolution}), or 0"
        found.append(Problem(field="bucket_reso_step", value=step, message=message))
    return found


def _swap_problems(values: Mapping[str, Any]) -> list[Problem]:
    """The buffer of a block that keeps its activations would be needed again long after it holds another block."""
    swap = values.get("swap_blocks")
    if not swap:
        return []
    found = []
    if values.get("gradient_checkpointing") is False:
        found.append(Problem(field="swap_blocks", value=swap, message="needs gradient_checkpointing = true, or 0"))
    if values.get("checkpoint_skip_every"):
        message = "cannot be combined with checkpoint_skip_every; set one of the two to 0"
        found.append(Problem(field="swap_blocks", value=swap, message=message))
    return found


def _device_problems(values: Mapping[str, Any]) -> list[Problem]:
    found = []
    backend = values.get("attention_backend", "sdpa")
    if backend != "sdpa" and values.get("mixed_precision") == "no":
        message = 'needs bf16 or fp16, but mixed_precision is "no"; use "sdpa"'
        found.append(Problem(field="attention_backend", value=backend, message=message))
    if values.get("device") != "cpu":
        return found
    if values.get("mixed_precision") == "fp16":
        message = 'needs a GPU, but device is "cpu"; use "bf16" or "no"'
        found.append(Problem(field="mixed_precision", value="fp16", message=message))
    if backend != "sdpa":
        message = 'needs a GPU, but device is "cpu"; use "sdpa"'
        found.append(Problem(field="attention_backend", value=backend, message=message))
    return found
