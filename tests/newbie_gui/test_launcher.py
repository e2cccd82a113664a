"""The launcher's child processes, and what it says when set-up cannot go on."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from newbie_gui import launcher


def test_ctrl_c_waits_until_the_child_has_saved(monkeypatch: pytest.MonkeyPatch):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(0.5); raise SystemExit(7)"])
    wait: Callable[[], int] = child.wait
    presses = iter([True, True, False])

    def interrupted() -> int:
        if next(presses):
            raise KeyboardInterrupt
        return wait()

    monkeypatch.setattr(child, "wait", interrupted)
    assert launcher.wait_for(child) == 7
