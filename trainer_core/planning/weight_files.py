"""Which files of a folder are one model's weights, by their names alone; torch-free, shared by loaders and checks."""

import json
import re
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from trainer_core.contracts.errors import UserError
from trainer_core.planning.tensor_names import bare_names, is_newbie, shorten

CANONICAL_FILES = ("diffusion_pytorch_model.safetensors", "model.safetensors")
SHARD = re.compile(r"-(\d+)-of-(\d+)\.safetensors$")
SUFFIX = ".safetensors"
SAFETENSORS = (SUFFIX, ".sft")
PICKLES = (".pth", ".pt", ".ckpt", ".bin")
# What a training dump keeps beside its weights.
NOT_WEIGHTS = re.compile(r"^(optimizer|optim|scheduler|model_args|training_args|rng_state|random_states)\b", re.I)
CONSOLIDATED = re.compile(r"^consolidated.*\.(\d+)-of-(\d+)\.")
# The first bytes of what is often found under a weight file's name.
GGUF = b"GGUF"
LFS_POINTER = b"version https://git-lfs"
HTML = (b"<!doctype", b"<html", b"<!DOCTYPE", b"<HTML")


def refuse_stand_in(file: Path) -> None:
    """Raises UserError for what is often found under a weight file's name: "weights_quantised", "weights_broken"."""
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


def is_pickle(file: Path) -> bool:
    """By its first bytes: a zip archive (torch since 1.6) or a bare pickle (before)."""
    with open(file, "rb") as stream:
        start = stream.read(4)
    return start.startswith((b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05"))


def transformer_files(folder: Path, names_of: Callable[[Path], Collection[str]]) -> list[Path]:
    """The files of a transformer's folder; where several could be it, `names_of` tells the names of their tensors.

    Safetensors go before pickles; a training dump's own name goes before any other.

    Raises UserError: "weights_missing", "weights_ambiguous", "weights_sharded", "weights_broken".
    """
    if any((folder / name).is_file() for name in CANONICAL_FILES) or any(folder.glob("*.safetensors.index.json")):
        return weight_files(folder)
    for suffixes in (SAFETENSORS, PICKLES):
        found = sorted(
            file
            for file in folder.iterdir()
            if file.suffix.lower() in suffixes and file.is_file() and not NOT_WEIGHTS.match(file.name)
        )
        dumps = [file for file in found if file.name.startswith("consolidated")]
        if candidates := dumps or found:
            return _one_of(folder, candidates, names_of)
    inner = folder / "transformer"
    return transformer_files(inner, names_of) if inner.is_dir() else weight_files(folder)


def _one_of(folder: Path, candidates: Sequence[Path], names_of: Callable[[Path], Collection[str]]) -> list[Path]:
    _refuse_model_parallel(folder, candidates)
    if len(candidates) > 1 and all(SHARD.search(file.name) for file in candidates):
        if len({SHARD.sub("", file.name) for file in candidates}) == 1:
            return weight_files(folder)
    if len(candidates) > 1:
        candidates = [file for file in candidates if _holds_newbie(file, names_of)] or candidates
    if len(candidates) > 1:
        raise UserError(
            "weights_ambiguous",
            f"{folder} holds several weight files: {shorten([file.name for file in candidates])}.",
            ["Give the path of the file itself."],
        )
    return list(candidates)


def _holds_newbie(file: Path, names_of: Callable[[Path], Collection[str]]) -> bool:
    """What cannot be read does not."""
    try:
        return is_newbie(bare_names(names_of(file), str(file)))
    except (UserError, OSError):
        return False


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


def has_weights(folder: Path) -> bool:
    """Whether weight files lie in the folder itself: then it is one part, not a whole base."""
    return any(
        file.suffix.lower() in (*SAFETENSORS, *PICKLES) and not NOT_WEIGHTS.match(file.name) and file.is_file()
        for file in folder.iterdir()
    )


def weight_files(folder: Path) -> list[Path]:
    """The files of a folder that together are one model; a plain single file wins, as in transformers."""
    for name in CANONICAL_FILES:
        if (folder / name).is_file():
            return [folder / name]
    indexes = sorted(folder.glob("*.safetensors.index.json"))
    if len(indexes) > 1:
        raise UserError("weights_ambiguous", f"{folder} holds several weight indexes: {_listing(indexes)}.")
    if indexes:
        return _indexed_files(indexes[0])
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise _nothing_to_read(folder)
    _refuse_missing_shards(folder, files)
    return files


def _indexed_files(index: Path) -> list[Path]:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = [index.parent / name for name in sorted(set(weight_map.values()))]
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise UserError("weights_broken", f"{index} is not a readable weight index ({error}).") from error
    _refuse_absent([file for file in files if not file.is_file()], index.parent)
    return files


def _refuse_missing_shards(folder: Path, files: Sequence[Path]) -> None:
    """A shard set without an index still tells its size in every name."""
    absent = set()
    for file in files:
        if match := SHARD.search(file.name):
            stem, width = file.name[: match.start()], len(match[1])
            wanted = {f"{stem}-{i:0{width}d}-of-{match[2]}.safetensors" for i in range(1, int(match[2]) + 1)}
            absent |= wanted - {present.name for present in files}
    _refuse_absent([folder / name for name in sorted(absent)], folder)


def _refuse_absent(absent: Sequence[Path], folder: Path) -> None:
    if absent:
        raise UserError(
            "weights_missing",
            f"{folder} lacks part of its weights: {_listing(absent)}.",
            ["The download is incomplete: fetch the missing files."],
        )


def _nothing_to_read(folder: Path) -> UserError:
    others = sorted(f for f in folder.iterdir() if f.suffix in PICKLES)
    hints = ["Expected: a .safetensors file, or shards with their index.json."]
    if others:
        hints.append(f"Found pickle files ({_listing(others)}); these are not read: convert them to safetensors.")
    return UserError("weights_missing", f"{folder} holds no .safetensors file.", hints)


def _listing(paths: Sequence[Path]) -> str:
    return shorten([path.name for path in paths])
