"""Which files of a hub repository a part of the base model needs; pure: names in, names out."""

import glob
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from types import MappingProxyType

from trainer_core.contracts.base_part import BASE_PARTS
from trainer_core.contracts.errors import UserError
from trainer_core.planning.tensor_names import shorten
from trainer_core.planning.tokenizer_places import TOKENIZER_FILES, TOKENIZER_FOLDERS, VOCABULARIES
from trainer_core.planning.weight_files import CANONICAL_FILES, SHARD

# Folders of a whole base that may hold the part, first the official one; "" is a repository of the part alone.
FOLDERS = MappingProxyType({part.kind: tuple(dict.fromkeys((part.folder, part.diffusers, ""))) for part in BASE_PARTS})
# Single files that people publish, for repositories without folders of parts; the one match is taken.
SINGLE_FILES: MappingProxyType[str, Callable[[str], bool]] = MappingProxyType(
    {
        "transformer": lambda path: "diffusion_models/" in path or "/" not in path,
        "gemma": lambda path: "gemma" in path.lower(),
        "clip": lambda path: "jina" in path.lower(),
        "vae": lambda path: PurePosixPath(path).name == "ae.safetensors",
    }
)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """files: to be fetched; path: the part inside the repository ("" is its root)."""

    files: tuple[str, ...]
    path: str

    @property
    def patterns(self) -> list[str]:
        """The files as patterns that match nothing else."""
        return [glob.escape(file) for file in self.files]


def choose(names: Collection[str], kind: str, inside: str, repo: str = "") -> Choice:
    """Picks a part's files from all names of a repository. Raises UserError("hub_unfit")."""
    if inside in names:
        return Choice(files=(inside,), path=inside)
    for folder in FOLDERS[kind]:
        if choice := _in_folder(names, kind, f"{inside}/{folder}".strip("/")):
            return choice
    under = [
        name for name in names if name.endswith(".safetensors") and name.startswith(f"{inside}/" if inside else "")
    ]
    single = [name for name in under if SINGLE_FILES[kind](name)]
    if len(single) == 1:
        return Choice(files=(single[0],), path=single[0])
    where = f"{repo}/{inside}".strip("/")
    found = f"it holds {shorten(sorted(under))}" if under else "it holds no .safetensors files"
    raise UserError(
        "hub_unfit",
        f"{where} holds no {kind} that can be told apart: {found}.",
        ["Name the folder or the file: org/name/folder, org/name/file.safetensors."],
    )


def is_whole(choice: Choice, kind: str) -> bool:
    """Whether a choice made from files at hand, not from all names, lacks nothing: shards, or a tokenizer."""
    numbered = [found for file in choice.files if (found := SHARD.search(file))]
    if numbered and len(numbered) != int(numbered[0][2]):
        return False
    folder = any(file.endswith("config.json") for file in choice.files)
    needs_tokenizer = kind in ("gemma", "clip") and folder
    return not needs_tokenizer or any(PurePosixPath(file).name in VOCABULARIES for file in choice.files)


def _in_folder(names: Collection[str], kind: str, folder: str) -> Choice | None:
    prefix = f"{folder}/" if folder else ""
    here = [name for name in names if name.startswith(prefix) and "/" not in name[len(prefix) :]]
    if f"{prefix}config.json" not in here:
        return None
    weights = _weights([name for name in here if name.endswith(".safetensors")])
    if not weights:
        return None
    files = [f"{prefix}config.json", *weights]
    files += [name for name in here if name.endswith(".safetensors.index.json") and len(weights) > 1]
    if kind in ("gemma", "clip"):
        own = [prefix + name for name in TOKENIZER_FILES if prefix + name in here]
        beside = TOKENIZER_FOLDERS.get(PurePosixPath(folder).name)
        if beside and f"{prefix}tokenizer.json" not in own:
            place = str(PurePosixPath(folder).with_name(beside))
            own += [f"{place}/{name}" for name in TOKENIZER_FILES if f"{place}/{name}" in names]
        files += own
    return Choice(files=tuple(sorted(files)), path=folder)


def _weights(files: Sequence[str]) -> list[str]:
    """One whole set: the plain file, else the shards, else everything; variants such as fp16 are left out."""
    plain = [file for file in files if PurePosixPath(file).name in CANONICAL_FILES]
    shards = [file for file in files if SHARD.search(file) and ".fp16" not in file]
    return plain[:1] or shards or list(files)
