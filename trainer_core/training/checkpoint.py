"""Checkpoints that survive a crash: written aside, fsynced, listed in a manifest with SHA-256, renamed, then pruned.

`checkpoints/step-00000120/` holds adapter.safetensors, optimizer.safetensors, state.json and manifest.json. A folder
without a manifest that matches its files does not count. No pickle anywhere.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from trainer_core.contracts.checkpoints import (
    ADAPTER,
    MANIFEST,
    STATE,
    complete_checkpoints,
    discard_checkpoint,
    prune,
    read_manifest,
    step_folders,
    step_of,
)
from trainer_core.contracts.disk import require_space
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import (
    discard_folder,
    fsync_dir,
    fsync_file,
    json_text,
    sha256_file,
    whole_folder,
)
from trainer_core.contracts.run_names import checkpoint_name

NESTING = "\x1f"
WHEN_FULL = ("Free some space, then start the run again: it continues from its last checkpoint.",)


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Everything a run needs to go on. `state` is JSON: step, epoch, position, fingerprints, versions."""

    adapter: dict[str, Tensor]
    optimizer: dict[str, Any]
    state: dict[str, Any]

    def copied(self) -> "Checkpoint":
        """One that training does not go on changing. It can be written: safetensors refuses tensors that share
        memory, as the tables of 8-bit optimizers may.
        """
        return Checkpoint(adapter=_copied(self.adapter), optimizer=_copied(self.optimizer), state=self.state)


def save_checkpoint(root: Path, checkpoint: Checkpoint, *, keep: int) -> Path:
    """Write `step-N` of a copied checkpoint and prune to the newest `keep` (at least 2). Returns the folder.

    Raises UserError `disk_full` before anything is written when less than twice the last checkpoint, or for the
    first one its own size, is free.
    """
    root.mkdir(parents=True, exist_ok=True)
    step = checkpoint.state["step"]
    final = root / checkpoint_name(step)
    earlier = complete_checkpoints(root)
    require_space(root, _room_for(checkpoint, earlier), "a checkpoint", WHEN_FULL)
    with whole_folder(final) as temporary:
        _write(temporary, checkpoint)
        if final.exists():
            discard_folder(final)
    # What lies beyond this step was passed over as damaged when the run went on from an older one.
    for folder in step_folders(root):
        if step_of(folder) > step:
            discard_checkpoint(folder)
    prune(root, keep)
    return final


def _write(folder: Path, checkpoint: Checkpoint) -> None:
    folder.mkdir()
    save_file(checkpoint.adapter, folder / ADAPTER)
    tensors, plain = _flatten(checkpoint.optimizer)
    save_file(tensors, folder / "optimizer.safetensors")
    state = {**checkpoint.state, "optimizer_values": plain}
    (folder / STATE).write_text(json_text(state, indent=1), encoding="utf-8")
    _seal(folder)


def load_checkpoint(folder: Path) -> Checkpoint:
    """Read one checkpoint; every file is hashed first. Raises UserError `checkpoint_damaged`."""
    manifest = read_manifest(folder)
    bad = [name for name, entry in manifest.items() if not _matches(folder / name, entry)]
    if bad or not manifest:
        raise UserError(
            "checkpoint_damaged",
            f"Checkpoint {folder} is damaged: {', '.join(bad) or 'no manifest'} does not match its SHA-256.",
            ["The next older checkpoint is used where there is one."],
        )
    state = json.loads((folder / STATE).read_text(encoding="utf-8"))
    plain = state.pop("optimizer_values")
    optimizer = _unflatten(load_file(folder / "optimizer.safetensors"), plain)
    return Checkpoint(adapter=load_file(folder / ADAPTER), optimizer=optimizer, state=state)


def newest_checkpoint(root: Path) -> tuple[Checkpoint | None, list[Path]]:
    """The newest one that loads, and the damaged folders that were passed over."""
    damaged: list[Path] = []
    for folder in reversed(step_folders(root)):
        try:
            return load_checkpoint(folder), damaged
        except UserError:
            damaged.append(folder)
    return None, damaged


def _seal(folder: Path) -> None:
    names = sorted(p.name for p in folder.iterdir())
    for name in names:
        fsync_file(folder / name)
    listing = {name: {"size": (folder / name).stat().st_size, "sha256": sha256_file(folder / name)} for name in names}
    (folder / MANIFEST).write_text(json_text(listing, indent=1), encoding="utf-8")
    fsync_file(folder / MANIFEST)
    fsync_dir(folder)


def _matches(file: Path, entry: Mapping[str, Any]) -> bool:
    return file.is_file() and sha256_file(file) == entry["sha256"]


def _room_for(checkpoint: Checkpoint, earlier: list[Path]) -> int:
    """Bytes; twice the last one, for something else may fill the disk meanwhile."""
    tensors, _ = _flatten({"adapter": checkpoint.adapter, "optimizer": checkpoint.optimizer})
    own = sum(value.nbytes for value in tensors.values())
    return max(2 * sum(p.stat().st_size for p in earlier[-1].iterdir()) if earlier else 0, own)


def _copied(state: Any) -> Any:
    """The same nesting with copies of its tensors, in main memory and contiguous."""
    if isinstance(state, Mapping):
        return {key: _copied(value) for key, value in state.items()}
    if isinstance(state, list):
        return [_copied(value) for value in state]
    if isinstance(state, Tensor):
        return state.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
    return state


def _flatten(state: Mapping[Any, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """An optimizer state dict as tensors and JSON values by path; int keys are kept apart from their digits."""
    tensors: dict[str, Tensor] = {}
    plain: dict[str, Any] = {}

    def walk(value: Any, path: tuple[str, ...]) -> None:
        if isinstance(value, Mapping):
            for key, inner in value.items():
                walk(inner, (*path, f"i:{key}" if isinstance(key, int) else f"s:{key}"))
        elif isinstance(value, Tensor):
            tensors[NESTING.join(path)] = value
        else:
            plain[NESTING.join(path)] = value

    walk(state, ())
    return tensors, plain


def _unflatten(tensors: Mapping[str, Tensor], plain: Mapping[str, Any]) -> dict[str, Any]:
    result: dict[Any, Any] = {}
    for path, value in [*tensors.items(), *plain.items()]:
        *parents, last = [int(part[2:]) if part[0] == "i" else part[2:] for part in path.split(NESTING)]
        place = result
        for part in parents:
            place = place.setdefault(part, {})
        place[last] = value
    return result


def optimizer_state(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """What must be kept of an optimizer: its per-parameter state (groups come from the config)."""
    return dict(optimizer.state_dict()["state"])


def restore_optimizer(optimizer: torch.optim.Optimizer, state: Mapping[Any, Any]) -> None:
    """Put a kept state back; groups stay as built. Tensors keep their dtype (8-bit states included)."""
    optimizer.load_state_dict({"state": dict(state), "param_groups": optimizer.state_dict()["param_groups"]})


def optimizer_kind(checkpoint: Checkpoint) -> str:
    """The optimizer_type that made it. Checkpoints from before that was written down tell by their state's names."""
    eight_bit = any("exp_avg" not in state for state in checkpoint.optimizer.values())
    return str(checkpoint.state.get("optimizer", "AdamW8bit" if eight_bit else "AdamW"))
