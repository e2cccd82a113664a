"""The job `tokens`: counts captions with the base's own tokenizer, as training does.

A tokenizer.json is read by the tokenizers package alone: torch, and the seconds that loading it takes, are needed
only for the other forms in which a tokenizer is kept.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import sha256_file
from trainer_core.dataset.token_counts import TEXTS_FILE, TokenQuestion, write_counts
from trainer_core.jobs.context import JobContext
from trainer_core.planning.base_parts import find_base
from trainer_core.planning.part_check import transformer_widths
from trainer_core.planning.tokenizer_places import GEMMA_PLACES, READY, tokenizer_folders
from trainer_core.tools.job_spec import Spec

BATCH = 500


@dataclass(frozen=True, kw_only=True)
class Counter:
    """A tokenizer. `count`: tokens of each text, uncut; `sources`: the files that decide what it does."""

    identity: str
    sources: Sequence[Path]
    count: Callable[[Sequence[str]], list[int]]


def run(spec: Mapping[str, Any], job: JobContext) -> Mapping[str, Any]:
    """Count captions and remember the counts.

    spec: as `TokenCounts.job` makes it: base, gemma, prompts, counts (file), texts_file (in the job's folder: a JSON
    list). Returns counted. What was counted before a stop is remembered. Raises UserError `job_invalid`,
    `tokens_unwritable`, and as finding the base and its tokenizer does.
    """
    values = Spec(spec)
    prompts = values.texts("prompts", 2)
    question = TokenQuestion(
        base=values.text("base"), gemma=values.text("gemma", ""), prompts=(prompts[0], prompts[-1])
    )
    captions = _captions(job.folder.path / Path(values.text("texts_file", TEXTS_FILE)).name)
    counter = find_counter(values.path("base"), values.optional_path("gemma"))
    counts: dict[str, int] = {}
    try:
        for start in range(0, len(captions), BATCH):
            job.progress("counting tokens", start, len(captions))
            batch = captions[start : start + BATCH]
            # A tokenizer takes no lone surrogates, which stand for undecodable bytes.
            texts = [question.text(one).encode("utf-8", "replace").decode() for one in batch]
            counts |= zip(batch, counter.count(texts), strict=True)
    finally:
        write_counts(values.path("counts"), question, counter.identity, counter.sources, counts)
    return {"counted": len(counts)}


def find_counter(base: Path, gemma: Path | None) -> Counter:
    """The tokenizer of a base in any layout, whose text encoder may be named by itself.

    Raises UserError as `find_base` and `load_gemma_tokenizer`.
    """
    encoder = find_base(base, gemma=gemma, widths=transformer_widths).text_encoder
    for folder in tokenizer_folders(encoder, GEMMA_PLACES):
        # Beside a single file there may lie another encoder's: `part_tokenizer` looks closer.
        if (folder / READY).is_file() and (encoder.is_dir() or folder != encoder.parent):
            return _quick(folder)
    return _thorough(encoder)


def _quick(folder: Path) -> Counter:
    file = folder / READY
    try:
        tokenizer = Tokenizer.from_file(str(file))
    except Exception as error:  # the package itself raises no narrower one
        raise UserError("tokenizer_missing", f"The Gemma tokenizer in {folder} cannot be read: {error}") from error
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(texts: Sequence[str]) -> list[int]:
        return [len(encoding.ids) for encoding in tokenizer.encode_batch_fast(list(texts))]

    return Counter(identity=sha256_file(file), sources=(file,), count=count)


def _thorough(encoder: Path) -> Counter:
    from trainer_core.model.gemma import load_gemma_tokenizer
    from trainer_core.model.identity import identity_files

    tokenizer = load_gemma_tokenizer(encoder)

    def count(texts: Sequence[str]) -> list[int]:
        return [len(row) for row in tokenizer(list(texts), verbose=False)["input_ids"]]

    identity = sha256(tokenizer.backend_tokenizer.to_str().encode()).hexdigest()
    return Counter(identity=identity, sources=[file for _, file in identity_files(encoder)], count=count)


def _captions(file: Path) -> list[str]:
    try:
        captions = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise UserError("job_invalid", f"{file} is not a list of captions: {error}.") from error
    if not isinstance(captions, list) or not all(isinstance(one, str) for one in captions):
        raise UserError("job_invalid", f"{file} is not a list of captions.")
    return captions
