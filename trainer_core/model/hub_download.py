"""Fetching the files of a base into a folder, so that a download that was cut goes on where it stopped.

The hub's own client starts a file anew in each process; here a half file stays, and the rest is asked for by a Range
request. Plain HTTPS only: its faster transfer keeps no half files either.
"""

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import httpx2
from huggingface_hub import constants, get_token, hf_hub_url
from huggingface_hub.errors import HFValidationError
from huggingface_hub.hf_api import HfApi, ModelInfo
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_stream_backoff

from trainer_core.contracts.base_part import BY_KIND
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import fsync_file, replace
from trainer_core.contracts.phase_names import Report
from trainer_core.model.hub import ANSWER_WITHIN_S, refuse, usable_token
from trainer_core.model.hub_files import Choice, choose
from trainer_core.planning.comfy import PLACES
from trainer_core.planning.hub_place import HubPlace, require_place
from trainer_core.planning.tokenizer_places import TOKENIZER_FOLDERS

SAFE = re.compile(r"^[\w][\w. -]*$")
HASH_BYTES = 2**22
TRIES = 5
WAIT_S = 1.0


@dataclass(frozen=True, kw_only=True)
class RemoteFile:
    """One file: name inside `repo` at `commit`, its place in the new folder, its size, its SHA-256 where known."""

    repo: str
    commit: str
    name: str
    target: str
    size: int
    sha256: str = ""

    def half(self, folder: Path) -> Path:
        """Where it lies until it is whole."""
        return folder / f"{self.target}.part"

    def here(self, folder: Path) -> int:
        """Bytes of it that `folder` holds."""
        if (folder / self.target).is_file():
            return self.size
        half = self.half(folder)
        return min(half.stat().st_size, self.size) if half.is_file() else 0


@dataclass(frozen=True, kw_only=True)
class BaseListing:
    """The files of a base, and the place of each part (by its official folder) below the new folder."""

    files: tuple[RemoteFile, ...]
    places: Mapping[str, str]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(file.size for file in self.files)

    def here(self, folder: Path) -> int:
        """Bytes that `folder` holds already."""
        return sum(file.here(folder) for file in self.files)


def listing(parts: Mapping[str, str]) -> BaseListing:
    """Asks the hub which files the parts need. parts: transformer, gemma, clip, vae -> hub id.

    Raises UserError: "part_missing" (no hub id), "hub_unfit", and what `hub.refuse` raises.
    """
    token = usable_token(None)
    infos: dict[tuple[str, str | None], ModelInfo] = {}
    wanted: dict[str, RemoteFile] = {}
    places: dict[str, str] = {}
    for kind, text in parts.items():
        place = require_place(text)
        key = (place.repo, place.revision)
        infos[key] = info = infos.get(key) or _info(place, token)
        choice = choose([sibling.rfilename for sibling in info.siblings or []], kind, place.inside, repo=place.repo)
        wanted |= {file.target: file for file in _wanted(place, info, choice, kind)}
        single = choice.files == (choice.path,)
        folder = BY_KIND[kind].folder
        places[folder] = _target(choice.path, choice.path, kind) if single else folder
    return BaseListing(files=tuple(wanted.values()), places=places)


def fetch(files: Sequence[RemoteFile], folder: Path, report: Report) -> None:
    """Every file whole and checked below `folder`; what is there already is not asked for again.

    Raises UserError as `hub.refuse` does, "hub_damaged" for a file that is not what the hub says it is, and whatever
    `report` (in bytes) raises; what was fetched stays for the next time.
    """
    total = sum(file.size for file in files)
    done = 0
    for file in files:

        def tell(phase: str, now: int, start: int = done) -> None:
            report(phase, start + now, total)

        if not (folder / file.target).is_file():
            place = HubPlace(repo=file.repo, revision=file.commit, inside="")
            try:
                _fetch_one(file, folder, tell)
            except (httpx2.HTTPError, HFValidationError, OSError, RuntimeError) as error:
                refuse(place, error, has_token=bool(get_token()), into=folder)
        done += file.size
    report("downloading", total, total)


