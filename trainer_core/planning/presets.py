"""The strategies in ``presets/*.toml``: reading and checking them, and the choice for a machine, explained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from trainer_core.contracts.config import parse_config
from trainer_core.contracts.errors import ConfigError, Problem
from trainer_core.contracts.repository import REPOSITORY
from trainer_core.contracts.toml_text import read_toml
from trainer_core.planning.hardware import Gpu, Machine
from trainer_core.planning.torch_builds import OLDER_BUILD, OLDEST_CAPABILITY

FOLDER = REPOSITORY / "presets"

# GiB that stay free of our own use. Windows' driver starts to move memory out before a card is full, silently and
# at a tenth of the speed, so more must stay free there.
RESERVE_GIB = 1.0
RESERVE_SHARED_GIB = 1.5
# bf16 in hardware begins with Ampere.
BF16_CAPABILITY = (8, 0)

_STRATEGY_TYPES: Mapping[str, tuple[type, ...]] = MappingProxyType(
    {"name": (str,), "title": (str,), "title_zh": (str,), "device": (str,), "needs_gib": (int, float)}
)
# Stand for the required settings where none are chosen. A preset has none: what it is used on is the user's.
PLACEHOLDERS: Mapping[str, object] = MappingProxyType({"base_model_path": "base", "train_data_dir": "data"})
# What only suits the memory of one card: a preset that does not name it means the default, for what stands in the form
# may be another preset's.
_FOR_THE_CARD = ("quantize_base", "quantize_gemma", "checkpoint_skip_every", "swap_blocks")


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One strategy.

    Attributes:
        title, title_zh: for the list, in English and Chinese.
        needs_gib: free GPU memory from which it is proposed, in GiB, above its estimated peak; 0 on the CPU.
        values: config values by option name, already checked; those for the card's memory are always among them.
    """

    name: str
    title: str
    title_zh: str
    device: Literal["cuda", "cpu"]
    needs_gib: float
    values: Mapping[str, Any]
    path: Path


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """A preset that was not chosen, and why, as one sentence."""

    preset: Preset
    why: str


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The preset for a machine.

    Attributes:
        fits: False where no GPU preset fits and the smallest is merely proposed.
        gpus: the cards to train on; empty on the CPU.
        values: config values that belong to the choice beside the preset's own: ``gpus`` where a card stays out.
        sentences: the reason, then what else to know.
    """

    preset: Preset
    fits: bool
    gpus: tuple[Gpu, ...]
    values: Mapping[str, Any]
    sentences: tuple[str, ...]
    alternatives: tuple[Alternative, ...]


def load_presets(folder: Path = FOLDER) -> tuple[Preset, ...]:
    """Every preset of a folder, the least demanding first.

    Raises:
        ConfigError: one is not valid, or none suits a GPU or none the CPU.
    """
    found = [load_preset(file) for file in sorted(folder.glob("*.toml"))]
    if {preset.device for preset in found} != {"cuda", "cpu"}:
        message = "must hold at least one preset for a GPU and one for the CPU"
        raise ConfigError([Problem(field="", value=None, message=message)], str(folder))
    return tuple(sorted(found, key=lambda preset: preset.needs_gib))


def load_preset(file: Path) -> Preset:
    """One preset: config values at the top, and the table [strategy].

    Raises:
        ConfigError: with every problem; unknown keys are refused in both parts.
    """
    values = read_toml(file)
    strategy = values.pop("strategy", {})
    problems = _strategy_problems(strategy, file)
    problems += [
        Problem(field=name, value=values[name], message="is the user's own and must not stand in a preset")
        for name in PLACEHOLDERS
        if name in values
    ]
    try:
        config = parse_config({**values, **PLACEHOLDERS})
    except ConfigError as error:
        problems += error.problems
    if problems:
        raise ConfigError(problems, str(file))
    checked = {name: getattr(config, name) for name in (*values, *_FOR_THE_CARD)}
    return Preset(values=MappingProxyType(checked), path=file, **strategy)


def choose(machine: Machine, presets: Sequence[Preset]) -> Choice:
    """The largest preset that the best GPU's free memory takes; the demo where there is no GPU."""
    smaller_first = sorted(presets, key=lambda preset: preset.needs_gib)
    for_gpu = [preset for preset in smaller_first if preset.device == "cuda"]
    demo = next(preset for preset in smaller_first if preset.device == "cpu")
    usable = [gpu for gpu in machine.gpus if not _unusable(gpu)]
    if not usable:
        return _without_gpu(machine, demo, for_gpu)
    best = max(usable, key=lambda gpu: gpu.free_mib)
    reserve = reserve_gib(machine)
    fitting = [preset for preset in for_gpu if _fits(best, preset, reserve)]
    if not fitting:
        return _too_small(machine, best, demo, for_gpu)
    preset = fitting[-1]
    gpus = tuple(gpu for gpu in usable if _fits(gpu, preset, reserve)) if machine.joins_gpus else (best,)
    left_out = [gpu for gpu in machine.gpus if gpu not in gpus]
    sentences = [
        f"{preset.name}: {_free(best)}; this preset asks for {preset.needs_gib:g} GiB plus {reserve:g} GiB reserve.",
        *_occupied(best, for_gpu[for_gpu.index(preset) + 1 :], reserve),
        *_several(gpus, left_out, preset, reserve),
        *_old_card(gpus),
    ]
    others = [other for other in (*reversed(for_gpu), demo) if other is not preset]
    return Choice(
        preset=preset,
        fits=True,
        gpus=gpus,
        values={"gpus": _numbers(gpus)} if left_out else {},
        sentences=tuple(sentences),
        alternatives=tuple(Alternative(preset=other, why=_why_not(other, preset, best, reserve)) for other in others),
    )


