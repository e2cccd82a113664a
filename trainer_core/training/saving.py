"""Exports and checkpoints, written in a thread while training goes on; what is written is copied first."""

from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.disk import require_space
from trainer_core.contracts.rundir import RunDir
from trainer_core.training.checkpoint import WHEN_FULL, Checkpoint, save_checkpoint
from trainer_core.training.export import TrainingFacts, export_adapter


@dataclass(frozen=True, kw_only=True)
class SaveResult:
    """What one save has written."""

    step: int
    export: Path
    checkpoint: Path


class Saver:
    """One save at a time. Errors of the thread are raised by whichever call comes next, as they were."""

    def __init__(self, run: RunDir, config: TrainConfig) -> None:
        self._run = run
        self._config = config
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="saving")
        self._under_way: Future[SaveResult] | None = None

    def begin(self, checkpoint: Checkpoint, facts: TrainingFacts) -> None:
        """Copy what belongs to a save and have it written. The save before must have been collected."""
        assert self._under_way is None, "a save is still under way"
        self._under_way = self._pool.submit(self._write, checkpoint.copied(), facts)

    def collect(self, *, wait: bool) -> SaveResult | None:
        """The save that was begun, once it is whole; None if there is none, or without ``wait`` not yet.

        Raises UserError `disk_full`, OSError.
        """
        if self._under_way is None or not (wait or self._under_way.done()):
            return None
        done, self._under_way = self._under_way, None
        return done.result()

    def close(self) -> None:
        """Waits for what is being written."""
        self._pool.shutdown(wait=True)

    def _write(self, checkpoint: Checkpoint, facts: TrainingFacts) -> SaveResult:
        # The export comes first: a kill between the two is made good by doing the steps again, whereas a
        # checkpoint of the last step without its export would pass for a finished run.
        size = sum(value.numel() * 4 for value in checkpoint.adapter.values())
        require_space(self._run.exports, 2 * size, "an export", WHEN_FULL)
        file = export_adapter(self._run.exports, checkpoint.adapter, self._config, facts)
        folder = save_checkpoint(self._run.checkpoints, checkpoint, keep=self._config.keep_last_n_checkpoints)
        return SaveResult(step=facts.step, export=file, checkpoint=folder)
