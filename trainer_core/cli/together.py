"""A training in several processes of this machine: started together, and again with less where memory ran out."""

import os
import sys
import time
from pathlib import Path

from trainer_core.cli.shared import last_word
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.events import failure_since
from trainer_core.contracts.rundir import RunDir
from trainer_core.jobs.ranks import RankOutcome, SignalRelay, importable, repository_python, run_ranks


def train_together(source: Path, run: RunDir, count: int) -> int:
    """Train by the config or run folder `source` in `count` processes; returns the exit code.

    Where one of them ran out of GPU memory all start again from the last checkpoint with the next rung of the memory
    ladder in the run's own config, until it fits, only the user can help, or a stop is asked for. Those that fail tell
    why, unless they are killed. Raises UserError `run_busy` where another trainer took the run in between.
    """
    with SignalRelay() as stops:
        outcome, again = _start(source, run, count, stops)
        while again and not (stops.asked or run.stop_wanted()):
            outcome, again = _start(run.path, run, count, stops)
        # Where they ended before they opened the run again, it is still this process's.
        unopened = run.is_run_by(os.getpid())
        if again or (unopened and stops.asked):
            from trainer_core.training.out_of_memory import end_stopped

            end_stopped(run)
            last_word("stopped")
            return 0
    if unopened:
        from trainer_core.training.out_of_memory import end_failed

        end_failed(run)
    if outcome.code and all(code <= 0 for code in outcome.codes):
        print(
            f"error: a process of this run was killed (signal {outcome.code - 128}). "
            "The system does so with signal 9 when main memory is full.",
            file=sys.stderr,
        )
    return outcome.code


def _start(source: Path, run: RunDir, count: int, stops: SignalRelay) -> tuple[RankOutcome, bool]:
    """All processes once; and whether they may go on with less, which the run's config then says."""
    since = time.time()
    outcome = run_ranks(repository_python(["train", str(source)]), count, importable(os.environ), stops)
    failure = failure_since(run.events_file, since) if outcome.code else None
    if failure is None:
        return outcome, False
    with run.lock():
        if failure["code"] == "out_of_memory" and "place" in failure:
            # Here and above, because it needs torch.
            from trainer_core.training.out_of_memory import take_next_rung

            if take_next_rung(run, failure["place"], count):
                return outcome, True
        if run.read_state().get("status") != "failed":
            # One that was ended with it wrote its progress over that.
            run.write_state("failed", **UserError.of(failure).fields())
    return outcome, False
