"""The job that takes uploaded pictures, captions and zips into a data set, and says what it refused and why."""

import zipfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainer_core.contracts.disk import require_space
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import is_disk_full, write_json_atomic
from trainer_core.contracts.workspace import Workspace
from trainer_core.dataset.caption_files import MAX_CAPTION_BYTES
from trainer_core.dataset.import_names import is_junk
from trainer_core.dataset.import_plan import ImportPlan, IncomingFile, Pair, RefusedFile, kind_of, plan_of
from trainer_core.dataset.import_target import ImportOutcome, Target
from trainer_core.dataset.import_zip import BROKEN_ZIP, ZipRefused, inflate, list_zip
from trainer_core.dataset.index_file import IndexPlaces
from trainer_core.dataset.indexing import update_index
from trainer_core.dataset.reporting import Reporter

REFUSED_FILE = "refused.json"
SHOWN_REFUSALS = 200

_RESERVE = 256 << 20
_PREVIEW_BYTES = 200_000


def run(spec: Mapping[str, Any], job: Reporter) -> Mapping[str, Any]:
    """Take files into a data set. Kind "import".

    spec: workspace (its root), folder (the data set), concept (folder inside it, "" = directly), files (paths of the
    uploads), overwrite (a caption replaces the one that is there), spare (concepts made with the data set: one
    that stays empty goes again once pictures lie elsewhere). Zips keep their ``10_name`` folders.

    Returns:
        added, captions, refused (how many) and list (the first 200 of them: name, reason, detail). All of them are in
        ``refused.json`` in the job's folder, also after a stop.

    Raises:
        UserError: `disk_full`, before anything was written or with what had arrived until then kept.
        JobStopped: what had arrived until then stays.
    """
    workspace, folder = Workspace(Path(spec["workspace"])), Path(spec["folder"])
    job.progress("reading the list of files", 0, 0)
    uploads = [Path(file) for file in spec["files"]]
    importer = _Importer(job, workspace.uploads)
    try:
        with ExitStack() as open_zips:
            plan = plan_of(importer.gather(uploads, open_zips))
            _require_room(folder, plan, workspace.uploads)
            places = IndexPlaces(workspace, folder)
            known = update_index(folder, places, job)
            target = Target(
                folder, concept=spec["concept"], known=known, places=places, overwrite=bool(spec.get("overwrite")),
                spare=spec.get("spare", ()),
            )  # fmt: skip
            with target, disk_errors(folder):
                importer.take(plan, target)
            if importer.added:
                target.drop_spare()
    finally:
        write_json_atomic(job.folder.path / REFUSED_FILE, [asdict(refused) for refused in importer.refused])
    remove_uploads(uploads, workspace.uploads)
    shown = [asdict(refused) for refused in importer.refused[:SHOWN_REFUSALS]]
    return {
        "added": importer.added,
        "captions": importer.captions,
        "refused": len(importer.refused),
        "list": shown,
    }