def _info(place: HubPlace, token: str | None) -> ModelInfo:
    try:
        return HfApi(token=token or False).model_info(
            place.repo, revision=place.revision, timeout=ANSWER_WITHIN_S, files_metadata=True
        )
    except (httpx2.HTTPError, HFValidationError, OSError, RuntimeError) as error:
        refuse(place, error, has_token=token is not None)


def _wanted(place: HubPlace, info: ModelInfo, choice: Choice, kind: str) -> Iterator[RemoteFile]:
    known = {sibling.rfilename: sibling for sibling in info.siblings or []}
    for name in choice.files:
        sibling, target = known[name], _target(name, choice.path, kind)
        if sibling.size is None or not all(SAFE.match(step) for step in target.split("/")):
            raise UserError("hub_unfit", f"{place.repo} does not say how large {name!r} is, or gives it an odd name.")
        sha256 = sibling.lfs.sha256 if sibling.lfs else ""
        commit = info.sha or place.revision or constants.DEFAULT_REVISION
        yield RemoteFile(repo=place.repo, commit=commit, name=name, target=target, size=sibling.size, sha256=sha256)


def _target(name: str, path: str, kind: str) -> str:
    """The file's place in the official folder, or in ComfyUI's for a part that is one file."""
    part, pure = BY_KIND[kind].folder, PurePosixPath(name)
    if name == path:
        return f"{PLACES[part][0]}/{pure.name}"
    if str(pure.parent) in (path, path or "."):
        return f"{part}/{pure.name}"
    return f"{TOKENIZER_FOLDERS[part]}/{pure.name}"


def _fetch_one(file: RemoteFile, folder: Path, tell: Callable[[str, int], None]) -> None:
    half = file.half(folder)
    half.parent.mkdir(parents=True, exist_ok=True)
    tries = 0
    while (have := file.here(folder)) < file.size or not half.is_file():
        try:
            _stream(file, half, lambda now: tell("downloading", now))
        except httpx2.TransportError:
            tries = 1 if file.here(folder) > have else tries + 1
            if tries >= TRIES:
                raise
            tell("downloading", file.here(folder))
            time.sleep(WAIT_S)
    _require_whole(file, half, lambda now: tell("checking", now))
    fsync_file(half)
    replace(half, folder / file.target)


def _stream(file: RemoteFile, half: Path, tell: Callable[[int], None]) -> None:
    """The rest of a file behind what is there; the whole file from a server that does not know ranges."""
    start = half.stat().st_size if half.is_file() else 0
    # Compressed, the bytes would not be those that a range counts.
    headers = build_hf_headers(token=usable_token(None) or False) | {"Accept-Encoding": "identity"}
    headers |= {"Range": f"bytes={start}-"} if start else {}
    url = hf_hub_url(file.repo, file.name, revision=file.commit)
    with http_stream_backoff(
        "GET", url, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT, max_retries=2, retry_on_exceptions=()
    ) as response:
        hf_raise_for_status(response)
        with open(half, "r+b" if start else "wb") as out:
            out.seek(start if response.status_code == 206 else 0)
            out.truncate()
            tell(out.tell())
            # As they come: a larger piece that was not yet full would be lost with its connection.
            for piece in response.iter_bytes():
                out.write(piece)
                tell(min(out.tell(), file.size))
                if out.tell() > file.size:
                    break


def _require_whole(file: RemoteFile, half: Path, tell: Callable[[int], None]) -> None:
    size, digest = half.stat().st_size, hashlib.sha256()
    with open(half, "rb") as stream:
        while file.sha256 and (piece := stream.read(HASH_BYTES)):
            digest.update(piece)
            tell(stream.tell())
    if size == file.size and digest.hexdigest() in (file.sha256 or digest.hexdigest(),):
        return
    half.unlink()
    raise UserError(
        "hub_damaged",
        f"{file.name} of {file.repo} arrived damaged: it has {size:,} of {file.size:,} bytes, or other contents.",
        ["Start the download again: only this file is fetched anew.", "HF_ENDPOINT=<address> uses another server."],
    )
