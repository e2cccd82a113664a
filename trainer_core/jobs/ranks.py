"""One process for each GPU: start them, pass signals on, end all when one fails.

torch's and accelerate's launchers end their children 30 seconds after a stop; a run that saves first may need more.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from types import FrameType
from typing import Literal

from trainer_core.contracts.repository import REPOSITORY
from trainer_core.contracts.stop_signals import StopSignals

# What torch.distributed, accelerate and MPI set for the processes they start, beside LOCAL_RANK.
SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
_GRACE_S = 20.0
_POLL_S = 0.1


@dataclass(frozen=True, kw_only=True)
class RankOutcome:
    """Exit codes in the order of ranks; a negative one is the signal that ended the process."""

    codes: tuple[int, ...]

    @property
    def code(self) -> int:
        """0 if all are; else the code of the process that failed by itself rather than by being ended with it."""
        failed = [code for code in self.codes if code != 0]
        own = [code for code in failed if code > 0]
        return (own or [128 - code for code in failed] or [0])[0]


def is_launched(environment: Mapping[str, str]) -> bool:
    """True in a process that a launcher (accelerate, torchrun, MPI, this one) started as one of several."""
    # As accelerate decides it; clusters set WORLD_SIZE=1 for a job that nothing has launched.
    sizes = (environment.get(name, "") for name in SIZES)
    return environment.get("LOCAL_RANK", "") not in ("", "-1") or any(s.isdecimal() and int(s) > 1 for s in sizes)


def told_to_use_cpu(environment: Mapping[str, str]) -> bool:
    """True below `accelerate launch --cpu`."""
    return environment.get("ACCELERATE_USE_CPU", "").lower() in ("1", "true", "yes")


def rank_of(environment: Mapping[str, str], name: Literal["RANK", "LOCAL_RANK"]) -> int:
    """The place of this process among all, or among those of its machine; 0 where it is alone."""
    text = environment.get(name, "")
    return int(text) if text.isdecimal() else 0


class SignalRelay(StopSignals):
    """The signals of a stop while it is entered: passed on to the processes there are, and remembered.

    Entered around several `run_ranks` it also takes what comes between them, when there is nobody to pass it on to.
    """

    def __init__(self) -> None:
        super().__init__()
        self.asked = False
        self.children: list[subprocess.Popen[bytes]] = []

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        self.asked = True
        for child in self.children:
            if child.poll() is None and not (number == signal.SIGINT and _reached_by_ctrl_c()):
                child.send_signal(number)


def run_ranks(
    command: Sequence[str], count: int, environment: Mapping[str, str], stops: SignalRelay | None = None
) -> RankOutcome:
    """Run `command` `count` times on this machine as one torch.distributed world; returns when all have ended.

    What asks for a stop is passed on, once each, by `stops` where one is entered already. When one process fails, the
    others get SIGTERM and, after 20 seconds, SIGKILL: they would wait for ever for the one that is gone.
    """
    port = str(_free_port())
    # From before the first child to after the last: a signal that ended this process alone would leave them training.
    with nullcontext(stops) if stops else SignalRelay() as passing_on:
        passing_on.children = children = []
        try:
            for rank in range(count):
                variables = _rank_variables(rank, count, port)
                children.append(subprocess.Popen(command, env={**environment, **variables}))
            # One asked for before all were there did not reach all: they have done nothing yet, and end at once.
            if not passing_on.asked:
                _wait(children)
        finally:
            _end(children)
    return RankOutcome(codes=tuple(child.returncode for child in children))


def _rank_variables(rank: int, count: int, port: str) -> dict[str, str]:
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": port,
    }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _reached_by_ctrl_c() -> bool:
    """True where the children get a Ctrl+C by themselves, as parts of the same terminal or Windows console."""
    # Windows knows no other way to send one: `send_signal` would raise.
    return sys.platform == "win32" or (sys.stdin is not None and sys.stdin.isatty())


def _wait(children: Sequence["subprocess.Popen[bytes]"]) -> None:
    """Until all have ended, or one has failed."""
    while any(child.poll() is None for child in children):
        if any(child.poll() not in (None, 0) for child in children):
            return
        time.sleep(_POLL_S)


def _end(children: Sequence["subprocess.Popen[bytes]"]) -> None:
    for child in children:
        if child.poll() is None:
            child.terminate()
    deadline = time.monotonic() + _GRACE_S
    for child in children:
        try:
            child.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()


def child_environment(environment: Mapping[str, str], gpus: str) -> dict[str, str]:
    """`environment` in which CUDA sees `gpus` only, "0,2" as nvidia-smi counts them; "all" changes nothing."""
    chosen = {} if gpus == "all" else {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": gpus}
    return {**environment, **chosen}


def repository_python(arguments: Sequence[str]) -> list[str]:
    """The command that runs `python -m trainer_core` with `arguments` in this very Python."""
    return [sys.executable, "-m", "trainer_core", *arguments]


def importable(environment: Mapping[str, str]) -> dict[str, str]:
    """`environment` in which a Python that is started in any folder finds this package."""
    places = [str(REPOSITORY), environment.get("PYTHONPATH", "")]
    return {**environment, "PYTHONPATH": os.pathsep.join(place for place in places if place)}
