"""Trainers that start at once: a helper process has imported torch and the trainer and forks a child for each.

A child runs the real command line and is an ordinary process that a signal hits alone; only its imports are another's.
"""

import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.context import ForkServerContext
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import MappingProxyType
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
# Everything that a training imports on its way, so that no child pays for it.
PRELOADED = ("warm", "bitsandbytes", "trainer_core.cli", "trainer_core.cli.job_train", "trainer_core.training.run")
NOTHING: Mapping[str, Any] = MappingProxyType({})


def context() -> ForkServerContext:
    """One helper a test session; it ends with it."""
    # The helper is started with these variables, and its children have them too.
    places = [str(ROOT), str(HERE), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(place for place in places if place))
    # One thread: on a busy machine those of one step wait for each other far longer than they compute.
    os.environ["OMP_NUM_THREADS"] = "1"
    found = multiprocessing.get_context("forkserver")
    found.set_forkserver_preload(list(PRELOADED))
    return found


def launch(
    arguments: Sequence[str],
    log: Path,
    *,
    prepare: Callable[..., None] | None = None,
    given: Mapping[str, Any] = NOTHING,
) -> BaseProcess:
    """Start ``python -m trainer_core ARGUMENTS`` in a session of its own; what it prints is appended to ``log``.

    Args:
        prepare: called in the child with ``given`` before anything else; a function of a module that can be imported.
    """
    child = context().Process(target=_run, args=(list(arguments), str(log), prepare, dict(given)), daemon=True)
    child.start()
    return child


def finish(child: BaseProcess, seconds: float = 120.0) -> int:
    """Wait for its end; returns the exit code, negative for a signal."""
    child.join(seconds)
    assert child.exitcode is not None, "still at work"
    return child.exitcode


def until(condition: Callable[[], object], child: BaseProcess, seconds: float = 60.0) -> bool:
    """Look very often; False if the child ended before the condition came true."""
    deadline = time.monotonic() + seconds
    while not condition():
        if not child.is_alive():
            return bool(condition())
        assert time.monotonic() < deadline, condition
        time.sleep(0.0005)
    return True


def _run(arguments: list[str], log: str, prepare: Callable[..., None] | None, given: dict[str, Any]) -> None:
    os.setsid()
    file = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(file, 1)
    os.dup2(file, 2)
    sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
    if prepare is not None:
        prepare(**given)
    from trainer_core.cli import main

    sys.exit(main(arguments))
