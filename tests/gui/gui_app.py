"""The real app.py as a process of its own, as a double click starts it."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import psutil

from trainer_core.contracts.workspace import Workspace

ROOT = Path(__file__).resolve().parents[2]
WATCH = Path(__file__).with_name("watch")
_LOOPBACK = re.compile(r"(127\.[0-9.]+|::1|localhost|None|0\.0\.0\.0|::|b?'?/.*)", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Watched:
    """One thing that a process of the app did: a look-up, a connection or a heavy import."""

    pid: int
    event: str
    what: str


class Application:
    """Starts app.py in a workspace. Its log, its look-ups and its heavy imports are kept for the tests."""

    def __init__(self, folder: Path, *arguments: str, variables: Mapping[str, str] | None = None) -> None:
        self.workspace = Workspace(folder / "workspace")
        self.log_file = folder / "server.log"
        self.watch_file = folder / "watched.txt"
        self.address = ""
        self.ready_s = 0.0
        self.ready_cpu_s = 0.0
        self._arguments = arguments
        self._variables = variables or {}
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        self.watch_file.touch()

    @property
    def base(self) -> str:
        """Address without path and token: "http://127.0.0.1:PORT"."""
        return self.address.split("/?")[0]

    @property
    def process(self) -> psutil.Process:
        assert self._process is not None
        return psutil.Process(self._process.pid)

    @property
    def token(self) -> str:
        return self.address.partition("token=")[2]

    def start(self, *, port: int = 0, expect: str = "is ready") -> None:
        """Start it and wait until it prints its address after the words ``expect``."""
        # A command tested in this process may have switched the hub off.
        kept = {name: text for name, text in os.environ.items() if not name.endswith("_OFFLINE")}
        variables = kept | {
            "PYTHONPATH": str(WATCH),
            "NEWBIE_WATCH_FILE": str(self.watch_file),
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
            # Must have no effect.
            "GRADIO_SHARE": "True",
            "GRADIO_MCP_SERVER": "True",
            "GRADIO_ALLOWED_PATHS": "/",
            "GRADIO_ANALYTICS_ENABLED": "True",
            "GRADIO_SERVER_NAME": "0.0.0.0",
            **self._variables,
        }
        command = [sys.executable, str(ROOT / "app.py"), "--no-open", "--port", str(port)]
        command += ["--workspace", str(self.workspace.root), *self._arguments]
        offset = self.log_file.stat().st_size if self.log_file.exists() else 0
        self._log = open(self.log_file, "ab")
        started = time.monotonic()
        self._process = subprocess.Popen(command, cwd=ROOT, env=variables, stdout=self._log, stderr=subprocess.STDOUT)
        deadline = started + 120
        while not (found := re.search(expect + r".*?: (http\S+)\s", self.log_text(offset))):
            assert self._process.poll() in (None, 0), self.log_text(offset)
            assert time.monotonic() < deadline, self.log_text(offset)
            time.sleep(0.02)
        self.ready_s = time.monotonic() - started
        self.ready_cpu_s = self._cpu_s()
        self.address = found[1]

    def _cpu_s(self) -> float:
        try:
            times = self.process.cpu_times()
        except psutil.NoSuchProcess:
            return 0.0
        return times.user + times.system

    def stop(self, *, kill: bool = False) -> None:
        """End the web process, as Ctrl+C does or as a crash does; jobs go on."""
        if self._process is not None:
            if kill:
                self._process.kill()
            else:
                self._process.terminate()
            self._process.wait(timeout=20)
            self._process = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def close(self) -> None:
        """End everything: the web process, then whatever still works in this workspace."""
        self.stop()
        mine = [process for process in psutil.process_iter() if self._is_mine(process)]
        for process in mine:
            process.kill()
        psutil.wait_procs(mine, timeout=10)

    def _is_mine(self, process: psutil.Process) -> bool:
        try:
            return process.pid != os.getpid() and str(self.workspace.root) in " ".join(process.cmdline())
        except psutil.Error:
            return False

    def log_text(self, offset: int = 0) -> str:
        """What the web process printed, from the byte ``offset`` on."""
        if not self.log_file.exists():
            return ""
        return self.log_file.read_bytes()[offset:].decode("utf-8", "replace")

    def watched(self) -> list[Watched]:
        lines = self.watch_file.read_text(encoding="utf-8").splitlines()
        return [Watched(pid=int(pid), event=event, what=what) for pid, event, what in (x.split("\t", 2) for x in lines)]

    def foreign_lookups(self) -> list[Watched]:
        """Names that were looked up and addresses that were called, this machine's own apart."""
        return [x for x in self.watched() if x.event != "import" and not _LOOPBACK.fullmatch(x.what)]
