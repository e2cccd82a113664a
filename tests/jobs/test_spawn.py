"""Processes that outlive their parent: what they know of the environment, how they end."""

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from queues import until

from trainer_core.jobs import spawn


def test_a_job_gets_a_closed_list_of_variables_and_no_part_in_anothers_run() -> None:
    given = {"PATH": "p", "HF_ENDPOINT": "h", "https_proxy": "x", "RANK": "1", "WORLD_SIZE": "2", "MY_SECRET": "s"}
    made = spawn.job_environment(given)
    assert {made["PATH"], made["HF_ENDPOINT"], made["https_proxy"], made["PYTHONUTF8"]} == {"p", "h", "x", "1"}
    assert not {"RANK", "WORLD_SIZE", "MY_SECRET"} & made.keys()
    assert made["PYTHONPATH"] == str(spawn.REPOSITORY)


def test_a_job_is_offline_by_the_persons_choice_and_not_by_the_pages() -> None:
    """The browser side keeps itself off the network; a download that it starts must not inherit that."""
    page = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", spawn.SET_HERE: " TRANSFORMERS_OFFLINE"}
    made = spawn.job_environment(page)
    assert made["HF_HUB_OFFLINE"] == "1" and "TRANSFORMERS_OFFLINE" not in made


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no sessions")
def test_a_started_process_is_alone_in_its_session_and_writes_a_log(tmp_path: Path) -> None:
    log = tmp_path / "日志.log"
    code = "import os, sys; print(os.getsid(0) == os.getpid(), sys.stdin.read() == '', os.getcwd())"
    assert spawn.start([sys.executable, "-c", code], log).wait(10) == 0
    assert log.read_text(encoding="utf-8") == f"True True {spawn.REPOSITORY}\n"


def test_a_killed_process_takes_its_children_along(tmp_path: Path) -> None:
    code = "import subprocess, sys, time; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    process = spawn.start([sys.executable, "-c", f"{code}; time.sleep(60)"], tmp_path / "log")
    parent = psutil.Process(process.pid)
    until(parent.children)
    (child,) = parent.children()
    spawn.kill(process.pid)
    process.wait(10)
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no process groups")
def test_what_a_process_leaves_behind_is_ended_but_no_living_process(tmp_path: Path) -> None:
    code = "import subprocess, sys; print(subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)']).pid)"
    process = spawn.start([sys.executable, "-c", code], tmp_path / "log")
    process.wait(10)
    left = psutil.Process(int((tmp_path / "log").read_text()))
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as living:
        spawn.end_rest(living.pid)
        spawn.end_rest(process.pid)
        until(lambda: not left.is_running() or left.status() == psutil.STATUS_ZOMBIE)
        assert living.poll() is None and os.getpid()
        living.communicate(b"\n")
