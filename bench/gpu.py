"""Everything that only a card can tell: python -m bench gpu --minutes 9. Resumable, in pieces of so many minutes.

The released model with random weights made on the device, case by case, each a process of its own: every preset; the
goals at 1024 px; what checkpointing, quantisation and swapping cost; attention with unequal captions; the encoders in
batches and alone; sampling. What was measured is kept in build/bench-gpu.json; run it again until nothing is left. A
case that says why it fails (out of memory, a package that is not there) is kept so and not tried again.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from trainer_core.contracts.fsutil import write_json_atomic
from trainer_core.contracts.repository import REPOSITORY
from trainer_core.contracts.toml_text import toml_value
from trainer_core.planning.presets import load_presets

# A step's own settings, the same in all cases that are compared with each other.
_AT_1024: Mapping[str, Any] = {
    "resolution": 1024, "lora_rank": 32, "lora_alpha": 32.0, "mixed_precision": "bf16", "optimizer_type": "AdamW8bit",
    "gradient_checkpointing": False,
}  # fmt: skip
_TINY_BLOCKS = 6
# Seconds that a case may take before it counts as hung.
_PATIENCE_S = 300.0
LEFT = 3
# How an error begins that a case reports itself.
_SAID = "error: "

Case = tuple[str, tuple[str, ...]]


def cases(*, tiny: bool) -> Iterator[Case]:
    """Name, and the command of each. ``tiny``: the built-in base's size on the CPU, to show that it runs through."""
    whole = {"gradient_checkpointing": True}
    goals: dict[str, Mapping[str, Any]] = {
        "batch 4": {"train_batch_size": 4},
        "batch 1": {},
        "batch 4, checkpointed": {**whole, "train_batch_size": 4},
        "batch 1, checkpointed": whole,
        "batch 4, no dropout": {"train_batch_size": 4, "lora_dropout": 0.0},
    }
    costs: dict[str, Mapping[str, Any]] = {
        **{f"every {n}th block kept": {**whole, "checkpoint_skip_every": n} for n in (2, 3, 4)},
        **{f"base in {kind}, checkpointed": {**whole, "quantize_base": kind} for kind in ("int8", "nf4")},
        "12 blocks swapped, checkpointed": {**whole, "swap_blocks": 12},
        "all blocks swapped, checkpointed": {**whole, "swap_blocks": 36},
        **{f"base in {kind}": {"quantize_base": kind} for kind in ("int8", "nf4")},
        "LoKr": {"adapter_type": "lokr"},
        "LoKr, batch 4": {"adapter_type": "lokr", "train_batch_size": 4},
    }
    compiled: dict[str, Mapping[str, Any]] = {
        "batch 4, compiled": {"compile_blocks": True, "train_batch_size": 4},
        "batch 1, compiled": {"compile_blocks": True},
        "batch 1, compiled, checkpointed": {**whole, "compile_blocks": True},
    }
    for name, values in goals.items():
        yield f"1024 px, {name}", _step({**_AT_1024, **values}, tiny=tiny)
    for preset in load_presets():
        if preset.device == "cuda":
            yield f"preset {preset.name}", _step(preset.values, tiny=tiny)
    # The others need a card.
    for backend in ("sdpa",) if tiny else ("sdpa", "varlen", "flash"):
        values = {**_AT_1024, "train_batch_size": 4, "attention_backend": backend}
        yield f"unequal captions, {backend}", _step(values, "--caption-tokens", "384,160,60,20", tiny=tiny)
    yield "encoders", ("encoders", *(("--size", "tiny", "--device", "cpu", "--repeats", "1") if tiny else ()))
    sampler = ("--steps", "2" if tiny else "28", "--warmup", "1")
    yield "sampling at 1024 px", ("sampling", *_flags(_AT_1024, tiny=tiny), *sampler)
    for name, values in costs.items():
        yield f"1024 px, {name}", _step({**_AT_1024, **values}, tiny=tiny)
    # Last, for the compiler takes minutes.
    for name, values in compiled.items():
        yield f"1024 px, {name}", _step({**_AT_1024, **values}, tiny=tiny)
    yield "Check fit / training", ("preflight", *(("--steps", "2") if tiny else ("--device", "cuda")))


def _step(values: Mapping[str, Any], *more: str, tiny: bool) -> tuple[str, ...]:
    steps, warmup = ("1", "1") if tiny else ("6", "2")
    return ("step", *_flags(values, tiny=tiny), *more, "--steps", steps, "--warmup", warmup)


