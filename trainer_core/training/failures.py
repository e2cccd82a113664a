"""What ended a run, as something to act on, and how it is written down."""

import os
from contextlib import suppress

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError, as_user_error, is_gpu_memory
from trainer_core.contracts.events import failure_since
from trainer_core.contracts.rundir import RunDir
from trainer_core.planning.ladder import ladder_hints
from trainer_core.training.checkpoint import WHEN_FULL
from trainer_core.training.reporting import EventSink


def training_problem(error: Exception, config: TrainConfig) -> UserError:
    """What ended a training, as something to act on; unknown errors keep their own text."""
    if not isinstance(error, UserError) and is_gpu_memory(error):
        return UserError("out_of_memory", f"The GPU ran out of memory. {error}", ladder_hints(config))
    return as_user_error(error, when_full=WHEN_FULL, internal="See train.log; please report this.")


def failure_elsewhere(run: RunDir, since: float) -> UserError | None:
    """What another process of this run failed of: this one's own error is then only the lost connection."""
    state = run.read_state()
    if state.get("status") == "failed" and state.get("pid") != os.getpid():
        return UserError.of({"message": "Another process of this run failed.", **state})
    if told := failure_since(run.events_file, since):
        cause = UserError.of(told)
        # The main process wrote its progress over that state before it noticed.
        with suppress(OSError):
            run.write_state("failed", **cause.fields())
        return cause
    return None


def write_failure(run: RunDir, events: EventSink, problem: UserError, *, place: str = "") -> None:
    """The run's last state and event. `place`: where memory ran out, for who starts several processes again."""
    # On a full disk these two may fail as well; the problem itself must still reach the user.
    run.free_reserve()
    with suppress(OSError):
        run.write_state("failed", **problem.fields())
    with suppress(OSError):
        more = {"place": place} if place else {}
        events.emit("failed", **problem.fields(), **more)
