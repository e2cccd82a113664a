"""What a step took when it was tried ("Check fit"): kept beside the runs, found again by all that decides it."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.fsutil import read_json_object, write_json_atomic
from trainer_core.planning.adapter import adapter_shape
from trainer_core.planning.phases import Workload
from trainer_core.planning.shapes import Dimensions

VERSION = 1
KEPT = 50
# What a step's memory or time depends on. Resolution, buckets and batch act through the batch itself, and which
# device it is through the device's name.
OPTIONS = (
    "gradient_checkpointing", "checkpoint_skip_every", "mixed_precision",
    "quantize_base", "swap_blocks", "attention_backend", "use_flash_attention_2", "compile_blocks", "optimizer_type",
    "lora_dropout", "lora_target_modules",
)  # fmt: skip
_WHOLE = ("peak", "process", "steps", "images_per_step", "width", "height", "images", "caption_tokens")


@dataclass(frozen=True, kw_only=True)
class MeasuredStep:
    """One step of the most expensive batch, as the trainer itself made it.

    Attributes:
        key: see `fit_key`.
        cuda: whether it ran on a GPU.
        device: its name.
        peak: bytes; on a GPU torch's peak allocation, on a CPU how far the process grew.
        process: bytes of main memory that the process held at most.
        seconds_per_step: of a whole optimizer step.
        steps: how many were timed.
        images_per_step: of all its micro-batches on one device.
        width, height, images: of the batch, pixels and pictures.
        caption_tokens: of each of its captions.
    """

    key: str
    cuda: bool
    device: str
    peak: int
    process: int
    seconds_per_step: float
    steps: int
    images_per_step: int
    width: int
    height: int
    images: int
    caption_tokens: int


def passes_of(config: TrainConfig) -> int:
    """Forward passes of an optimizer step on one device."""
    return config.gradient_accumulation_steps * math.ceil(config.train_batch_size / config.images_at_once)


def fit_key(config: TrainConfig, work: Workload, transformer: Dimensions, device: str) -> str:
    """The same for settings whose most expensive step needs the same memory and time, and for no others.

    Args:
        work: the most expensive batch, which the data set, its buckets and the batch size decide.
        transformer: of the base; another checkpoint of the same model takes as much.
        device: see `gpu_choice.device_name`.
    """
    base = config.transformer_path or config.base_model_path
    decides = {
        "version": VERSION,
        "torch": version("torch"),
        "options": {name: getattr(config, name) for name in OPTIONS},
        # As it is made, and not by options that count for nothing with it.
        "adapter": repr(adapter_shape(config)),
        "batch": work.micro_batch,
        "passes": passes_of(config),
        "caption_tokens": work.caption_tokens,
        "base": str(Path(base).absolute()),
        "transformer": asdict(transformer),
        "device": device,
    }
    text = json.dumps(decides, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def fit_folder(config: TrainConfig) -> Path:
    """Where the answers lie: beside the runs, hidden, for all of them."""
    return Path(config.output_dir) / ".fit"


def keep(folder: Path, measured: MeasuredStep) -> None:
    """Write an answer down, and let go of the oldest beyond `KEPT`. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json_atomic(folder / f"{measured.key}.json", {"version": VERSION, **asdict(measured)})
    dated = sorted(((file.stat().st_mtime, file) for file in folder.glob("*.json")), reverse=True)
    for _, file in dated[KEPT:]:
        file.unlink(missing_ok=True)


def find(folder: Path, key: str) -> MeasuredStep | None:
    """The answer of this key. None where there is none, or the file is damaged, another's, or of another version."""
    values = read_json_object(folder / f"{key}.json")
    if values.pop("version", None) != VERSION or values.get("key") != key:
        return None
    return _checked(values)


def _checked(values: Mapping[str, Any]) -> MeasuredStep | None:
    try:
        whole = {name: int(values[name]) for name in _WHOLE}
        seconds = float(values["seconds_per_step"])
        known = {"key": str(values["key"]), "cuda": bool(values["cuda"]), "device": str(values["device"])}
    except (KeyError, TypeError, ValueError, OverflowError):
        return None
    if not all(0 < figure < math.inf for figure in (seconds, *whole.values())):
        return None
    return MeasuredStep(**known, **whole, seconds_per_step=seconds)  # type: ignore[arg-type]
