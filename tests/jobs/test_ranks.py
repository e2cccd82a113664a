"""The launcher of several processes: variables, exit codes, signals."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from trainer_core.jobs.ranks import (
    RankOutcome,
    SignalRelay,
    child_environment,
    importable,
    is_launched,
    repository_python,
    run_ranks,
    told_to_use_cpu,
)


def python(code: str) -> list[str]:
    return [sys.executable, "-c", f"import os, signal, sys, time\nrank = int(os.environ['RANK'])\n{code}"]


def test_each_process_knows_its_place_and_all_share_one_address(tmp_path: Path) -> None:
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    code = f"open(f'{tmp_path}/{{rank}}', 'w').write(' '.join(os.environ[n] for n in {names}))"
    assert run_ranks(python(code), 2, os.environ).codes == (0, 0)
    first, second = ((tmp_path / rank).read_text().split() for rank in "01")
    assert first[:3] == ["0", "0", "2"] and second[:3] == ["1", "1", "2"] and first[3:] == second[3:]


def test_when_one_fails_the_others_are_ended_and_its_code_counts() -> None:
    started = time.monotonic()
    outcome = run_ranks(python("sys.exit(7) if rank == 1 else time.sleep(60)"), 2, os.environ)
    assert outcome.codes == (-signal.SIGTERM, 7) and outcome.code == 7 and time.monotonic() - started < 15


def test_a_stop_is_passed_on_and_may_take_its_time() -> None:
    code = "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(0.3), sys.exit(0)))\ntime.sleep(60)"
    timer = threading.Timer(1.5, os.kill, (os.getpid(), signal.SIGTERM))
    timer.start()
    assert run_ranks(python(code), 2, os.environ).codes == (0, 0)


def test_a_signal_while_the_others_are_being_ended_leaves_none_behind() -> None:
    """Rank 1 fails; rank 0 takes its time; a second stop in between must not end the launcher before it."""
    code = (
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGTERM, lambda *_: (time.sleep(1.5), sys.exit(0)))\n"
        "time.sleep(1)\nsys.exit(7) if rank == 1 else time.sleep(60)"
    )
    timer = threading.Timer(1.9, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    assert run_ranks(python(code), 2, os.environ).codes == (0, 7)
    timer.join()


def test_a_signal_between_two_starts_is_remembered_and_the_next_one_ends_at_once() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with SignalRelay() as stops:
        assert run_ranks(python("sys.exit(7)"), 2, os.environ, stops).code == 7 and not stops.asked
        os.kill(os.getpid(), signal.SIGTERM)
        assert stops.asked
        assert run_ranks(python("time.sleep(60)"), 2, os.environ, stops).codes == (-signal.SIGTERM,) * 2
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize(("codes", "code"), [((0, 0), 0), ((1, -15), 1), ((-9, -15), 137), ((0, 3), 3)])
def test_the_code_of_all(codes: tuple[int, ...], code: int) -> None:
    assert RankOutcome(codes=codes).code == code


def test_who_was_launched_and_what_cuda_sees() -> None:
    assert is_launched({"LOCAL_RANK": "0"}) and not is_launched({"LOCAL_RANK": "-1", "RANK": "0"})
    assert is_launched({"WORLD_SIZE": "2"}) and not is_launched({"WORLD_SIZE": "1", "RANK": "0"})
    assert told_to_use_cpu({"ACCELERATE_USE_CPU": "true"}) and not told_to_use_cpu({"ACCELERATE_USE_CPU": "false"})
    assert child_environment({"A": "b"}, "all") == {"A": "b"}
    assert child_environment({}, "0,2")["CUDA_VISIBLE_DEVICES"] == "0,2"


def test_the_trainer_is_found_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PYTHONPATH", raising=False)
    assert run_ranks(repository_python(["--help"]), 2, importable(os.environ)).codes == (0, 0)
    assert importable({"PYTHONPATH": "mine"})["PYTHONPATH"].endswith(f"{os.pathsep}mine")
