"""A workspace in which everything that has a name or a text has a hostile one."""

from pathlib import Path

from gui_runs import add_samples, add_saved, falling, make_run, tell, tell_many
from picture_files import put

from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.queue import Queue

EVIL = "<img src=x onerror=alert(1)>"
SCRIPT = "<script>alert(1)</script>"


def fill(workspace: Workspace) -> None:
    """A data set with a caption, and a failed run with curve, samples, checkpoint and log."""
    workspace.create()
    put(workspace.datasets / "set" / f"1_{EVIL}" / f"{EVIL}.png", f"{SCRIPT}, {EVIL}")
    run = make_run(workspace, "run", sample_prompts=[EVIL, SCRIPT])
    run.path.rename(run.path.with_name(EVIL))
    run = type(run)(run.path.with_name(EVIL))
    tell_many(run, falling(60))
    tell(run, "warning", code="x", message=f"{EVIL} {SCRIPT}")
    tell(run, "failed", code="x", message=f"{EVIL} {SCRIPT}", hints=[SCRIPT])
    run.write_state("failed", code="x", message=f"{EVIL} {SCRIPT}")
    add_saved(run, 10)
    add_samples(run, (0, 10), (EVIL, SCRIPT))
    run.log_file.write_text(f"{EVIL}\n{SCRIPT}\n", encoding="utf-8")
    # What is queued here is looked at, not done: each job would take seconds.
    Queue(workspace).set_paused(True)


def settled(workspace: Workspace) -> list[Path]:
    """All files, apart from those that the page's own jobs may be writing: a data set's index, an import."""
    busy = {folder.name for folder in (workspace.datasets, workspace.jobs, workspace.uploads, workspace.thumbnails)}
    found = (path.relative_to(workspace.root) for path in workspace.root.rglob("*") if path.is_file())
    return sorted(path for path in found if path.parts[0] not in busy and "cache" not in path.parts[0])
