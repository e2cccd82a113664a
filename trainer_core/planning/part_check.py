"""One part of a base looked at by its headers: what the loaders refuse for its names, dtypes or lacking files."""

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import read_json_object
from trainer_core.planning.comfy import Widths, widths_of
from trainer_core.planning.headers import HeaderProblem, StoredTensor, read_config, read_header
from trainer_core.planning.part_configs import stated_gemma_config, stated_vae_config
from trainer_core.planning.part_sizes import Header, gemma_size, jina_size, vae_size
from trainer_core.planning.shapes import parameter_count
from trainer_core.planning.tensor_names import (
    NOT_GEMMA,
    NOT_JINA,
    bare_names,
    bare_vae_names,
    looks_like,
    refuse_quantised,
)
from trainer_core.planning.tensor_shapes import EXTRA_PARTS, INCOMPLETE, HeaderShapes, RenamedShapes, mismatch
from trainer_core.planning.tokenizer_places import (
    GEMMA_PLACES,
    JINA_PLACES,
    READY,
    SPIECE_TENSOR,
    TokenizerPlaces,
    tokenizer_folders,
)
from trainer_core.planning.transformer_config import read_dimensions
from trainer_core.planning.transformer_names import official_parts
from trainer_core.planning.weight_files import is_pickle, refuse_stand_in, transformer_files, weight_files

DTYPE_WORDS = MappingProxyType({"BF16": "bf16", "F16": "fp16", "F32": "fp32", "F64": "fp64"})
_LAYER = re.compile(r"(?:^|\.)layers?\.(\d+)\.")
# Of a transformer that is not looked into.
UNTOLD = Widths(text_encoder=(), clip_model=())
WHAT = MappingProxyType({"text_encoder": "Gemma3 language model", "clip_model": "Jina CLIP text encoder", "vae": "VAE"})


@dataclass(frozen=True, kw_only=True)
class PartFacts:
    """size: bytes of the weights; dtype: "bf16", "fp16", "fp32", "mixed" or "".

    unread: torch's own file, not looked into. takes: of a transformer; gives: the width of an encoder's vectors, the
    channels of a VAE's latents. error: why its loader will refuse it.
    """

    size: int = 0
    dtype: str = ""
    unread: bool = False
    takes: Widths | None = None
    gives: tuple[int, ...] = ()
    error: UserError | None = None


def check_part(part: str, path: Path) -> PartFacts:
    """What a part (a folder of `BASE_PARTS`) at an existing path is. Never raises."""
    size = 0
    try:
        files = files_of(part, path)
        size = sum(file.stat().st_size for file in files)
        if part == "transformer" and len(files) == 1 and is_pickle(files[0]):
            return PartFacts(size=size, unread=True)
        header = header_of(files)
        takes, gives = _judged(part, path, header)
    except UserError as error:
        return PartFacts(size=size, error=error)
    except OSError as error:
        return PartFacts(size=size, error=unreadable(path, error))
    return PartFacts(size=size, dtype=_dtype(header), takes=takes, gives=gives)


def transformer_widths(path: Path) -> Widths:
    """What a transformer takes from its encoders; untold where it is torch's own file, or not here.

    Raises UserError as its loader does for another model or compressed weights.
    """
    if not path.exists():
        return UNTOLD
    files = files_of("transformer", path)
    if len(files) == 1 and is_pickle(files[0]):
        return UNTOLD
    return _transformer(path, header_of(files))


def files_of(part: str, path: Path) -> list[Path]:
    """The weight files of a part. Raises UserError: "weights_missing" and others for what is no weight file."""
    if path.is_file():
        files = [path]
    else:
        files = transformer_files(path, lambda file: header_of([file])) if part == "transformer" else weight_files(path)
    for file in files:
        refuse_stand_in(file)
    return files


def header_of(files: Iterable[Path]) -> dict[str, StoredTensor]:
    """All tensors of some files. Raises UserError("weights_broken")."""
    header: dict[str, StoredTensor] = {}
    for file in files:
        try:
            header |= read_header(file).tensors
        except HeaderProblem as problem:
            raise UserError(
                "weights_broken",
                f"{problem}.",
                ["The download was probably cut short: delete the file and fetch it again."],
            ) from problem
    return header


def header_at(part: str, path: Path) -> Header:
    """All tensors of a part at an existing path. Raises UserError as `files_of` and `header_of`, "base_unreadable"."""
    try:
        files = files_of(part, path)
        if any(is_pickle(file) for file in files):
            raise UserError("weights_unread", f"{path} is torch's own file: it is not looked into before it is loaded.")
        return header_of(files)
    except OSError as error:
        raise unreadable(path, error) from error


def misfit(part: str, path: Path, facts: PartFacts, transformer: PartFacts | None) -> UserError | None:
    """The error for a part that gives other sizes than the transformer takes."""
    takes = getattr(transformer.takes, part, ()) if transformer and transformer.takes else ()
    if not takes or not facts.gives or takes == facts.gives:
        return None
    given, needed = facts.gives[0], takes[0]
    said = f"{path} does not fit the transformer: its vectors have {given} numbers, {needed} are needed."
    if part == "vae":
        said = f"{path} does not fit the transformer: its latents have {given} channels, {needed} are needed."
    return UserError("base_mismatch", said, [f"Use the {WHAT[part]} that belongs to this transformer."])


