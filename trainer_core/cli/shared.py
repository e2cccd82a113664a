"""What several commands share: LoRA arguments, notes and progress, the words about paths."""

import argparse
import os
import re
import sys
from pathlib import Path
from typing import TypeAlias

from trainer_core.contracts import moved_run
from trainer_core.contracts.config import TrainConfig, load_with_notes
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import write_text_atomic
from trainer_core.contracts.rundir import RunDir
from trainer_core.contracts.user_path import user_path

_DECIMAL_COMMA = re.compile(r"[+-]?[0-9]*,[0-9]+")
PATHS = "Paths that are not absolute mean the current folder."

# Text: at run time argparse's own class takes no parameter.
Commands: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def config_of(path: Path) -> tuple[TrainConfig, tuple[str, ...]]:
    """The config in a TOML file or run folder, and what should be said about it. Raises ConfigError."""
    loaded = load_with_notes(RunDir(path).config_file if path.is_dir() else path)
    if not path.is_dir():
        return loaded.config, loaded.notes
    # The folder given is the one meant, wherever it was moved to or is called from.
    return moved_run.at(loaded.config, path.resolve()), loaded.notes


def write_new_config(path: Path, text: str) -> None:
    """Write a config for `train` and say so. Raises UserError `output_exists`, `output_unwritable`."""
    if path.exists():
        raise UserError("output_exists", f"{path} exists already; nothing was written.", ["Name a new file."])
    try:
        write_text_atomic(path, text)
    except OSError as error:
        raise UserError("output_unwritable", f"{path} cannot be written: {error.strerror}.") from error
    print(f"wrote {path}; train with: python -m trainer_core train {path}")


def stay_offline() -> None:
    """Keep the hub's libraries off the network. Only before they are imported: they read this once."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        os.environ.setdefault(name, "1")


def add_loras(command: argparse.ArgumentParser, *, required: bool) -> None:
    text = "a LoRA file, PEFT folder or run folder (its newest export), with an optional strength; may be repeated"
    command.add_argument("--lora", action="append", default=[], required=required, metavar="PATH[=STRENGTH]", help=text)


def loras_of(options: argparse.Namespace) -> list[tuple[Path, float]]:
    return [_lora(text) for text in options.lora]


def note(sentence: str) -> None:
    """Say something that is neither the result nor an error."""
    print(f"note: {sentence}", file=sys.stderr)


def last_word(text: str) -> None:
    """Print what became of work that is done and saved: a full disk or a closed terminal does not make it a failure."""
    try:
        print(text, flush=True)
    except OSError:
        # Python would try again, and complain, when it flushes at exit.
        silence()


def silence() -> None:
    """From here on standard output goes nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def tell(error: UserError) -> None:
    """Say what went wrong and what to do."""
    print(f"error: {error}", file=sys.stderr)
    for hint in error.hints:
        print(f"  - {hint}", file=sys.stderr)


class Progress:
    """Prints `report(what, done, total)` in bytes as whole tenths, not each call."""

    def __init__(self, name: str) -> None:
        self._name, self._tenth = name, -1

    def __call__(self, what: str, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if tenth != self._tenth:
            self._tenth = tenth
            print(f"{self._name} {10 * tenth} % of {total / 2**20:.0f} MiB ({what})", flush=True)


def _lora(text: str) -> tuple[Path, float]:
    path, mark, strength = text.rpartition("=")
    if not mark or user_path(text).exists():
        return user_path(text), 1.0
    try:
        return user_path(path), float(strength)
    except ValueError as error:
        hints = [f"Write {strength.replace(',', '.')}, with a point."] if _DECIMAL_COMMA.fullmatch(strength) else []
        raise UserError("strength_invalid", f"--lora {text}: '{strength}' is not a number.", hints) from error
