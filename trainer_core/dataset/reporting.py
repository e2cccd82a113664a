"""What the jobs of this part need of the process that runs them."""

from typing import Protocol

from trainer_core.contracts.jobdir import JobDir


class Reporter(Protocol):
    """`trainer_core.jobs.context.JobContext`, as seen from here."""

    folder: JobDir

    def progress(self, phase: str, done: int, total: int) -> None:
        """Tell how far ``phase`` is. Raises once a stop was asked for."""
