"""Between two starts of the processes of one run: what the one who starts them decides, writes down and tells.

All of them have ended then, so that this process may write in the run folder; it holds the run's lock.
"""

from contextlib import closing

import torch

from trainer_core.contracts.checkpoints import complete_checkpoints, step_of
from trainer_core.contracts.config import load_config
from trainer_core.contracts.events import EventLog
from trainer_core.contracts.rundir import RunDir
from trainer_core.training.checks import adapted
from trainer_core.training.device import device_type
from trainer_core.training.recovery import apply_rung, next_rung, recovery_message
from trainer_core.training.reporting import Reporter


def take_next_rung(run: RunDir, place: str, processes: int) -> bool:
    """After one of `processes` ran out of memory at `place`: the run's own config gets the next rung of the ladder.

    The run is this process's from then on. False where the user has to decide; nothing is written then.
    """
    config = load_config(run.config_file)
    # This process trains nothing: it takes no memory of a card.
    carried_out, _ = adapted(config, torch.device(device_type(config.device)))
    steps = [step_of(folder) for folder in complete_checkpoints(run.checkpoints)]
    rung = next_rung(carried_out, place, begun=bool(steps), processes=processes)
    if rung is None:
        return False
    apply_rung(run, config, rung)
    _tell(run, "warning", message=recovery_message(rung, place, max(steps, default=0)), settings=rung.values)
    run.write_state("running")
    return True


def end_stopped(run: RunDir) -> None:
    """The run was asked to stop while none of its processes trained."""
    run.write_state("stopped")
    step = run.read_state()["step"]
    _tell(run, "stopped", step=step, message="stopped before it went on with less memory; its checkpoints are kept")


def end_failed(run: RunDir) -> None:
    """Its processes ended before they opened the run again; what they printed, or the launcher, tells why."""
    message = "The GPU ran out of memory, and the run's processes could not be started again with less."
    run.write_state("failed", code="training_failed", message=message)


def _tell(run: RunDir, kind: str, **fields: object) -> None:
    with closing(Reporter(EventLog(run.events_file), run.log_file)) as reporter:
        reporter.emit(kind, **fields)
