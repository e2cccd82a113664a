"""Under which URL the files of a run are served."""

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from newbie_gui.links import file_url, zip_url
from newbie_gui.runs.store import Row
from trainer_core.contracts.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Place:
    """A run's folder, and the same as a root of the file routes with a path below it."""

    folder: Path
    root: str
    below: PurePosixPath

    def file_url(self, *parts: str) -> str:
        return file_url(self.root, self.below.joinpath(*parts))

    def zip_url(self, *parts: str) -> str:
        """Of a folder."""
        return zip_url(self.root, self.below.joinpath(*parts))


def place_of(workspace: Workspace, row: Row) -> Place:
    """Runs in the workspace have their names in the URL; those elsewhere are found by their key."""
    for root, folder in (("output", workspace.output), ("jobs", workspace.jobs)):
        if row.folder.parent == folder:
            return Place(folder=row.folder, root=root, below=PurePosixPath(row.folder.name))
    return Place(folder=row.folder, root=f"run-{row.key}", below=PurePosixPath())
