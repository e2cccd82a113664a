"""An edit for many captions of a data set: shown first, then done, and undone as long as it was the last one."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import read_json_object, write_json_atomic
from trainer_core.dataset.caption_edits import Edit, edit_all
from trainer_core.dataset.caption_files import caption_file_of, checked_caption, read_caption_file, write_caption_file
from trainer_core.dataset.dataset_index import Picture
from trainer_core.dataset.index_file import IndexPlaces


@dataclass(frozen=True, kw_only=True)
class Change:
    """One caption, before and after."""

    picture: Picture
    before: str
    after: str


@dataclass(frozen=True, kw_only=True)
class BulkPlan:
    """What an edit would do.

    Attributes:
        looked_at: captions the edit was tried on.
        left_alone: reason -> captions for which it makes no sense: "xml", "prose", "long", and "encoding" for files
            that are not UTF-8 text.
    """

    edit: Edit
    changes: tuple[Change, ...]
    looked_at: int
    left_alone: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class Undo:
    """The last edit of many captions, as it can be taken back."""

    kind: str
    time: float
    captions: int


@dataclass(frozen=True, kw_only=True)
class UndoResult:
    """``kept``: captions changed since by someone else, left as they are."""

    restored: int
    kept: int


def plan_edit(pictures: Sequence[Picture], edit: Edit) -> BulkPlan:
    """Try an edit; nothing is written. Raises UserError as `edit_all`, and `caption_too_long`."""
    readable = [p for p in pictures if p.caption.state not in ("encoding", "unreadable")]
    left_alone: Counter[str] = Counter()
    if len(readable) < len(pictures):
        left_alone["encoding"] = len(pictures) - len(readable)
    changes = []
    results = edit_all([picture.caption.text for picture in readable], edit)
    for picture, result in zip(readable, results, strict=True):
        if result.left_alone:
            left_alone[result.left_alone] += 1
        after = checked_caption(result.text)
        if after != picture.caption.text:
            changes.append(Change(picture=picture, before=picture.caption.text, after=after))
    return BulkPlan(edit=edit, changes=tuple(changes), looked_at=len(readable), left_alone=dict(left_alone))


def apply_edit(plan: BulkPlan, places: IndexPlaces) -> int:
    """Write the changed captions; returns how many. What they were is kept first, for `undo_edit`.

    Raises:
        OSError: the disk refused; captions written until then can be undone.
    """
    if not plan.changes:
        return 0
    written = {change.picture.relative: _texts(change) for change in plan.changes}
    places.undo.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomic(places.undo, {"kind": plan.edit.kind, "time": time.time(), "captions": written})
    files: dict[Path, Change] = {}
    for change in plan.changes:
        # Two pictures of one stem share a file.
        files[change.picture.caption_file or change.picture.path.with_suffix(".txt")] = change
    for change in files.values():
        write_caption_file(change.picture.path, change.picture.caption_file, change.after, flush=False)
    return len(plan.changes)


def last_edit(places: IndexPlaces) -> Undo | None:
    """What `undo_edit` would take back."""
    kept = _kept(places)
    if not kept:
        return None
    return Undo(kind=str(kept["kind"]), time=float(kept["time"]), captions=len(kept["captions"]))


def undo_edit(folder: Path, places: IndexPlaces) -> UndoResult:
    """Give the captions of the last bulk edit their texts back, except those that were changed since.

    While none got its text back, it can be tried again: the pictures may return from the trash.

    Raises:
        UserError: `undo_missing`, there is nothing to undo.
    """
    kept = _kept(places)
    if not kept:
        raise UserError("undo_missing", "There is no bulk edit to undo.")
    restored = 0
    for relative, texts in kept["captions"].items():
        restored += _restored(folder / relative, texts["before"], texts["after"])
    if restored:
        places.undo.unlink(missing_ok=True)
    return UndoResult(restored=restored, kept=len(kept["captions"]) - restored)


def follow_rename(places: IndexPlaces, old: str, new: str) -> None:
    """The folder ``old`` of the data set is named ``new`` now: `undo_edit` finds its captions there."""
    kept = _kept(places)
    if kept:
        start = f"{old}/"
        moved = {
            f"{new}/{path.removeprefix(start)}" if path.startswith(start) else path: texts
            for path, texts in kept["captions"].items()
        }
        write_json_atomic(places.undo, {**kept, "captions": moved})


def _texts(change: Change) -> dict[str, str | None]:
    """Before is None where there was no file."""
    missing = change.picture.caption.state == "missing"
    return {"before": None if missing else change.before, "after": change.after}


def _restored(image: Path, before: str | None, after: str) -> bool:
    """Whether the caption of ``image`` is what it was before; False where it is something third by now."""
    if not image.is_file():
        return False
    file = caption_file_of(image)
    now = read_caption_file(file)
    if now.text == (before or ""):
        # A crash came in between, or another picture shares the file.
        return True
    if now.text != after or now.state == "encoding":
        return False
    if before is None and file is not None:
        file.unlink()
    else:
        write_caption_file(image, file, before or "", flush=False)
    return True


def _kept(places: IndexPlaces) -> dict[str, Any]:
    kept = read_json_object(places.undo)
    return kept if isinstance(kept.get("captions"), dict) and {"kind", "time"} <= kept.keys() else {}
