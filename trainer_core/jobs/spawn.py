"""Processes that outlive the one that started them: how they are started, interrupted and ended."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from trainer_core.contracts.repository import REPOSITORY
from trainer_core.jobs.ranks import importable

# What a job may know of the environment: where things lie, the language, the network's and the libraries' settings.
# Not a launcher's variables (RANK, WORLD_SIZE: a job is no part of another's run), not secrets of other programs.
_KEPT = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "TEMP", "TMP", "LD_LIBRARY_PATH",
    "DYLD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH", "PYTHONNOUSERSITE", "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR",
    "COMSPEC", "PATHEXT", "APPDATA", "LOCALAPPDATA", "PROGRAMDATA", "PROGRAMFILES", "USERPROFILE", "USERNAME",
    "HOMEDRIVE", "HOMEPATH", "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE", "SSL_CERT_FILE", "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    "TRANSFORMERS_OFFLINE", "ACCELERATE_USE_CPU",
})  # fmt: skip
_KEPT_FAMILIES = (
    "LC_", "XDG_", "HF_", "CUDA_", "NVIDIA_", "NCCL_", "PYTORCH_", "TORCH", "TRITON_", "OMP_", "MKL_", "OPENBLAS_",
    "BNB_", "WSL",
)  # fmt: skip
_SWITCHES = (
    ("PYTHONUTF8", "1"),
    # The log shows a line when it is printed.
    ("PYTHONUNBUFFERED", "1"),
    ("HF_HUB_DISABLE_TELEMETRY", "1"),
    ("DO_NOT_TRACK", "1"),
)
# Names of variables that the process which starts jobs set for itself alone, with blanks between.
SET_HERE = "NEWBIE_SET_HERE"

_KILL = 9


def job_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """The variables of a worker or job: a closed list of the inherited ones, and our own switches."""
    # Windows spells names in any case, and so do proxies everywhere.
    kept = {n: v for n, v in inherited.items() if n.upper() in _KEPT or n.upper().startswith(_KEPT_FAMILIES)}
    for name in inherited.get(SET_HERE, "").split():
        kept.pop(name, None)
    return importable({**kept, **dict(_SWITCHES)})


def start(command: Sequence[str], log: Path) -> "subprocess.Popen[bytes]":
    """Run ``command`` in a session of its own, without input, its output appended to ``log``.

    It goes on when this process, its terminal or its console ends; a Ctrl+C there does not reach it.
    Its folder is the repository's. Raises OSError.
    """
    flags = 0
    if sys.platform == "win32":
        flags = subprocess.CREATE_NEW_PROCESS_GROUP | subprocess.CREATE_NO_WINDOW
    with open(log, "ab") as output:
        return subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            env=job_environment(os.environ),
            start_new_session=True,
            creationflags=flags,
        )


def reap(process: "subprocess.Popen[bytes]") -> None:
    """Take note of the process's end whenever it comes, so that it does not stay in the list of processes."""
    threading.Thread(target=process.wait, daemon=True).start()


def interrupt(pid: int) -> None:
    """Ctrl+C for the process and its children. Windows cannot send one: nothing happens there."""
    _signal_group(pid, signal.SIGINT)


def kill(pid: int) -> None:
    """End the process and its children at once."""
    family = list(_family(pid))
    _signal_group(pid, _KILL)
    for process in family:
        with suppress(psutil.Error):
            process.kill()


def end_rest(pid: int) -> None:
    """End at once what the group of a process that is gone has left. Windows keeps no groups: nothing happens there."""
    # The system gives the id away again only when the whole group is gone.
    if not psutil.pid_exists(pid):
        _signal_group(pid, _KILL)


def _signal_group(pid: int, number: int) -> None:
    if sys.platform != "win32" and pid > 0:
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, number)


def _family(pid: int) -> Iterator[psutil.Process]:
    with suppress(psutil.Error):
        process = psutil.Process(pid)
        yield from process.children(recursive=True)
        yield process
