"""The workspace: the one folder below which the browser side keeps all that it makes.

Only this module spells the names inside it; nothing here is state of its own: every list is read from disk anew.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Workspace:
    """Paths below ``root``. Making the object touches no disk; `create` makes the folders."""

    root: Path

    @property
    def datasets(self) -> Path:
        """One folder a data set; inside it concepts as ``10_name``."""
        return self.root / "datasets"

    @property
    def configs(self) -> Path:
        """Saved settings, ``NAME.toml``."""
        return self.root / "configs"

    @property
    def output(self) -> Path:
        """The run folders: the form's default for ``output_dir``."""
        return self.root / "output"

    @property
    def cache(self) -> Path:
        """Encoded images and captions, shared by all runs (``cache_dir``)."""
        return self.root / "cache"

    @property
    def models(self) -> Path:
        """Base models that were downloaded or converted, and merged ones."""
        return self.root / "models"

    @property
    def loras(self) -> Path:
        """LoRA files that were uploaded or converted."""
        return self.root / "loras"

    @property
    def jobs(self) -> Path:
        """One folder a job (`contracts.jobdir`), and the queue's own files."""
        return self.root / "jobs"

    @property
    def thumbnails(self) -> Path:
        return self.root / ".thumbnails"

    @property
    def token_counts(self) -> Path:
        """A file: how many tokens each caption has (`dataset.token_counts`)."""
        return self.root / ".tokens" / "counts.json"

    @property
    def uploads(self) -> Path:
        """Gradio's upload cache; emptied by age."""
        return self.root / ".uploads"

    @property
    def trash(self) -> Path:
        """What was deleted, until it is emptied."""
        return self.root / "trash"

    @property
    def private(self) -> Path:
        """Token, lock and remembered choices of the browser side; mode 0700."""
        return self.root / ".private"

    def create(self) -> None:
        """Make every folder. Raises OSError where the disk refuses."""
        for folder in self._folders():
            folder.mkdir(parents=True, exist_ok=True)
        self.private.chmod(0o700)

    def _folders(self) -> Iterator[Path]:
        yield from (self.datasets, self.configs, self.output, self.cache, self.models, self.loras)
        yield from (self.jobs, self.thumbnails, self.uploads, self.trash, self.private)
