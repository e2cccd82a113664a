"""The files that decide what a part of a base model computes, in any layout."""

from collections.abc import Iterator
from pathlib import Path

from trainer_core.planning.tokenizer_places import TOKENIZER_FOLDERS, VOCABULARIES
from trainer_core.planning.weight_files import NOT_WEIGHTS, PICKLES, SAFETENSORS

DECISIVE = (".json", ".model", *SAFETENSORS, *PICKLES)
BESIDE = ("config.json", "tokenizer_config.json", *VOCABULARIES)


def identity_files(path: Path) -> list[tuple[str, Path]]:
    """(name within the part, file), sorted by name: weights, config and tokenizer of a part (a folder or a file)."""
    return sorted(_beside(path) if path.is_file() else _inside(path))


def _inside(folder: Path) -> Iterator[tuple[str, Path]]:
    yield from _decisive(folder, "")
    if sibling := TOKENIZER_FOLDERS.get(folder.name):
        yield from _decisive(folder.parent / sibling, f"{sibling}/")


def _beside(file: Path) -> Iterator[tuple[str, Path]]:
    yield file.name, file
    for name in BESIDE:
        if name != file.name and (file.parent / name).is_file():
            yield name, file.parent / name
    yield from _decisive(file.with_name(f"{file.name}.tokenizer"), f"{file.name}.tokenizer/")


def _decisive(folder: Path, prefix: str) -> Iterator[tuple[str, Path]]:
    for file in folder.iterdir() if folder.is_dir() else ():
        if file.suffix.lower() in DECISIVE and file.is_file() and not NOT_WEIGHTS.match(file.name):
            yield prefix + file.name, file
