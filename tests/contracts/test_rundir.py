import dataclasses
import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from trainer_core.contracts.config import TrainConfig, load_config
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import write_json_atomic
from trainer_core.contracts.rundir import RunDir

CFG = TrainConfig(base_model_path=os.path.abspath("base"), train_data_dir=os.path.abspath("images"))
HOLDER = """
import sys
from pathlib import Path
from trainer_core.contracts.rundir import RunDir
run = RunDir(Path(sys.argv[1]))
with run.lock():
    run.write_state("running", step=5)
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def run(tmp_path: Path) -> RunDir:
    made = RunDir(tmp_path / "out" / "キャラ")
    made.create(CFG)
    return made


@pytest.fixture
def holder(run: RunDir) -> Iterator[subprocess.Popen[str]]:
    """Another process that holds the run's lock and says "running"."""
    root = str(Path(__file__).parents[2])
    command = [sys.executable, "-c", HOLDER, str(run.path)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=root, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None and process.stdout.readline() == "held\n"
        yield process
        process.kill()


def set_state(run: RunDir, *, pid: object, started: object) -> None:
    write_json_atomic(run.state_file, {"status": "running", "pid": pid, "process_start_time": started})


def test_create_makes_the_whole_folder(run: RunDir):
    names = sorted(path.name for path in run.path.iterdir())
    assert names == ["checkpoints", "config.toml", "control", "exports", "samples", "state.json"]
    assert load_config(run.config_file) == CFG
    assert run.status() == "created"


def test_create_again_takes_the_new_config_and_keeps_the_rest(run: RunDir):
    run.write_state("finished", step=9, total_steps=9)
    more = dataclasses.replace(CFG, num_epochs=60)
    run.create(more)
    assert load_config(run.config_file) == more
    assert (run.status(), run.read_state()["step"]) == ("finished", 9)


def test_the_frozen_paths_mean_the_same_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "vae").mkdir()
    monkeypatch.chdir(tmp_path)
    written = TrainConfig(
        base_model_path="base", vae_path="vae", gemma_model_path="google/gemma-3-4b-it", train_data_dir="data"
    )
    RunDir(tmp_path / "output" / "my_lora").create(written)
    frozen = load_config(tmp_path / "output" / "my_lora" / "config.toml")
    assert frozen == dataclasses.replace(
        written,
        base_model_path=str(tmp_path / "base"),
        vae_path=str(tmp_path / "vae"),
        train_data_dir=str(tmp_path / "data"),
    )


@pytest.mark.parametrize("make", [lambda run: run.create(CFG), lambda run: run.lock().__enter__()])
def test_a_path_that_cannot_be_a_folder_is_named(tmp_path: Path, make):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(UserError, match="cannot be used") as caught:
        make(RunDir(tmp_path / "file"))
    assert caught.value.code == "run_folder_unusable"
    assert (tmp_path / "file").read_text() == "mine"


def test_a_full_disk_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(UserError, match="The disk is full") as caught:
        RunDir(tmp_path / "run").create(CFG)
    assert caught.value.code == "disk_full" and "output_name" not in caught.value.hints[0]


def test_the_state_keeps_the_place_but_not_old_messages(run: RunDir):
    run.write_state("failed", step=3, total_steps=8, epoch=1, code="disk_full")
    run.write_state("running", step=4)
    state = run.read_state()
    assert (state["step"], state["total_steps"], state["epoch"]) == (4, 8, 1)
    assert "code" not in state and state["pid"] == os.getpid()


@pytest.mark.parametrize("content", [None, b"", b"{", b"[]", b"\xff", b'{"status": "unheard of"}'])
def test_a_state_that_says_nothing_breaks_no_listing(run: RunDir, content: bytes | None):
    run.state_file.unlink() if content is None else run.state_file.write_bytes(content)
    assert run.status() == "created"


def test_a_living_run_is_running(run: RunDir):
    run.write_state("running")
    assert (run.status(), run.interrupted()) == ("running", False)


def test_a_process_number_used_again_is_not_the_run(run: RunDir):
    set_state(run, pid=os.getpid(), started=psutil.Process().create_time() - 60)
    assert (run.status(), run.interrupted()) == ("failed", True)


@pytest.mark.parametrize(("pid", "started"), [(2**31 - 1, 1.0), (None, None), (-1, 0.0), ("1", 0.0), (True, 0.0)])
def test_no_such_process_is_no_running_run(run: RunDir, pid: object, started: object):
    set_state(run, pid=pid, started=started)
    assert run.status() == "failed"


def test_a_second_trainer_is_refused_while_the_first_lives(run: RunDir, holder: subprocess.Popen[str]):
    assert run.status() == "running"
    with pytest.raises(UserError, match=str(holder.pid)) as caught, run.lock():
        pytest.fail("held twice")
    assert caught.value.code == "run_busy"
    assert run.read_state()["step"] == 5


def test_a_killed_trainer_leaves_no_lock_and_is_failed(run: RunDir, holder: subprocess.Popen[str]):
    holder.kill()
    zombie_or_gone = psutil.Process(holder.pid)
    while zombie_or_gone.is_running() and zombie_or_gone.status() != psutil.STATUS_ZOMBIE:
        pass
    assert run.status() == "failed"
    with run.lock():
        run.write_state("running")
    assert run.status() == "running"


def test_one_process_cannot_hold_a_run_twice_at_a_time(run: RunDir):
    with run.lock(), pytest.raises(UserError, match="Another trainer"), run.lock():
        pytest.fail("held twice")
    with run.lock():
        assert run.lock_file.exists()


def test_an_error_inside_the_lock_frees_it(run: RunDir):
    with pytest.raises(KeyError), run.lock():
        raise KeyError("x")
    with run.lock():
        pass


def test_half_written_checkpoints_of_killed_trainers_go(run: RunDir):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    begun = [f".step-00000004.{pid}.tmp" for pid in (dead.pid, os.getpid(), os.getppid())]
    for name in ("step-00000002", ".pin-step-00000002", ".tmp-step-00000003-1", *begun):
        (run.checkpoints / name).mkdir()
    with run.lock():
        run.remove_leftovers()
    left = {path.name for path in run.checkpoints.iterdir()}
    assert left == {"step-00000002", ".pin-step-00000002", begun[-1]}


def test_requests_are_handed_out_once(run: RunDir):
    run.request("stop")
    run.request("stop")
    run.request("sample")
    (run.control / "unrelated").touch()
    assert run.take_requests() == {"stop", "sample"}
    assert run.take_requests() == set()


@pytest.mark.parametrize("verb", ["../stop", "", "STOP"])
def test_only_known_requests_are_made(run: RunDir, verb: str):
    with pytest.raises(ValueError, match="unknown request"):
        run.request(verb)  # type: ignore[arg-type]
    assert not list(run.control.iterdir())


def test_a_request_to_no_run_is_refused(tmp_path: Path):
    with pytest.raises(UserError) as caught:
        RunDir(tmp_path / "none").request("stop")
    assert caught.value.code == "run_missing" and not (tmp_path / "none").exists()
