"""The loop around the arithmetic costs the same at the end of a run as at its beginning."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bench.growth import main

ROOT = Path(__file__).resolve().parents[2]


def test_neither_time_nor_memory_grows_with_the_steps(record_figure: Callable[[str, float], None]):
    command = [sys.executable, "-m", "bench.growth", "--steps", "4000", "--images", "4000"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    figures = json.loads(done.stdout)
    record_figure("loop: microseconds a step around the arithmetic", figures["microseconds_per_step_last"])
    record_figure("loop: last steps / first steps", figures["last_over_first"])
    # Ten times the steps would show what grows with them; a neighbour on the machine doubles a part at most.
    assert figures["last_over_first"] < 2 and figures["memory_growth_mib"] < 4


def test_too_few_steps_to_compare_are_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["--steps", "1"])
    assert "at least 100" in capsys.readouterr().err
