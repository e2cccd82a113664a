"""LoRA files that were uploaded: checked at once, kept under names of their own, never over another file."""

import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from trainer_core.contracts.errors import UserError
from trainer_core.dataset.import_names import folded, free_stem, safe_name
from trainer_core.planning.lora_facts import LoraFacts, lora_facts
from trainer_core.planning.weight_files import SUFFIX


@dataclass(frozen=True, kw_only=True)
class ReceivedFile:
    """One uploaded file: where it lies now and what it is, or why it was refused."""

    name: str
    path: Path | None = None
    facts: LoraFacts | None = None
    error: UserError | OSError | None = None


def receive(files: Iterable[Path], loras: Path) -> tuple[ReceivedFile, ...]:
    """Move every usable file into the folder ``loras``; what is no LoRA of ours is deleted. Never raises."""
    return tuple(_received(file, loras) for file in files)


def _received(file: Path, loras: Path) -> ReceivedFile:
    try:
        facts = lora_facts(file)
        return ReceivedFile(name=file.name, path=_kept(file, loras), facts=facts)
    except UserError as error:
        file.unlink(missing_ok=True)
        # The upload's own path tells nobody anything.
        told = UserError(error.code, error.message.replace(str(file), file.name), error.hints)
        return ReceivedFile(name=file.name, error=told)
    except OSError as error:
        return ReceivedFile(name=file.name, error=error)


def _kept(file: Path, loras: Path) -> Path:
    """The file under a free name; taken at once, so that two uploads at the same time get two."""
    loras.mkdir(parents=True, exist_ok=True)
    while True:
        taken = {folded(path.stem) for path in loras.iterdir()} | {folded(path.name) for path in loras.iterdir()}
        target = loras / f"{free_stem(Path(safe_name(file.name)).stem, taken)}{SUFFIX}"
        try:
            target.touch(exist_ok=False)
        except FileExistsError:
            continue
        try:
            _move(file, target)
        except OSError:
            target.unlink(missing_ok=True)
            raise
        return target


def _move(file: Path, target: Path) -> None:
    try:
        os.replace(file, target)
    except OSError:
        # Another disk: beside the target first, for a copy takes its time.
        partial = target.with_name(f".{target.name}.part")
        shutil.move(file, partial)
        os.replace(partial, target)