def reserve_gib(machine: Machine) -> float:
    """GiB of a GPU that must stay free beside the training."""
    return RESERVE_SHARED_GIB if machine.shared_memory else RESERVE_GIB


def _strategy_problems(strategy: object, file: Path) -> list[Problem]:
    if not isinstance(strategy, Mapping):
        return [Problem(field="strategy", value=strategy, message="must be a table, written [strategy]")]
    problems = []
    for name in sorted({*_STRATEGY_TYPES, *strategy}):
        wanted = _STRATEGY_TYPES.get(name)
        value = strategy.get(name)
        if wanted is None:
            message = f"is not known in [strategy]; known are {', '.join(_STRATEGY_TYPES)}"
        elif type(value) not in wanted:
            message = f"must be set in [strategy], as {'text' if str in wanted else 'a number such as 10.0'}"
        elif name == "needs_gib" and not 0 <= float(strategy[name]) <= 10_000:
            message = "must be from 0 to 10000 GiB"
        elif name == "name" and value != file.stem:
            message = f'must be the file\'s own name, "{file.stem}"'
        elif name == "device" and value not in ("cuda", "cpu"):
            message = 'must be "cuda" or "cpu"'
        else:
            continue
        problems.append(Problem(field=name, value=value, message=message))
    return problems


def _fits(gpu: Gpu, preset: Preset, reserve: float) -> bool:
    return gpu.free_mib / 1024 >= preset.needs_gib + reserve


def _unusable(gpu: Gpu) -> str:
    """Why a card cannot be trained on at all; empty where it can."""
    if not gpu.total_mib:
        return "the driver does not tell its memory"
    if gpu.compute_capability and gpu.compute_capability < OLDEST_CAPABILITY:
        old, needed = _version(gpu.compute_capability), _version(OLDEST_CAPABILITY)
        return f"its compute capability is {old}, and PyTorch for CUDA 13 begins with {needed}"
    return ""


def _free(gpu: Gpu) -> str:
    return f"GPU {gpu.index} ({gpu.name}) has {_gib(gpu.free_mib)} of {_gib(gpu.total_mib)} GiB free"


def _occupied(gpu: Gpu, larger: Sequence[Preset], reserve: float) -> list[str]:
    """A word where other programs hold so much that a larger preset is lost, or half of the card."""
    lost = [preset for preset in larger if gpu.total_mib / 1024 >= preset.needs_gib + reserve]
    if not lost and gpu.used_mib * 2 < gpu.total_mib:
        return []
    gain = f"; without them {lost[-1].name} would fit" if lost else ""
    return [f"Other programs hold {_gib(gpu.used_mib)} GiB of GPU {gpu.index} (nvidia-smi names them){gain}."]


def _several(gpus: Sequence[Gpu], left_out: Sequence[Gpu], preset: Preset, reserve: float) -> list[str]:
    sentences = []
    if len(gpus) > 1:
        names = ", ".join(f"{gpu.index} ({gpu.name})" for gpu in gpus)
        sentences.append(f"It fits on {len(gpus)} GPUs, which share the images of a step: {names}.")
    for gpu in left_out:
        sentences.append(f"GPU {gpu.index} ({gpu.name}) stays out: {_why_out(gpu, preset, reserve)}.")
    if left_out:
        sentences.append(f'Write gpus = "{_numbers(gpus)}".')
    return sentences


