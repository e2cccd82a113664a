"""What the Merge tab can work with, as it lies on disk: LoRAs of runs and in the workspace, bases, finished models."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from trainer_core.contracts.config import load_config
from trainer_core.contracts.disk import bytes_of
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.rundir import RunDir
from trainer_core.contracts.trash import to_trash
from trainer_core.contracts.workspace import Workspace
from trainer_core.planning.demo import TINY_BASE
from trainer_core.planning.lora_facts import PEFT_WEIGHTS, export_order
from trainer_core.planning.weight_files import SUFFIX

# The list is sent to the page for every place where a LoRA can be chosen; a path can always be typed.
_EXPORTS_OF_A_RUN = 4
_MOST_EXPORTS = 60

Kind = Literal["lora", "model"]


@dataclass(frozen=True, kw_only=True)
class Lora:
    """A LoRA that can be chosen. run: the name of the run that made it, "" for one of the workspace's own."""

    path: Path
    run: str
    size: int
    time: float


@dataclass(frozen=True, kw_only=True)
class Asset:
    """A LoRA or a model of the workspace that can be downloaded and deleted; `size` in bytes."""

    kind: Kind
    path: Path
    size: int
    time: float

    @property
    def key(self) -> str:
        """Names it in events of the page."""
        return f"{self.kind}/{self.path.name}"


T = TypeVar("T", Lora, Asset)


@dataclass(frozen=True, kw_only=True)
class Inventory:
    """All of it at one moment; newest first, bases in the order in which they should be offered."""

    loras: tuple[Lora, ...] = ()
    bases: tuple[str, ...] = ()
    assets: tuple[Asset, ...] = ()


def read_inventory(workspace: Workspace) -> Inventory:
    """Everything there is now. What vanishes meanwhile is left out."""
    assets = _newest([*_assets("lora", workspace.loras), *_assets("model", workspace.models)])
    exports = _newest(_exports(workspace.output))[:_MOST_EXPORTS]
    own = [Lora(path=t.path, run="", size=t.size, time=t.time) for t in assets if t.kind == "lora"]
    models = [str(asset.path) for asset in assets if asset.kind == "model"]
    return Inventory(
        loras=(*exports, *own), bases=tuple(dict.fromkeys([*models, str(TINY_BASE)])), assets=tuple(assets)
    )


def base_of(lora: Path) -> str:
    """The base that a run's export was trained on, "" where that is not known or not there any more."""
    try:
        base = load_config(RunDir(lora.parent.parent).config_file).base_model_path
        return base if lora.parent == RunDir(lora.parent.parent).exports and base and Path(base).exists() else ""
    except (UserError, OSError):
        return ""


def base_of_text(path: str) -> str:
    """`base_of` for what a page says; nothing for what is no full path."""
    return base_of(Path(path)) if path and "\0" not in path and Path(path).is_absolute() else ""


def _newest(found: Iterable[T]) -> list[T]:
    return sorted(found, key=lambda entry: (-entry.time, entry.path.name))


def _exports(output: Path) -> Iterator[Lora]:
    for folder in _entries(output):
        files = [file for file in _entries(RunDir(folder).exports) if file.suffix == SUFFIX]
        for file in sorted(files, key=export_order)[-_EXPORTS_OF_A_RUN:]:
            if status := _status(file):
                yield Lora(path=file, run=folder.name, size=status[0], time=status[1])


def _assets(kind: Kind, folder: Path) -> Iterator[Asset]:
    for path in _entries(folder):
        if path.is_dir() and kind == "lora" and not (path / PEFT_WEIGHTS[0]).is_file():
            continue
        if (path.is_dir() or path.suffix == SUFFIX) and (status := _status(path)):
            yield Asset(kind=kind, path=path, size=status[0], time=status[1])


def _status(path: Path) -> tuple[int, float] | None:
    """(bytes, time of change)."""
    try:
        return bytes_of(path), path.stat().st_mtime
    except OSError:
        return None


def _entries(folder: Path) -> Sequence[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError:
        return []


def require_unused(asset: Asset, in_use: Sequence[str]) -> None:
    """``in_use``: texts of jobs that are not done, paths among them. Raises UserError `asset_in_use`."""
    if any(Path(text).is_relative_to(asset.path) for text in in_use):
        raise UserError(
            "asset_in_use",
            f"{asset.path.name} is used by a job that waits or runs.",
            ["Wait for the job, or stop it first."],
        )


def remove(workspace: Workspace, asset: Asset, in_use: Sequence[str]) -> None:
    """Move it to the trash. Raises UserError as `require_unused`, OSError."""
    require_unused(asset, in_use)
    to_trash(workspace.trash, asset.path, f"{asset.kind}-{asset.path.name}")