def _require_room(folder: Path, plan: ImportPlan, uploads: Path) -> None:
    """Raises UserError `disk_full` where the files, and the small pictures made of them, would not fit."""
    everything = [*(pair.picture for pair in plan.pairs), *(pair.caption for pair in plan.pairs if pair.caption)]
    same_disk = uploads.is_dir() and uploads.stat().st_dev == folder.stat().st_dev
    # What only moves within one disk needs no room; zips do.
    written = [item for item in everything if item.entry >= 0 or not same_disk]
    needed = sum(item.size for item in written) + len(plan.pairs) * _PREVIEW_BYTES + _RESERVE
    require_space(folder, needed, "the images", ["Free some space, then upload again."])


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Raises UserError `disk_full` or `folder_busy` in place of what the system says."""
    try:
        yield
    except OSError as error:
        full = is_disk_full(error)
        raise UserError(
            "disk_full" if full else "folder_busy",
            f"{folder} could not be written: {error.strerror or error}. What had arrived until then is kept.",
            ["Free some space, then upload the rest again."] if full else ["Choose a place that you may write to."],
        ) from error


def remove_uploads(files: Sequence[Path], uploads: Path) -> None:
    """Delete what is left of uploaded files; anything outside of ``uploads`` stays untouched."""
    root = uploads.resolve()
    for file in files:
        if root not in file.resolve().parents:
            continue
        file.unlink(missing_ok=True)
        for folder in (file.parent, *file.parent.parents):
            if folder.resolve() == root or not _removed_when_empty(folder):
                break


def _removed_when_empty(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


class _Importer:
    """One import: what it took and what it refused."""

    def __init__(self, job: Reporter, uploads: Path) -> None:
        self._job = job
        self._uploads = uploads.resolve()
        self._zips: dict[Path, zipfile.ZipFile] = {}
        self.refused: list[RefusedFile] = []
        self.added = 0
        self.captions = 0

    def gather(self, files: Sequence[Path], open_zips: ExitStack) -> Iterator[IncomingFile]:
        """Pictures and captions among the files and in their zips; the rest is refused."""
        for path in files:
            kind = kind_of(path.name)
            if is_junk(path.name):
                continue
            if path.is_symlink() or not path.is_file():
                self._refuse(path.name, "missing")
            elif kind == "zip":
                yield from self._in_zip(path, open_zips)
            elif kind in ("picture", "caption"):
                yield IncomingFile(shown=path.name, name=path.name, size=path.stat().st_size, origin=path)
            else:
                self._refuse(path.name, kind)

    def take(self, plan: ImportPlan, target: Target) -> None:
        """Pictures first, then the captions that came alone."""
        total = len(plan.pairs) + len(plan.lone_captions)
        for number, pair in enumerate(plan.pairs):
            self._job.progress("taking in pictures", number, total)
            self._take_pair(pair, target)
        for number, item in enumerate(plan.lone_captions, start=len(plan.pairs)):
            self._job.progress("taking in pictures", number, total)
            text = self._text_of(item, target)
            if text is not None:
                self._count(target.add_caption(item, text))
        for item in plan.doubtful:
            self._refuse(item.shown, "several_folders")
        self._job.progress("taking in pictures", total, total)

    def _take_pair(self, pair: Pair, target: Target) -> None:
        # Read before its picture is unpacked: both would use the same place.
        caption = self._text_of(pair.caption, target) if pair.caption else None
        file = self._fetched(pair.picture, target)
        if file is not None:
            move = pair.picture.entry >= 0 or self._uploads in file.resolve().parents
            self._count(target.add(pair.picture, file, caption, move=move))

    def _in_zip(self, path: Path, open_zips: ExitStack) -> Iterator[IncomingFile]:
        try:
            archive = open_zips.enter_context(zipfile.ZipFile(path))
            found = list(list_zip(path, archive))
        except ZipRefused as error:
            self.refused.append(error.refused)
            return
        except (*BROKEN_ZIP, OSError) as error:
            self._refuse(path.name, "zip_broken", str(error))
            return
        self._zips[path] = archive
        for item in found:
            if isinstance(item, RefusedFile):
                self.refused.append(item)
            else:
                yield item

    def _fetched(self, item: IncomingFile, target: Target) -> Path | None:
        """The item as a file: the upload itself, or unpacked beside its place. None if it was refused."""
        if item.entry < 0:
            return item.origin
        path = target.scratch(item)
        try:
            inflate(self._zips[item.origin], item, path)
        except ZipRefused as error:
            self.refused.append(error.refused)
            return None
        return path

    def _text_of(self, item: IncomingFile, target: Target) -> bytes | None:
        """The bytes of a caption, kept as they are: a wrong encoding is shown later, with the picture."""
        if item.size > MAX_CAPTION_BYTES:
            self._refuse(item.shown, "caption_too_long", str(item.size))
            return None
        file = self._fetched(item, target)
        return file.read_bytes() if file is not None else None

    def _count(self, taken: ImportOutcome) -> None:
        self.added += taken.pictures
        self.captions += taken.captions
        if taken.refused is not None:
            self.refused.append(taken.refused)

    def _refuse(self, name: str, reason: str, detail: str = "") -> None:
        self.refused.append(RefusedFile(name=name, reason=reason, detail=detail))