def _why_out(gpu: Gpu, preset: Preset, reserve: float) -> str:
    if unusable := _unusable(gpu):
        return unusable
    if _fits(gpu, preset, reserve):
        return "PyTorch cannot join GPUs on Windows (it has no NCCL)"
    return f"it has {_gib(gpu.free_mib)} GiB free of the {preset.needs_gib + reserve:g} GiB needed"


def without_bf16(gpus: Sequence[Gpu]) -> list[Gpu]:
    """Those before Ampere, as far as the driver tells."""
    return [gpu for gpu in gpus if gpu.compute_capability and gpu.compute_capability < BF16_CAPABILITY]


def _old_card(gpus: Sequence[Gpu]) -> list[str]:
    """bf16 stays: fp16 overflows in models of this family, and a slow run is better than a broken one."""
    return [
        f"GPU {gpu.index} ({gpu.name}, compute capability {_version(gpu.compute_capability or (0, 0))}) computes bf16 "
        f'without tensor cores, so it is slow. mixed_precision = "fp16" is faster there but may overflow with this '
        "model (the run then stops and says so); bf16 is the safe choice."
        for gpu in without_bf16(gpus)
    ]


def _why_not(other: Preset, chosen: Preset, best: Gpu, reserve: float) -> str:
    if other.device == "cpu":
        return "It trains the toy base only; here a GPU can train the real model."
    if other.needs_gib > chosen.needs_gib:
        return (
            f"It asks for {other.needs_gib:g} GiB plus {reserve:g} GiB reserve; "
            f"GPU {best.index} has {_gib(best.free_mib)} GiB free."
        )
    return f"It fits too and leaves more memory free, but {chosen.name} learns more."


def _without_gpu(machine: Machine, demo: Preset, for_gpu: Sequence[Preset]) -> Choice:
    reasons = [f"GPU {gpu.index} ({gpu.name}) cannot be used: {_unusable(gpu)}." for gpu in machine.gpus]
    old = [gpu for gpu in machine.gpus if gpu.total_mib]
    if old:
        reasons.append(f"An older PyTorch may run there: {OLDER_BUILD}.")
    return Choice(
        preset=demo,
        fits=True,
        gpus=(),
        values={},
        sentences=(f"{demo.name}: there is no NVIDIA GPU to train on.", *reasons, *machine.notes),
        alternatives=tuple(
            Alternative(preset=preset, why=f"It needs a GPU with {preset.needs_gib + reserve_gib(machine):g} GiB free.")
            for preset in for_gpu
        ),
    )


def _too_small(machine: Machine, best: Gpu, demo: Preset, for_gpu: Sequence[Preset]) -> Choice:
    smallest, reserve = for_gpu[0], reserve_gib(machine)
    left_out = [gpu for gpu in machine.gpus if gpu is not best]
    sentences = [
        f"No preset fits: {_free(best)}, and the smallest, {smallest.name}, needs {smallest.needs_gib:g} GiB plus "
        f"{reserve:g} GiB reserve.",
        *_occupied(best, for_gpu, reserve),
        f"{smallest.name} is what to try first, with resolution = 512; it may run out of memory.",
        *([f'Of {len(machine.gpus)} GPUs it has the most memory: write gpus = "{best.index}".'] if left_out else []),
        f"{demo.name} shows on the CPU how a training goes.",
        *_old_card([best]),
    ]
    return Choice(
        preset=smallest,
        fits=False,
        gpus=(best,),
        values={"gpus": _numbers([best])} if left_out else {},
        sentences=tuple(sentences),
        alternatives=(
            Alternative(preset=demo, why="It needs no GPU, but trains the toy base only."),
            *(Alternative(preset=other, why=_why_not(other, smallest, best, reserve)) for other in for_gpu[1:]),
        ),
    )


def _numbers(gpus: Sequence[Gpu]) -> str:
    return ",".join(str(gpu.index) for gpu in gpus)


def _gib(mib: int) -> str:
    return f"{mib / 1024:.1f}"


def _version(capability: tuple[int, int]) -> str:
    return f"{capability[0]}.{capability[1]}"
