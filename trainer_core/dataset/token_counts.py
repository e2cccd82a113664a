"""How many tokens Gemma makes of a caption: remembered on disk, counted by the job `tokens`.

One file for all bases. A count belongs to a tokenizer and to the text that Gemma reads, system prompt included, as in
training; so two bases with one tokenizer share their counts, and a changed prompt or tokenizer finds none.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

from trainer_core.contracts.config import SYSTEM_PROMPT_TAGS, SYSTEM_PROMPT_XML
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import write_text_atomic
from trainer_core.dataset.captions import gemma_text

TEXTS_FILE = "texts.json"
# Edited captions leave their old counts behind; of each tokenizer the newest stay.
MOST_COUNTS = 20_000

Stamp = tuple[str, int, int]
"""(path, size in bytes, time of change in ns): whether a file is still the one that was read."""
_STAMP = [str, int, int]


@dataclass(frozen=True, kw_only=True)
class TokenQuestion:
    """Whose tokens are counted.

    Attributes:
        base: path of the base model, as it stands in the settings.
        gemma: path of the text encoder alone where the settings name one, else "".
        prompts: system prompts before tags and before XML.
    """

    base: str
    gemma: str = ""
    prompts: tuple[str, str] = (SYSTEM_PROMPT_TAGS, SYSTEM_PROMPT_XML)

    def text(self, caption: str) -> str:
        """What Gemma reads."""
        return gemma_text(caption, *self.prompts)

    @property
    def key(self) -> str:
        return f"{self.base}\n{self.gemma}"


@dataclass(frozen=True, kw_only=True)
class CountJob:
    """What the queue needs for a job of kind `tokens`: its spec, and the files to be put beside it."""

    spec: Mapping[str, Any]
    files: Mapping[str, str]


class TokenCounts:
    """Looks counts up in ``file`` (`Workspace.token_counts`); a file that changed is read anew. Never counts itself."""

    def __init__(self, file: Path, question: TokenQuestion) -> None:
        self._file = file
        self._question = question
        self._stamp: Stamp | None = None
        self._counts: Mapping[str, int] = {}

    def get(self, caption: str) -> int | None:
        """Tokens, <bos> and system prompt included; None where nobody has counted yet."""
        self._refresh()
        return self._counts.get(_address(self._question.text(caption)))

    def missing(self, captions: Iterable[str]) -> list[str]:
        """Those without a count, each once, in order."""
        self._refresh()
        text = self._question.text
        return [one for one in dict.fromkeys(captions) if _address(text(one)) not in self._counts]

    def job(self, captions: Sequence[str]) -> CountJob:
        """The job that counts these captions."""
        question = self._question
        spec = {
            "base": question.base,
            "gemma": question.gemma,
            "prompts": list(question.prompts),
            "counts": str(self._file),
            "texts_file": TEXTS_FILE,
        }
        return CountJob(spec=spec, files={TEXTS_FILE: json.dumps(list(captions))})

    def _refresh(self) -> None:
        stamp = _stamp(self._file)
        if stamp is None or stamp != self._stamp:
            stored = _read(self._file)
            base = stored["bases"].get(self._question.key)
            self._counts = stored["counts"].get(base["tokenizer"], {}) if base and _holds(base) else {}
            self._stamp = stamp


def write_counts(
    file: Path, question: TokenQuestion, tokenizer: str, sources: Sequence[Path], counts: Mapping[str, int]
) -> None:
    """Add counts of captions. `tokenizer` is its identity, `sources` the files it was read from. One writer at a time.

    Raises UserError `tokens_unwritable`.
    """
    stored = _read(file)
    stamps = [stamp for stamp in map(_stamp, sources) if stamp is not None]
    stored["bases"][question.key] = {"tokenizer": tokenizer, "files": stamps}
    merged = stored["counts"].get(tokenizer, {})
    for caption, count in counts.items():
        address = _address(question.text(caption))
        merged.pop(address, None)  # what is asked for again counts as new
        merged[address] = count
    stored["counts"][tokenizer] = dict(list(merged.items())[-MOST_COUNTS:])
    used = {base["tokenizer"] for base in stored["bases"].values()}
    stored["counts"] = {name: table for name, table in stored["counts"].items() if name in used}
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        write_text_atomic(file, json.dumps(stored, separators=(",", ":")))
    except OSError as error:
        raise UserError("tokens_unwritable", f"{file} cannot be written: {error.strerror}.") from error


def _address(text: str) -> str:
    # Undecodable bytes of a caption file are lone surrogates.
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _stamp(file: Path) -> Stamp | None:
    try:
        status = file.stat()
    except OSError:
        return None
    return str(file), status.st_size, status.st_mtime_ns


def _holds(base: Mapping[str, Any]) -> bool:
    """Whether the tokenizer's files are still the ones that were read."""
    return all(_stamp(Path(entry[0])) == tuple(entry) for entry in base["files"])


def _read(file: Path) -> dict[str, dict[str, Any]]:
    """Empty where there is none or it is damaged: then all is counted anew."""
    try:
        stored = json.loads(file.read_bytes())
        bases = {key: base for key, base in stored["bases"].items() if _is_base(base)}
        counts = {name: _whole_numbers(table) for name, table in stored["counts"].items()}
        return {"bases": bases, "counts": counts}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {"bases": {}, "counts": {}}


def _is_base(base: object) -> bool:
    if not isinstance(base, dict) or not isinstance(base.get("tokenizer"), str):
        return False
    files = base.get("files")
    return isinstance(files, list) and all(isinstance(entry, list) and _STAMP == [*map(type, entry)] for entry in files)


def _whole_numbers(table: Mapping[str, Any]) -> dict[str, int]:
    return {address: count for address, count in table.items() if type(count) is int}
