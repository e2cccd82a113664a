"""Opening a weight file or a folder of them by what it holds, whatever it is called.

Promises: nothing but headers is read until a tensor is asked for, and nothing in a file is ever run.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from trainer_core.contracts.errors import UserError
from trainer_core.model.pickles import PickleFile, is_pickle
from trainer_core.model.renamed import RenamedTensors
from trainer_core.model.transformer_names import bare_names, is_newbie, official_names
from trainer_core.model.weights import CANONICAL_FILES, SHARD, OpenFiles, SafetensorsFiles, shorten, weight_files

SAFETENSORS = (".safetensors", ".sft")
PICKLES = (".pth", ".pt", ".ckpt", ".bin")
# What a training dump keeps beside its weights.
NOT_WEIGHTS = re.compile(r"^(optimizer|optim|scheduler|model_args|training_args|rng_state|random_states)\b", re.I)
CONSOLIDATED = re.compile(r"^consolidated.*\.(\d+)-of-(\d+)\.")
# The first bytes of what is often found under a weight file's name.
GGUF = b"GGUF"
LFS_POINTER = b"version https://git-lfs"
HTML = (b"<!doctype", b"<html", b"<!DOCTYPE", b"<HTML")


def open_transformer(path: Path) -> RenamedTensors:
    """NewBie's transformer in any layout, under its official names; to be closed.

    Layouts: the official folder (one file or shards), a single safetensors file with any prefix, an all-in-one
    file, a training dump (.pth, .pt, .ckpt) or its folder, diffusers' Lumina2 naming.

    Raises UserError: "weights_missing", "weights_broken", "weights_ambiguous", "weights_mismatch",
    "weights_quantised", "weights_unsafe", "weights_sharded" (model parallel), "wrong_model".
    """
    files = open_weights(path)
    try:
        return official_names(files)
    except BaseException:
        files.close()
        raise


def open_weights(path: Path) -> OpenFiles:
    """The tensors of a file, or of the one model in a folder, under their stored names; to be closed."""
    if path.is_file():
        return _open_file(path)
    if not path.is_dir():
        raise UserError("weights_missing", f"{path} does not exist; a weight file or its folder is expected there.")
    return _open_folder(path)


def _open_file(file: Path) -> OpenFiles:
    with open(file, "rb") as stream:
        start = stream.read(32)
    if start.startswith(GGUF):
        raise UserError(
            "weights_quantised",
            f"{file} is a GGUF file; its compressed weights are not read.",
            ["Use the bf16 .safetensors version of these weights."],
        )
    if start.startswith((LFS_POINTER, *HTML)):
        what = "the text that stands for a file in git" if start.startswith(LFS_POINTER) else "a web page"
        raise UserError(
            "weights_broken",
            f"{file} is not the file itself but {what}: the download went wrong.",
            ["Fetch the file again with the site's own download button or tool."],
        )
    return PickleFile(file) if is_pickle(file) else SafetensorsFiles([file], file)


def _open_folder(folder: Path) -> OpenFiles:
    """Safetensors go before pickles; a training dump's own name goes before any other."""
    if any((folder / name).is_file() for name in CANONICAL_FILES) or any(folder.glob("*.safetensors.index.json")):
        return SafetensorsFiles(weight_files(folder), folder)
    for suffixes in (SAFETENSORS, PICKLES):
        found = sorted(
            file
            for file in folder.iterdir()
            if file.suffix.lower() in suffixes and file.is_file() and not NOT_WEIGHTS.match(file.name)
        )
        dumps = [file for file in found if file.name.startswith("consolidated")]
        if candidates := dumps or found:
            return _open_one_of(folder, candidates)
    inner = folder / "transformer"
    if inner.is_dir():
        return _open_folder(inner)
    return SafetensorsFiles(weight_files(folder), folder)  # raises, saying what is expected


def has_weights(folder: Path) -> bool:
    """Whether weight files lie in the folder itself: then it is one part, not a whole base."""
    return any(
        file.suffix.lower() in (*SAFETENSORS, *PICKLES) and not NOT_WEIGHTS.match(file.name) and file.is_file()
        for file in folder.iterdir()
    )


def _open_one_of(folder: Path, candidates: Sequence[Path]) -> OpenFiles:
    _refuse_model_parallel(folder, candidates)
    if len(candidates) > 1 and all(SHARD.search(file.name) for file in candidates):
        if len({SHARD.sub("", file.name) for file in candidates}) == 1:
            return SafetensorsFiles(weight_files(folder), folder)
    if len(candidates) > 1:
        candidates = [file for file in candidates if holds_newbie(file)] or candidates
    if len(candidates) > 1:
        raise UserError(
            "weights_ambiguous",
            f"{folder} holds several weight files: {shorten([file.name for file in candidates])}.",
            ["Give the path of the file itself."],
        )
    return _open_file(candidates[0])


def _refuse_model_parallel(folder: Path, candidates: Sequence[Path]) -> None:
    """A dump over several GPUs cuts each matrix along an axis that the files do not tell."""
    for file in candidates:
        found = CONSOLIDATED.match(file.name)
        if found and int(found[2]) > 1:
            raise UserError(
                "weights_sharded",
                f"{folder} holds {file.name}: a model-parallel dump, cut into {int(found[2])} slices of every matrix.",
                ["Use a dump of one part, consolidated.00-of-01.pth, or the published safetensors."],
            )


def holds_newbie(file: Path) -> bool:
    """Whether a file is NewBie's transformer by its names; what cannot be read is not."""
    try:
        files = _open_file(file)
    except (UserError, OSError):
        return False
    try:
        return is_newbie(bare_names(files.names(), str(file)))
    except UserError:
        return False
    finally:
        files.close()
