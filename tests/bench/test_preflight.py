"""What Check fit says of a step is what a training then takes."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_a_training_takes_what_check_fit_said(record_figure: Callable[[str, float], None]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench.preflight", "--steps", "6"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    figures = json.loads(done.stdout)
    for kind in ("checkpointed", "every activation kept", "base in int8"):
        for name, ratio in figures[kind].items():
            record_figure(f"Check fit / training, {name}, {kind}", ratio)
            # Seconds are the machine's, too, which does other things.
            assert (0.5 < ratio < 2) if name == "seconds" else (0.8 < ratio < 1.25)