def _judged(part: str, path: Path, header: Header) -> tuple[Widths | None, tuple[int, ...]]:
    if part == "transformer":
        return _transformer(path, header), ()
    if part == "vae":
        return None, (_vae(path, header),)
    if path.is_dir():
        (stated_gemma_config if part == "text_encoder" else read_config)(path)
    skip, places = (NOT_GEMMA, GEMMA_PLACES) if part == "text_encoder" else (NOT_JINA, JINA_PLACES)
    refuse_quantised(str(path), {n: n for n in header if not skip.match(n)}, lambda name: header[name].dtype)
    size = (gemma_size if part == "text_encoder" else jina_size)(header)
    if size is None:
        raise another_model(part, path, header)
    _require_whole_layers(part, path, [name for name in header if not skip.match(name)])
    _require_tokenizer(path, places, header)
    return None, (size.hidden,)


def _transformer(path: Path, header: Header) -> Widths:
    bare = bare_names(header, str(path))
    refuse_quantised(str(path), bare, lambda name: header[name].dtype)
    source = transformer_shapes(path, header)
    stored = sum(math.prod(source.shape(name)) for name in source.names())
    dimensions = read_dimensions(path, source)
    wanted = parameter_count(dimensions)
    if stored != wanted:
        raise UserError(
            "weights_mismatch",
            f"The weights in {path} do not fit the NextDiT transformer: {stored:,} numbers are "
            f"stored, {wanted:,} belong to a model of this size.",
            [INCOMPLETE if stored < wanted else EXTRA_PARTS],
        )
    return replace(widths_of(bare, lambda name: header[name].shape), vae=(dimensions.in_channels,))


def transformer_shapes(path: Path, header: Header) -> RenamedShapes:
    """The transformer's tensors under their official names. Raises UserError as `official_parts`."""
    return RenamedShapes(HeaderShapes(header, path), *official_parts(header, str(path)))


def _vae(path: Path, header: Header) -> int:
    """Channels of its latents."""
    stated_vae_config(path)
    own = bare_vae_names(header) or {}
    refuse_quantised(str(path), own, lambda name: header[name].dtype)
    size = vae_size(header)
    if size is None:
        raise another_model("vae", path, header)
    return size.latent_channels


def _require_whole_layers(part: str, path: Path, names: Iterable[str]) -> None:
    """Raises UserError `weights_mismatch` where a layer lacks what others have; Gemma's last is not used."""
    layers: dict[int, set[str]] = {}
    for name in names:
        if found := _LAYER.search(name):
            layers.setdefault(int(found[1]), set()).add(name[found.end() :])
    used = sorted(layers)[: -1 if part == "text_encoder" else None]
    every = set().union(*(layers[number] for number in used))
    missing = [f"layers.{number}.{name}" for number in used for name in sorted(every - layers[number])]
    if missing:
        raise mismatch(WHAT[part], str(path), missing=missing)


def _require_tokenizer(path: Path, places: TokenizerPlaces, header: Header) -> None:
    folders = list(tokenizer_folders(path, places))
    ready = any((folder / READY).is_file() and _is_own(path, folder, places) for folder in folders)
    spiece = any((folder / name).is_file() for folder in folders for name in places.spiece)
    if not (ready or spiece or SPIECE_TENSOR in header):
        raise UserError(
            "tokenizer_missing",
            f"{path} holds no {places.what} tokenizer, and none lies beside it.",
            [f"Put {READY} and tokenizer_config.json beside the weights, from the place where they came from."],
        )


def _is_own(path: Path, folder: Path, places: TokenizerPlaces) -> bool:
    """Beside a single file there may lie another encoder's tokenizer."""
    if path.is_dir() or folder != path.parent:
        return True
    token: Any = read_json_object(folder / "tokenizer_config.json").get("bos_token")
    return (token.get("content") if isinstance(token, dict) else token) == places.first


def another_model(part: str, path: Path, header: Header) -> UserError:
    """The error for an encoder or VAE whose names are those of something else."""
    return UserError(
        "wrong_model",
        f"{path} is not a {WHAT[part]}: {looks_like(header)}.",
        ["Use the folders of NewBie-image-Exp0.1, or its files for ComfyUI."],
    )


def _dtype(header: Header) -> str:
    """The dtype of nearly all numbers."""
    counts: dict[str, int] = {}
    for tensor in header.values():
        counts[tensor.dtype] = counts.get(tensor.dtype, 0) + math.prod(tensor.shape)
    most = max(counts, key=lambda dtype: counts[dtype], default="")
    return DTYPE_WORDS.get(most, most.lower()) if counts and counts[most] >= 0.95 * sum(counts.values()) else "mixed"


def unreadable(path: Path, error: OSError) -> UserError:
    """A folder or file that the system refuses to show."""
    return UserError(
        "base_unreadable",
        f"{error.filename or path} cannot be read ({error.strerror or error}).",
        ["Check the rights of the folder, or choose another one."],
    )
