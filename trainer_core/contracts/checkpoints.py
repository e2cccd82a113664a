"""The checkpoint folders of a run as they lie on disk: which are complete, which is the best, which are pinned.

`checkpoints/step-00000120/` counts once its manifest matches the sizes of its files. A pin is an empty file beside
the folder, never inside it, since the manifest lists what is inside. What the files hold is `training.checkpoint`'s.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import discard_folder, read_json_object, retry_when_shared
from trainer_core.contracts.run_names import checkpoint_step

MANIFEST = "manifest.json"
STATE = "state.json"
ADAPTER = "adapter.safetensors"


def step_of(folder: Path) -> int:
    step = checkpoint_step(folder.name)
    assert step is not None, folder
    return step


def step_folders(root: Path) -> list[Path]:
    """Every checkpoint folder, complete or not, oldest first."""
    folders = [p for p in root.glob("*") if checkpoint_step(p.name) is not None and p.is_dir()]
    return sorted(folders, key=step_of)


def complete_checkpoints(root: Path) -> list[Path]:
    """Folders whose manifest matches their files' sizes, oldest first. Contents are hashed when loading."""
    return [folder for folder in step_folders(root) if _sizes_match(folder)]


def checkpoint_at(path: Path) -> Path | None:
    """The checkpoint folder that `path` is, or whose adapter it is; None for anything else."""
    # Links and ".." are followed: the folder's own name tells its step, and its place the run.
    folder = (path.parent if path.name == ADAPTER else path).resolve()
    stated = any((folder / name).is_file() for name in (MANIFEST, STATE))
    return folder if stated and (folder / ADAPTER).is_file() else None


def read_manifest(folder: Path) -> dict[str, dict[str, Any]]:
    """File name -> size and sha256; empty where there is no sound manifest."""
    listing = read_json_object(folder / MANIFEST)
    sound = all(isinstance(entry, dict) and {"size", "sha256"} <= entry.keys() for entry in listing.values())
    return listing if sound else {}


@dataclass(frozen=True, kw_only=True)
class MeasuredLoss:
    """A validation loss; `held_out` identifies what it was measured on, None where that was not written down yet."""

    loss: float
    held_out: str | None


def measured_loss(folder: Path) -> MeasuredLoss | None:
    """The validation loss that was measured with this checkpoint; None where there is none."""
    # A damaged one is found, and said, when a run goes on from it.
    state = read_json_object(folder / STATE)
    loss, held_out = state.get("validation_loss"), state.get("held_out")
    return MeasuredLoss(loss=float(loss), held_out=held_out) if isinstance(loss, int | float) else None


def best_checkpoint(root: Path) -> Path | None:
    """The complete checkpoint with the lowest validation loss, the oldest of equals; None where none was measured.

    Losses on other held-out images say nothing about each other: only those since these last changed compete. Where
    a checkpoint does not tell what was held out, it had not changed.
    """
    losses: dict[Path, float] = {}
    held_out: str | None = None
    for folder in reversed(complete_checkpoints(root)):
        if (found := measured_loss(folder)) is None:
            continue
        if held_out and found.held_out not in (None, held_out):
            break
        held_out = held_out or found.held_out
        losses[folder] = found.loss
    return min(losses, key=lambda folder: (losses[folder], step_of(folder)), default=None)


def is_pinned(folder: Path) -> bool:
    return _pin_of(folder).exists()


def set_pinned(folder: Path, pinned: bool) -> None:
    """Pin a checkpoint, which is then never pruned, or let it go again. May be done while the run is at work.

    Raises:
        UserError: ``checkpoint_missing``, there is no such checkpoint (any more).
        OSError: the disk refused.
    """
    if not pinned:
        retry_when_shared(lambda: _pin_of(folder).unlink(missing_ok=True))
        return
    if not folder.is_dir():
        raise UserError(
            "checkpoint_missing",
            f"There is no checkpoint {folder}; it may have been removed when newer ones were saved.",
            ["Look at the list again: it shows what is there now."],
        )
    # An empty file has no half-written state: making it is atomic.
    _pin_of(folder).touch()


def discard_checkpoint(folder: Path) -> None:
    """Remove a checkpoint and its pin: the next one of that step is another. Raises OSError."""
    discard_folder(folder)
    set_pinned(folder, False)


def prune(root: Path, keep: int) -> None:
    """Remove all but the newest max(2, keep) complete checkpoints, the best one and the pinned ones."""
    best = best_checkpoint(root)
    for folder in complete_checkpoints(root)[: -max(2, keep)]:
        if folder != best and not is_pinned(folder):
            discard_checkpoint(folder)


def _pin_of(folder: Path) -> Path:
    return folder.with_name(f".pin-{folder.name}")


def _sizes_match(folder: Path) -> bool:
    try:
        files = {p.name: p.stat().st_size for p in folder.iterdir() if p.name != MANIFEST}
    except OSError:
        # Pruned by the trainer while we look.
        return False
    manifest = read_manifest(folder)
    return bool(manifest) and files == {name: entry["size"] for name, entry in manifest.items()}
