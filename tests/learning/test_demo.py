"""The promise of the demo: a LoRA visibly learns a new character on a real, tiny model."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from trainer_core.planning.demo import TINY_BASE
from trainer_core.tools.tiny.exam import obedience

Record = Callable[[str, float | int | str], None]
ROOT = Path(__file__).parents[2]


def test_the_base_obeys_prompts_it_was_never_trained_on(record_figure: Record) -> None:
    result, _ = obedience(TINY_BASE, (), count=15, seed=11)
    record_figure("base obeys", str(result))
    # Two misses of fifteen; a guess is right for five at most.
    assert min(result.shares.values()) >= 13 / 15, result


def test_the_demo_teaches_the_character_and_keeps_the_rest(tmp_path: Path, record_figure: Record) -> None:
    started = time.monotonic()
    command = [sys.executable, "-m", "trainer_core", "demo", "--output", str(tmp_path / "demo")]
    process = psutil.Popen(command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.DEVNULL)
    peak = 0
    while process.poll() is None:
        try:
            peak = max(peak, process.memory_info().rss)
        except psutil.NoSuchProcess:
            break
        time.sleep(0.2)
    assert process.wait() == 0
    figures = json.loads((tmp_path / "demo" / "figures.json").read_text(encoding="utf-8"))
    seconds = time.monotonic() - started
    record_figure("demo: character before -> after", f"{figures['before']:.0%} -> {figures['after']:.0%}")
    record_figure("demo: other prompts obeyed", f"{figures['others']:.0%}")
    record_figure("demo: seconds (limit 180, fails at 360)", round(seconds))
    record_figure("demo: peak memory MiB (limit 2048)", peak // 2**20)
    assert figures["before"] == 0 and figures["after"] >= 0.8 and figures["others"] >= 0.85
    assert seconds < 2 * 180 and peak < 2 * 2**30
