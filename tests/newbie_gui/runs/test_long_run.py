"""A finished run of 100,000 steps: opened, drawn and asked again within what a page can wait for."""

import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import orjson

from newbie_gui.runs.history import History
from newbie_gui.runs.plot import Plot, PlotChoice, plot_of

STEPS = 100_000


def long_log(file: Path) -> None:
    loss = np.random.default_rng(5).lognormal(-2, 0.4, STEPS)
    line = {
        "event": "step", "time": 1764000000.123, "step": 0, "total_steps": STEPS, "epoch": 1, "loss": 0.0,
        "loss_smoothed": 0.13371337, "lr": 0.0001, "grad_norm": 0.4256871938705444, "images_per_second": 7.9123456789,
        "seconds_per_step": 0.5055555, "memory_gib": 9.1234567, "eta_seconds": 12345.678,
    }  # fmt: skip
    head, tail = json.dumps(line).split('"step": 0')
    tail_head, tail_end = tail.split('"loss": 0.0')
    with file.open("w", encoding="utf-8") as log:
        for step, value in enumerate(loss.tolist(), start=1):
            log.write(f'{head}"step": {step}{tail_head}"loss": {value}{tail_end}\n')


def wire(plot: Plot) -> bytes:
    rows = [
        [int(step), round(float(value), 4), name]
        for name, curve in (("loss", plot.raw), ("smooth", plot.smoothed), ("rate", plot.rate), ("other", plot.other))
        if curve is not None
        for step, value in zip(curve.steps, curve.values, strict=True)
    ]
    return orjson.dumps(rows)


def test_18_a_long_run_opens_fast_and_stays_light(tmp_path: Path, record_figure: Callable[[str, float], None]) -> None:
    long_log(tmp_path / "events.jsonl")
    history = History(tmp_path / "events.jsonl")
    # Computing time and not the wall clock: other tests may have the machine busy.
    started = time.thread_time()
    assert history.refresh().steps == STEPS
    opened = time.thread_time() - started
    record_figure("reading a log of 100,000 steps, seconds", opened)
    drawing = []
    for _ in range(3):
        started = time.thread_time()
        plot = plot_of(history, PlotChoice(), history)
        drawing.append(time.thread_time() - started)
    record_figure("its curves for the page, seconds", min(drawing))
    started = time.thread_time()
    history.refresh()
    looked = time.thread_time() - started
    record_figure("a look that finds nothing new, seconds", looked)
    size = len(wire(plot))
    record_figure("its curves on the wire, kB", size / 1000)
    assert opened < 1.5 and min(drawing) < 0.05 and looked < 0.005 and size < 60_000
    assert max(map(len, (plot.raw, plot.smoothed, plot.rate))) <= 1000
