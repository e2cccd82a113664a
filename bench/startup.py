"""How soon something happens: python -m bench.startup [--tries N]; prints one JSON line of medians in seconds.

Each try is a process of its own. The training is one of the built-in base whose features are there already, so what
lies between its imports and its first step is what every start does.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

from bench.caching import config_of, make_pictures
from bench.machine import machine
from trainer_core.contracts.config import to_toml
from trainer_core.contracts.events import read_events
from trainer_core.contracts.repository import REPOSITORY

HELP = (sys.executable, "-m", "trainer_core", "--help")
IMPORTS = (sys.executable, "-c", "import trainer_core.training.run")


def seconds_of(command: tuple[str, ...]) -> float:
    """Until it has ended well."""
    start = time.perf_counter()
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    return time.perf_counter() - start


def first_step(folder: Path, name: str) -> float:
    """Seconds from the start of a training's process until it has told of its first step."""
    file = folder / f"{name}.toml"
    values = {"output_name": name, "max_train_steps": 1, "tensorboard": False, "optimizer_type": "AdamW"}
    file.write_text(to_toml(config_of(folder, **values)), encoding="utf-8")
    begun = time.time()
    subprocess.run(
        (sys.executable, "-m", "trainer_core", "train", str(file)), cwd=REPOSITORY, check=True, capture_output=True
    )
    told = read_events(folder / "output" / name / "events.jsonl")
    return float(next(event["time"] for event in told if event["event"] == "step")) - begun


def measure(tries: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        make_pictures(folder / "pictures", 4)
        first_step(folder, "fills-the-cache")
        started = median(first_step(folder, f"run-{number}") for number in range(tries))
    imports = median(seconds_of(IMPORTS) for _ in range(tries))
    return {
        "help_s": median(seconds_of(HELP) for _ in range(tries)),
        "imports_s": imports,
        "first_step_s": started,
        "first_step_after_imports_s": started - imports,
        "machine": machine(),
    }


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.startup", description=__doc__)
    parser.add_argument("--tries", type=int, default=3)
    options = parser.parse_args(arguments)
    if options.tries < 1:
        parser.error("--tries must be at least 1")
    print(json.dumps(measure(options.tries)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
