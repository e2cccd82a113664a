"""What the official folder's text_encoder, clip_model and vae consist of, planned before a byte is written."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainer_core.model.gemma import gemma_config, plain_names
from trainer_core.model.jina import jina_size
from trainer_core.model.part_tokenizer import GEMMA, JINA, Family, part_tokenizer
from trainer_core.model.vae_names import VaeNames, vae_config
from trainer_core.model.weights import OpenFiles, open_tensors
from trainer_core.planning.headers import read_config
from trainer_core.planning.part_configs import stated_vae_config
from trainer_core.planning.shapes import Dimensions
from trainer_core.planning.tokenizer_places import READY, SPIECE_TENSOR, TOKENIZER_FILES, tokenizer_folders
from trainer_core.planning.weight_files import weight_files

RELEASED_DIM = 2304
RELEASED_CLASS = "NextDiT_3B_GQA_patch2_Adaln_Refiner_WHIT_CLIP"
# Values that the official config.json leaves unsaid.
UNSAID = {"cap_feat_dim": 2560, "n_refiner_layers": 2, "qk_norm": True}


@dataclass(frozen=True, kw_only=True)
class Part:
    """One folder to be made: weights written from `source` (None: linked as they are), files linked, config, tokenizer.

    nbytes: of the weights in the new folder, written or linked.
    """

    name: str
    file: str
    source: OpenFiles | None
    names: Sequence[str]
    links: Sequence[Path]
    config: Mapping[str, Any]
    write_config: bool
    tokenizer: Any
    nbytes: int
    close: Callable[[], None]


def transformer_json(dims: Dimensions) -> dict[str, Any]:
    """transformer/config.json with the official converter's keys, and those it leaves out where they differ."""
    released = dims.dim == RELEASED_DIM
    said = {key: value for key, value in vars(dims).items() if key not in UNSAID or UNSAID[key] != value}
    return {
        "_class_name": RELEASED_CLASS if released else "NextDiT_CLIP",
        "model_type": "nextdit_clip",
        **said,
        "clip_img_dim": 1024,
    }


def model_index(gemma: Mapping[str, Any]) -> dict[str, Any]:
    """model_index.json as the official converter writes it: folder and class; Gemma's class as its config has it."""
    whole = gemma.get("model_type") == "gemma3"
    return {
        "_class_name": "NewbiePipeline",
        "_diffusers_version": "0.30.0",
        "transformer": ["transformer", "NextDiT_CLIP"],
        "text_encoder": ["text_encoder", "Gemma3ForConditionalGeneration" if whole else "Gemma3TextModel"],
        "tokenizer": ["text_encoder", "AutoTokenizer"],
        "clip_model": ["clip_model", "JinaCLIPModel"],
        "clip_tokenizer": ["clip_model", "AutoTokenizer"],
        "vae": ["vae", "AutoencoderKL"],
    }


def gemma_part(path: Path, dtype: torch.dtype | None) -> Part:
    """Raises UserError: what `load_gemma` raises for a missing tokenizer, config or tensor."""
    files = open_tensors(path)
    found = gemma_config(files)
    stated = read_config(path) if path.is_dir() else None
    tokenizer, links = _tokenizer(path, GEMMA, files, found["vocab_size"])
    renamed = None if path.is_dir() else plain_names(files)
    return _part(
        "text_encoder", "model.safetensors", path, dtype,
        files=files, renamed=renamed, config=stated or found, tokenizer=tokenizer, links=links,
    )  # fmt: skip


def clip_part(path: Path, dtype: torch.dtype | None) -> Part:
    """Stored names and adapter stay: merging them belongs to loading, in float32."""
    files = open_tensors(path)
    rows, width = jina_size(files)
    stated = read_config(path) if path.is_dir() else None
    tokenizer, links = _tokenizer(path, JINA, files, rows)
    config = stated or {"model_type": "jina_clip", "text_config": {"embed_dim": width}}
    return _part(
        "clip_model", "model.safetensors", path, dtype,
        files=files, renamed=None, config=config, tokenizer=tokenizer, links=links,
    )  # fmt: skip


def vae_part(path: Path, dtype: torch.dtype | None) -> Part:
    """diffusers' naming, whatever the file has."""
    files = open_tensors(path)
    source = VaeNames(files)
    config = stated_vae_config(path) or vae_config(source)
    return _part(
        "vae", "diffusion_pytorch_model.safetensors", path, dtype,
        files=files, renamed=None if source.stored_as_is() else source, config=config, tokenizer=None, links=[],
    )  # fmt: skip


def _part(
    name: str,
    file: str,
    path: Path,
    dtype: torch.dtype | None,
    *,
    files: OpenFiles,
    renamed: OpenFiles | None,
    config: Mapping[str, Any],
    tokenizer: Any,
    links: Sequence[Path],
) -> Part:
    source = renamed or files
    names = [tensor for tensor in source.names() if tensor != SPIECE_TENSOR]
    as_stored = path.is_dir() and renamed is None and (dtype is None or _all_of(files, names, dtype))
    nbytes = sum(_nbytes(source, tensor, dtype) for tensor in names)
    if as_stored:
        weights = weight_files(path)
        links = [*weights, *(path.glob("*.safetensors.index.json") if len(weights) > 1 else []), *links]
    keep_config = path.is_dir() and (path / "config.json").is_file()
    return Part(
        name=name,
        file=file,
        source=None if as_stored else source,
        names=names,
        links=[*([path / "config.json"] if keep_config else []), *links],
        config=config,
        write_config=not keep_config,
        tokenizer=tokenizer,
        nbytes=nbytes,
        close=files.close,
    )


def _tokenizer(path: Path, family: Family, files: OpenFiles, rows: int) -> tuple[Any, list[Path]]:
    """(a tokenizer to be saved, files to be linked): one of the two."""
    tokenizer = part_tokenizer(path, family, files, rows)
    for folder in tokenizer_folders(path, family):
        if (folder / READY).is_file() and (path.is_dir() or folder != path.parent):
            return None, [folder / name for name in TOKENIZER_FILES if (folder / name).is_file()]
    return tokenizer, []


def _all_of(files: OpenFiles, names: Sequence[str], dtype: torch.dtype) -> bool:
    return all(files.dtype(name) in (dtype,) or not files.dtype(name).is_floating_point for name in names)


def _nbytes(source: OpenFiles, name: str, dtype: torch.dtype | None) -> int:
    stored = source.dtype(name)
    size = (dtype or stored) if stored.is_floating_point else stored
    return int(torch.Size(source.shape(name)).numel()) * size.itemsize
