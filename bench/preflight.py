"""Does a training take what Check fit said? python -m bench.preflight [--steps N] [--device D]; prints one JSON line.

On the built-in base: for each kind of settings `trainer_core fit` tries a step, then `trainer_core train` makes real
ones of the same pictures and captions. Both are processes of their own, as in the GUI. Ratios are answer / truth.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from types import MappingProxyType
from typing import Any

from bench.caching import config_of, make_pictures
from bench.machine import machine
from trainer_core.contracts.config import TrainConfig, to_toml
from trainer_core.contracts.events import read_events
from trainer_core.contracts.repository import REPOSITORY
from trainer_core.contracts.rundir import RunDir
from trainer_core.planning.measured import fit_folder
from trainer_core.planning.phases import GIB

KINDS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "checkpointed": {},
        "every activation kept": {"gradient_checkpointing": False},
        "base in int8": {"quantize_base": "int8"},
    }
)
# The first steps of a training load what is used for the first time.
WARM_UP = 3


def compare(config: TrainConfig, file: Path) -> dict[str, float]:
    """Try a step of a config, then train, and set the two beside each other; ``file`` is where the config is written.

    Returns:
        seconds: of a step.
        process: main memory at most.
        peak: torch's peak allocation, on a GPU.
    """
    file.write_text(to_toml(config), encoding="utf-8")
    for command in ("fit", "train"):
        subprocess.run(
            (sys.executable, "-m", "trainer_core", command, str(file)), cwd=REPOSITORY, check=True, capture_output=True
        )
    [answer] = fit_folder(config).glob("*.json")
    said = json.loads(answer.read_bytes())
    told = read_events(RunDir.of(config).events_file)
    steps = [float(event["seconds_per_step"]) for event in told if event["event"] == "step"]
    memory = [event for event in told if event["event"] == "memory" and event["phase"] == "training"]
    ratios = {
        "seconds": said["seconds_per_step"] / median(steps[WARM_UP:]),
        "process": said["process"] / GIB / max(event["process_gib"] for event in memory),
    }
    if said["cuda"]:
        ratios["peak"] = said["peak"] / GIB / max(event["peak_gib"] for event in memory)
    return ratios


def measure(steps: int, device: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        # All alike, for Check fit tries the most expensive batch and a training takes them in turn.
        make_pictures(folder / "pictures", 8, sizes=((256, 256),))
        for number, (kind, values) in enumerate(KINDS.items()):
            config = config_of(
                folder, device=device, output_dir=str(folder / f"output-{number}"), resolution=256, min_bucket_reso=256,
                max_bucket_reso=256, train_batch_size=2, max_train_steps=WARM_UP + steps, optimizer_type="AdamW",
                tensorboard=False, caption_dropout_rate=0.0, **values,
            )  # fmt: skip
            found[kind] = compare(config, folder / f"{number}.toml")
    return {**found, "steps_timed": steps, "machine": machine()}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.preflight", description=__doc__)
    parser.add_argument("--steps", type=int, default=20, help="steps of each training that are timed")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    options = parser.parse_args(arguments)
    if options.steps < 1:
        parser.error("--steps must be at least 1")
    print(json.dumps(measure(options.steps, options.device)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
