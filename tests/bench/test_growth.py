"""The loop around the arithmetic costs the same at the end of a run as at its beginning."""

import json
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from contextlib import redirect_stdout
from io import StringIO

import pytest

from bench.growth import main
from tests.faults.warm import context


def printed(arguments: list[str]) -> str:
    with redirect_stdout(StringIO()) as told:
        assert main(arguments) == 0
    return told.getvalue()


def test_neither_time_nor_memory_grows_with_the_steps(record_figure: Callable[[str, float], None]):
    # In a process of its own, whose memory is nobody else's; its imports are the helper's.
    with ProcessPoolExecutor(1, mp_context=context()) as processes:
        figures = json.loads(processes.submit(printed, ["--steps", "4000", "--images", "4000"]).result())
    record_figure("loop: microseconds a step around the arithmetic", figures["microseconds_per_step_last"])
    record_figure("loop: last steps / first steps", figures["last_over_first"])
    # Ten times the steps would show what grows with them; a neighbour on the machine doubles a part at most.
    assert figures["last_over_first"] < 2 and figures["memory_growth_mib"] < 4


def test_too_few_steps_to_compare_are_refused(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit):
        main(["--steps", "1"])
    assert "at least 100" in capsys.readouterr().err
