"""Where a job of a page may write: a new place that no other job will write either."""

from collections.abc import Sequence
from pathlib import Path

from newbie_gui.pages.ui import Ui
from newbie_gui.texts import Texts
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.user_path import checked_name
from trainer_core.planning.weight_files import SUFFIX


def planned_outputs(ui: Ui) -> list[str]:
    """Places that jobs which are not done will write; asking how large a download is writes none."""
    jobs = [entry.job for entry in ui.queue.entries() if entry.active]
    return [str(job.spec.get("output", "")) for job in jobs if not job.spec.get("plan")]


def output_path(t: Texts, folder: Path, name: object, *, file: bool, planned: Sequence[str]) -> Path:
    """A new place in ``folder``. ``planned``: outputs of jobs that are not done.

    Raises UserError `name_invalid`, `output_exists`.
    """
    stem = checked_name(str(name or "").strip().removesuffix(SUFFIX))
    output = folder / (stem + SUFFIX if file else stem)
    taken = {path.name.casefold() for path in folder.iterdir()} if folder.is_dir() else set()
    if output.name.casefold() in taken or str(output) in planned:
        raise UserError("output_exists", t("merge.error.taken", name=output.name))
    return output
