"""`presets`: the strategies, which one suits this machine, and a ready config from one."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer_core.cli.shared import PATHS, Commands, write_new_config
from trainer_core.contracts.config import parse_config
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.toml_text import toml_value
from trainer_core.contracts.user_path import user_path
from trainer_core.planning.demo import TINY_BASE
from trainer_core.planning.estimate import estimate
from trainer_core.planning.hardware import Machine, detect
from trainer_core.planning.presets import Choice, Preset, choose, load_presets, reserve_gib


def add(commands: Commands) -> None:
    text = "List the strategies and which one suits this machine; or print, or write, a ready config from one."
    command = commands.add_parser("presets", help="a config that suits your GPU", description=f"{text} {PATHS}")
    command.add_argument("name", nargs="?", help="a preset, or auto: the one for this machine (default: list them)")
    command.add_argument("--base", help="base model folder (default for cpu-demo: the built-in one)")
    command.add_argument("--data", help="folder with the training images")
    command.add_argument("--write", type=user_path, metavar="FILE", help="write the config to a new file")
    command.set_defaults(run=_presets)


def _presets(options: argparse.Namespace) -> None:
    presets = load_presets()
    machine = detect(Path("output"))
    choice = choose(machine, presets)
    if options.name is None:
        if options.write or options.base or options.data:
            raise UserError("preset_missing", "Which preset? Name one, or auto: presets auto --write FILE ...")
        _list(presets, choice, machine)
        return
    preset, extra = _asked(options.name, presets, choice)
    base = options.base or (str(TINY_BASE) if preset.device == "cpu" else "")
    text = config_text(preset, {"base_model_path": base, "train_data_dir": options.data or "", **extra})
    if options.write is None:
        print(text, end="")
        return
    # Whoever writes a file wants one that can be trained with; every problem is said before anything is written.
    parse_config({"base_model_path": base, "train_data_dir": options.data or "", **preset.values, **extra})
    write_new_config(options.write, text)


def config_text(preset: Preset, first: Mapping[str, Any]) -> str:
    """The preset's own file, comments and all, as a config: ``first`` at its top, [strategy] left away."""
    text = preset.path.read_text(encoding="utf-8").split("\n[strategy]")[0].rstrip()
    lines = [f"{name} = {toml_value(value)}" for name, value in first.items()]
    return "\n".join(["# Every other setting keeps its default: see config_template.toml.", *lines, "", text, ""])


def _asked(name: str, presets: tuple[Preset, ...], choice: Choice) -> tuple[Preset, Mapping[str, Any]]:
    if name == "auto":
        return choice.preset, choice.values
    found = next((preset for preset in presets if preset.name == name), None)
    if found is None:
        known = ", ".join(preset.name for preset in presets)
        raise UserError("preset_missing", f'There is no preset "{name}"; there are {known}, and auto.')
    return found, {}


def _memory(preset: Preset, machine: Machine) -> str:
    if preset.device == "cpu":
        return ""
    peak = estimated_peak(preset) / 2**30
    return f"; from {preset.needs_gib + reserve_gib(machine):g} GiB free, estimated peak {peak:.1f} GiB"


def estimated_peak(preset: Preset) -> int:
    """Bytes that torch would allocate at most on one GPU, with the released model and ordinary captions."""
    config = parse_config({"base_model_path": "the released one", "train_data_dir": "any", **preset.values})
    return estimate(config, None).peak.bytes


def _list(presets: tuple[Preset, ...], choice: Choice, machine: Machine) -> None:
    for preset in presets:
        mark = "*" if preset is choice.preset else " "
        print(f"{mark} {preset.name:9} {preset.title} / {preset.title_zh}{_memory(preset, machine)}")
    print("\nFor this machine:" if choice.fits else "\nFor this machine, with a warning:")
    for sentence in choice.sentences:
        print(f"  {sentence}")
    print("The others:")
    for other in choice.alternatives:
        print(f"  {other.preset.name}: {other.why}")
    print("\nA config from one: python -m trainer_core presets auto --base BASE --data IMAGES --write my_config.toml")
