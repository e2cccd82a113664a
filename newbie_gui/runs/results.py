"""What lies in a run folder: sample pictures with their settings, checkpoints, exports."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from PIL import Image

from newbie_gui.runs.curves import Curve
from trainer_core.contracts.checkpoints import STATE, complete_checkpoints, is_pinned, step_of
from trainer_core.contracts.run_names import export_step, peft_name, sample_place
from trainer_core.contracts.rundir import RunDir


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A sample: ``number`` is the place of its prompt in sample_prompts; ``file`` its name inside samples/."""

    step: int
    number: int
    file: str


@dataclass(frozen=True, kw_only=True)
class SavedFile:
    """A checkpoint or an export of one step.

    Attributes:
        kind: "checkpoint" or "export".
        name: of the folder (checkpoint) or file (export).
        size: bytes.
        time: when it was written, Unix seconds.
        loss: the smoothed loss of its step; validation: the validation loss measured there. ``None`` if unknown.
        peft: name of the PEFT folder beside an export, "" where there is none.
    """

    kind: str
    step: int
    name: str
    size: int
    time: float
    loss: float | None = None
    validation: float | None = None
    best: bool = False
    pinned: bool = False
    peft: str = ""


def pictures(run: RunDir) -> tuple[Picture, ...]:
    """All samples, by step and prompt."""
    found = []
    for name in _names(run.samples):
        if place := sample_place(name):
            found.append(Picture(step=place[0], number=place[1], file=name))
    return tuple(sorted(found, key=lambda picture: (picture.step, picture.number)))


def picture_settings(file: Path) -> Mapping[str, Any]:
    """What a sample was drawn with (prompt, seed, ...); empty where it does not say. Pixels are not decoded."""
    try:
        return dict(_settings(file, file.stat().st_mtime_ns))
    except OSError:
        return {}


def saved(run: RunDir, validation: Curve, loss: Curve) -> tuple[SavedFile, ...]:
    """Exports and complete checkpoints, the newest step first; of one step the export stands first.

    ``loss`` is smoothed. The best is the one that the trainer marked.
    """
    measured = {int(step): float(value) for step, value in zip(validation.steps, validation.values, strict=True)}
    entries = [*_exports(run), *_checkpoints(run)]
    best = run.best_step()
    entries.sort(key=lambda entry: (-entry.step, entry.kind != "export"))
    return tuple(_with_losses(entry, measured, loss, best) for entry in entries)


def _with_losses(entry: SavedFile, measured: Mapping[int, float], loss: Curve, best: int | None) -> SavedFile:
    place = loss.steps.searchsorted(entry.step, "right") - 1
    here = float(loss.values[place]) if place >= 0 and loss.steps[place] == entry.step else None
    values = {**vars(entry), "loss": here, "validation": measured.get(entry.step), "best": entry.step == best}
    return SavedFile(**values)


def _exports(run: RunDir) -> list[SavedFile]:
    found = []
    for name in _names(run.exports):
        step = export_step(name)
        if step is None or not name.endswith(".safetensors"):
            continue
        try:
            state = (run.exports / name).stat()
        except OSError:
            continue
        peft = peft_name(name)
        there = peft if (run.exports / peft).is_dir() else ""
        found.append(
            SavedFile(kind="export", step=step, name=name, size=state.st_size, time=state.st_mtime, peft=there)
        )
    return found


def _checkpoints(run: RunDir) -> list[SavedFile]:
    found = []
    for folder in complete_checkpoints(run.checkpoints):
        try:
            size = sum(file.stat().st_size for file in folder.iterdir())
            written = (folder / STATE).stat().st_mtime
        except OSError:
            # Pruned by the trainer while we look.
            continue
        pinned = is_pinned(folder)
        found.append(
            SavedFile(kind="checkpoint", step=step_of(folder), name=folder.name, size=size, time=written, pinned=pinned)
        )
    return found


def _names(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except OSError:
        return []


@lru_cache(maxsize=2048)
def _settings(file: Path, changed: int) -> tuple[tuple[str, Any], ...]:
    try:
        # The text stands before the pixels, so that opening reads it and nothing else.
        with Image.open(file, formats=("PNG",)) as picture:
            values = json.loads(picture.info.get("newbie", ""))
    except (OSError, ValueError, TypeError, RecursionError, Image.DecompressionBombError):
        return ()
    return tuple(values.items()) if isinstance(values, dict) else ()
