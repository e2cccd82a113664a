"""The job that looks at every picture of a data set once: size, small pictures, what it resembles, what is wrong."""

import hashlib
import stat
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from trainer_core.contracts.fsutil import whole_file
from trainer_core.contracts.workspace import Workspace
from trainer_core.dataset.finding import find_images
from trainer_core.dataset.images import ImageProblem, load_rgb
from trainer_core.dataset.index_file import IndexPlaces, KnownRecords, Record, read_index, stamp_of, write_index
from trainer_core.dataset.reporting import Reporter

THUMBNAIL = 256
PREVIEW = 1024

_SAVE_EVERY_S = 5.0
_QUALITY = 80


def run(spec: Mapping[str, Any], job: Reporter) -> Mapping[str, Any]:
    """Bring the index of a data set up to date. spec: workspace (its root), folder (the data set). Kind "index"."""
    folder = Path(spec["folder"])
    counted = update_index(folder, IndexPlaces(Workspace(Path(spec["workspace"])), folder), job)
    return {"pictures": len(counted), "problems": sum(bool(record.problem) for record in counted.values())}


def update_index(folder: Path, places: IndexPlaces, job: Reporter) -> dict[str, Record]:
    """Look at every picture that is new or has changed; returns all records by path inside the data set.

    What was found is kept now and then, so that the GUI can show it and a stop costs little.

    Raises:
        JobStopped: when asked to stop; the records so far are kept.
        OSError: the workspace cannot be written.
    """
    known = KnownRecords(read_index(places.index))
    pictures = find_images(folder).pictures
    records: dict[str, Record] = {}
    saved = time.monotonic()
    try:
        for number, picture in enumerate(pictures):
            job.progress("looking at pictures", number, len(pictures))
            records[str(picture.relative)] = look_at(picture.path, str(picture.relative), known, places)
            if time.monotonic() - saved > _SAVE_EVERY_S:
                # Pictures not yet reached keep their old records until the last save.
                write_index(places.index, {**read_index(places.index), **records})
                saved = time.monotonic()
    except BaseException:
        write_index(places.index, {**read_index(places.index), **records})
        raise
    write_index(places.index, records)
    job.progress("looking at pictures", len(pictures), len(pictures))
    return records


def look_at(path: Path, relative: str, known: KnownRecords, places: IndexPlaces) -> Record:
    """The record of one picture; decoded only if its bytes are new or its small pictures are gone."""
    try:
        status = path.stat()
        before = known.find(relative, stamp_of(status))
        if before is not None and (before.problem or _has_pictures(places, before.key)):
            return before
        key = hash_of(path) if stat.S_ISREG(status.st_mode) else ""
    except OSError as error:
        return Record(bytes=0, mtime_ns=0, problem="broken", reason=f"{path}: cannot be read ({error.strerror})")
    twin = known.twin(key)
    if twin is not None and _has_pictures(places, key):
        return twin.of_file(status)
    record = examine(path, places, key)
    known.add(record)
    return record


def examine(path: Path, places: IndexPlaces, key: str) -> Record:
    """Decode a picture once, whole, and make its small pictures. Damage ends in the record, not in an exception.

    ``key``: its `hash_of`; "" for what is no regular file. Raises OSError where the small pictures cannot be written.
    """
    record = Record(bytes=0, mtime_ns=0).of_file(path.stat())
    try:
        if not key:
            raise ImageProblem("broken", path, "not a regular file")
        image = load_rgb(path)
    except ImageProblem as problem:
        return replace(record, problem=problem.kind, reason=problem.message)
    width, height = image.size
    small = _make_pictures(image, key, places)
    rows, columns = difference_hashes(small)
    return replace(record, width=width, height=height, key=key, rows=rows, columns=columns)


def hash_of(path: Path) -> str:
    """32 hexadecimal digits of the file's bytes."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def difference_hashes(image: Image.Image) -> tuple[int, int]:
    """64 bits each: is a cell of an 8 x 8 grid darker than its neighbour to the right, and than the one below?"""
    grey = image.convert("L")
    across = np.asarray(grey.resize((9, 8), Image.Resampling.BOX), dtype=np.int16)
    down = np.asarray(grey.resize((8, 9), Image.Resampling.BOX), dtype=np.int16)
    return _bits(across[:, 1:] > across[:, :-1]), _bits(down[1:, :] > down[:-1, :])


def _bits(flags: np.ndarray) -> int:
    return int.from_bytes(np.packbits(flags.reshape(-1)).tobytes(), "big")


def _has_pictures(places: IndexPlaces, key: str) -> bool:
    return places.thumbnail(key).is_file() and places.preview(key).is_file()


def _make_pictures(image: Image.Image, key: str, places: IndexPlaces) -> Image.Image:
    """Write the preview and the thumbnail; returns the thumbnail."""
    image.thumbnail((PREVIEW, PREVIEW))
    _save(image, places.preview(key))
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    _save(image, places.thumbnail(key))
    return image


def _save(image: Image.Image, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    # Made again where it is lost.
    with whole_file(target, flush=False) as temporary:
        image.save(temporary, "WEBP", quality=_QUALITY, method=2)
