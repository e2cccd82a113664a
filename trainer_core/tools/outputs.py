"""Where a tool writes: nothing there yet, outside of what is read, room enough, and the disk's refusals in words."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from trainer_core.contracts.disk import SLACK_BYTES, require_space
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import is_disk_full, remove_leftovers
from trainer_core.planning.weight_files import PICKLES, SAFETENSORS, SUFFIX


def is_single_file(output: Path) -> bool:
    """Whether the name asks for one file instead of a folder."""
    return output.suffix.lower() == SUFFIX


def require_folder_name(output: Path) -> None:
    """Raises UserError `output_invalid` where a folder is to be written under what reads as one file's name."""
    if output.suffix.lower() in (*SAFETENSORS, *PICKLES, ".gguf"):
        raise UserError(
            "output_invalid",
            f"{output} is to become a folder, but is named like a file.",
            [f"Leave {output.suffix} away for a folder; one file for ComfyUI ends in {SUFFIX}."],
        )


def require_new(output: Path, *, folder: bool, inside: Sequence[Path] = ()) -> None:
    """Refuse a taken name, and a place inside one of `inside`; an empty folder may become the new one.

    Raises UserError `output_exists`, `output_invalid`.
    """
    taken = output.exists() or output.is_symlink()
    if taken and not (folder and output.is_dir() and not any(output.iterdir())):
        raise UserError(
            "output_exists",
            f"{output} already exists{' and is not empty' if output.is_dir() else ''}.",
            ["Choose another name, or remove it."],
        )
    around = next((place for place in inside if output.resolve().is_relative_to(place.resolve())), None)
    if around is not None:
        raise UserError("output_invalid", f"{output} lies inside {around}.", ["Choose a place outside of it."])


def require_folder(folder: Path) -> None:
    """Refuse what is there and no folder. Raises UserError `output_exists`."""
    if folder.exists() and not folder.is_dir():
        raise UserError("output_exists", f"{folder} is a file; a folder is needed.", ["Choose another name."])


def make_folder(folder: Path) -> None:
    """Make a folder to write into, if it is not there yet. Raises UserError `output_exists`, `output_failed`."""
    require_folder(folder)
    with writing(folder):
        folder.mkdir(exist_ok=True)


def require_room(output: Path, needed: int) -> None:
    """Raises UserError `disk_full` where `output` is to be written and `needed` bytes are not free."""
    # What a killed attempt left is as large as the whole.
    remove_leftovers(output.parent, output.name)
    require_space(output.parent, needed + SLACK_BYTES, output.name, ["Free some space, or write to another disk."])


@contextmanager
def writing(output: Path) -> Iterator[None]:
    """Makes the parent folder, and tells what the disk refused. Raises UserError `disk_full`, `output_failed`."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        full = is_disk_full(error)
        raise UserError(
            "disk_full" if full else "output_failed",
            f"{output} could not be written: {error.strerror or error}. Nothing was left behind.",
            ["Free some space, or write to another disk."] if full else ["Choose a place that you may write to."],
        ) from error
