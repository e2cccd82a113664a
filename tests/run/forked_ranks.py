"""Processes of one run that start at once: forked from a helper (see warm.py) instead of importing torch each.

`forked` patches `run_ranks`; the processes run the real command line, and signals and exit codes are real.
"""

import os
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from warm import launch

from trainer_core.jobs import ranks
from trainer_core.training import loop

Patch = Callable[[], None]


class ForkedRank:
    """Stands in for `subprocess.Popen`, as far as `run_ranks` uses it."""

    def __init__(self, log: Path, patch: Patch, command: Sequence[str], *, env: Mapping[str, str]) -> None:
        python = ranks.repository_python([])
        assert list(command[: len(python)]) == python
        given = {"variables": dict(env), "launcher": os.getpid(), "patch": patch}
        self._child = launch(command[len(python) :], log, prepare=_become_rank, given=given)
        assert self._child.pid is not None
        self.pid = self._child.pid

    @property
    def returncode(self) -> int | None:
        return self._child.exitcode

    def poll(self) -> int | None:
        return self._child.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        self._child.join(timeout)
        if self._child.exitcode is None:
            raise subprocess.TimeoutExpired("a forked rank", timeout or 0.0)
        return self._child.exitcode

    def send_signal(self, number: int) -> None:
        os.kill(self.pid, number)

    def terminate(self) -> None:
        self._child.terminate()

    def kill(self) -> None:
        self._child.kill()


def nothing() -> None:
    """The trainer as it is."""


def forked(monkeypatch: pytest.MonkeyPatch, log: Path, patch: Patch = nothing) -> None:
    """From now on `run_ranks` forks; in each process `patch`, a function of a module, is called first."""
    start = partial(ForkedRank, log, patch)
    stand_in = SimpleNamespace(Popen=start, TimeoutExpired=subprocess.TimeoutExpired)
    monkeypatch.setattr(ranks, "subprocess", stand_in)


def _become_rank(variables: Mapping[str, str], launcher: int, patch: Patch) -> None:
    os.environ.update(variables)
    # The helper's child otherwise; a trainer asks whether its launcher has the run.
    os.getppid = lambda: launcher
    patch()


def small_device_in_rank_1() -> None:
    """One that cannot keep activations, from step 3 on, nor hold a base of 4 bits."""
    real = loop.Trainer._losses

    def losses(self: loop.Trainer, work: Any) -> torch.Tensor:
        now = self._config
        small = now.quantize_base == "nf4" or (work.step >= 2 and not now.gradient_checkpointing)
        if os.environ["RANK"] == "1" and small:
            raise torch.OutOfMemoryError("Tried to allocate 2.00 GiB")
        return real(self, work)

    loop.Trainer._losses = losses  # type: ignore[method-assign]


def failing_in_rank_1() -> None:
    def fail(*args: object) -> None:
        raise MemoryError("no memory in this process")

    if os.environ["RANK"] == "1":
        loop.interpolate = fail  # type: ignore[assignment]