def _flags(values: Mapping[str, Any], *, tiny: bool) -> tuple[str, ...]:
    if tiny:
        own = {"device": "cpu", "resolution": 64, "optimizer_type": "AdamW", "mixed_precision": "no"}
        values = {**values, **own, "swap_blocks": min(values.get("swap_blocks", 0), _TINY_BLOCKS)}
    settings = [part for name, value in values.items() for part in ("--set", f"{name}={toml_value(value)}")]
    return ("--size", "tiny" if tiny else "full", *settings)


Process = subprocess.Popen[str]


def begin(command: Sequence[str]) -> Process:
    """The case's own process, which imports what it needs and waits for `figures`."""
    return subprocess.Popen(
        [sys.executable, "-m", "bench.waiting", *command], cwd=REPOSITORY, text=True, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def figures(process: Process) -> dict[str, Any]:
    """What a case measures, or {"error": its last words}."""
    try:
        out, err = process.communicate("go\n", timeout=_PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return {"error": f"nothing after {_PATIENCE_S:.0f} s"}
    if process.returncode:
        return {"error": (err.strip().splitlines() or [f"exit {process.returncode}"])[-1]}
    try:
        told: dict[str, Any] = json.loads(out.splitlines()[-1])
    except (IndexError, ValueError):
        return {"error": "it ended without its line of figures"}
    return told


def row(name: str, told: Mapping[str, Any]) -> str:
    """One line of the table."""
    if "error" in told:
        return f"{name:36} {told['error'][:90]}"
    if "utilisation" not in told:
        kept = {key: value for key, value in told.items() if key not in ("machine", "config")}
        return f"{name:36} {json.dumps(kept)}"
    return (
        f"{name:36} {told['seconds_per_step']:8.3f} s/step {told['images_per_second']:7.3f} images/s  "
        f"{told['peak_gib']:6.2f} GiB (estimated {told['estimated_peak_gib']:6.2f}, "
        f"process {told['process_gib']:5.2f})  {100 * told['utilisation']:5.1f} % of the matrix rate, "
        f"{100 * told['executed_utilisation']:5.1f} % with what is done twice  "
        f"host {told['host_seconds_per_step']:6.3f} s"
    )


def measured(todo: Mapping[str, Sequence[str]], seconds: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Case by case, until the next would probably end after so many seconds.

    While one is measured, the process of the next imports what it needs.
    """
    started, longest = time.monotonic(), 0.0
    commands = iter(todo.values())
    begun = [begin(command) for command in islice(commands, 1)]
    try:
        for name in todo:
            since = time.monotonic()
            if since - started + longest > seconds:
                return
            process = begun.pop()
            begun.extend(begin(command) for command in islice(commands, 1))
            yield name, figures(process)
            longest = max(longest, time.monotonic() - since)
    finally:
        for process in begun:
            process.kill()
            process.communicate()


def has_card() -> bool:
    import torch

    return torch.cuda.is_available()


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 all is measured, 1 there is no card, 3 something is left for another piece."""
    parser = argparse.ArgumentParser(prog="python -m bench gpu", description=__doc__)
    parser.add_argument("--minutes", type=float, default=9.0, help="begin no case after so long (default: %(default)s)")
    parser.add_argument("--size", choices=("full", "tiny"), default="full", help="tiny: on the CPU, to see it run")
    parser.add_argument("--again", action="store_true", help="forget what was measured before")
    options = parser.parse_args(arguments)
    tiny = options.size == "tiny"
    if not tiny and not has_card():
        # Kept as failures, they would never be tried again.
        print("error: PyTorch finds no card here; --size tiny shows on a CPU that it runs", file=sys.stderr)
        return 1
    file = REPOSITORY / "build" / f"bench-gpu{'-tiny' if tiny else ''}.json"
    done: dict[str, Any] = {}
    if file.exists() and not options.again:
        kept = json.loads(file.read_text(encoding="utf-8"))
        done = {name: told for name, told in kept.items() if told.get("error", _SAID).startswith(_SAID)}
    file.parent.mkdir(exist_ok=True)
    planned = dict(cases(tiny=tiny))
    for name in planned:
        if name in done:
            print(row(name, done[name]), flush=True)
    todo = {name: command for name, command in planned.items() if name not in done}
    for name, told in measured(todo, 60 * options.minutes):
        done[name] = told
        write_json_atomic(file, done)
        print(row(name, told), flush=True)
    left = len(planned.keys() - done.keys())
    print(f"{len(planned) - left} of {len(planned)} cases measured: {file}")
    return LEFT if left else 0


if __name__ == "__main__":
    sys.exit(main())
