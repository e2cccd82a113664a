"""Finding and loading a base model in the official Diffusers-style folder."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from trainer_core.contracts.errors import UserError
from trainer_core.model.nextdit import NextDiT
from trainer_core.model.tokens import read_config
from trainer_core.model.weights import TensorSource, load_strict, open_tensors

PARTS = {
    "transformer": "NextDiT: config.json, diffusion_pytorch_model.safetensors",
    "text_encoder": "Gemma3 with its tokenizer: config.json, model*.safetensors, tokenizer.json",
    "clip_model": "Jina CLIP v2 with its tokenizer: config.json, model.safetensors, tokenizer.json",
    "vae": "AutoencoderKL: config.json, diffusion_pytorch_model.safetensors",
}
REQUIRED_KEYS = (
    "patch_size",
    "in_channels",
    "dim",
    "n_layers",
    "n_heads",
    "n_kv_heads",
    "axes_dims",
    "axes_lens",
)
# Widths that the official config leaves out or may leave out, and the tensor whose length states them.
WIDTH_TENSORS = {"cap_feat_dim": "cap_embedder.0.weight", "clip_text_dim": "clip_text_pooled_proj.0.weight"}


@dataclass(frozen=True, kw_only=True)
class BaseFolder:
    """The parts of one base model; every path is an existing folder."""

    root: Path
    transformer: Path
    text_encoder: Path
    clip_model: Path
    vae: Path


def find_base(path: Path) -> BaseFolder:
    """Recognises a base model by its four sub-folders (model_index.json is not needed).

    Raises UserError("base_missing") for a path that is no folder, ("base_incomplete") naming what is absent.
    """
    root = path.expanduser()
    if not root.is_dir():
        raise UserError(
            "base_missing",
            f"{root} is not a folder; base_model_path must be the folder of a NewBie base model.",
            _expected_layout(),
        )
    absent = [name for name in PARTS if not (root / name).is_dir()]
    if absent:
        raise _incomplete(root, absent)
    return BaseFolder(root=root, **{name: root / name for name in PARTS})


def _incomplete(root: Path, absent: list[str]) -> UserError:
    hints = _expected_layout()
    if root.name in PARTS or root.parent.name in PARTS:
        whole = root.parent if root.name in PARTS else root.parent.parent
        hints.insert(0, f"This is one part of a base model; give the whole folder instead: {whole}")
    inner = sorted(d.name for d in root.iterdir() if all((d / name).is_dir() for name in PARTS))
    if inner:
        hints.insert(0, f"A base model lies one level deeper: {root / inner[0]}")
    names = ", ".join(f"{name}/" for name in absent)
    return UserError("base_incomplete", f"{root} is not a complete NewBie base model: it lacks {names}.", hints)


def _expected_layout() -> list[str]:
    return ["The folder must look like this:", *(f"{name}/  {holds}" for name, holds in PARTS.items())]


def transformer_config(folder: Path) -> dict[str, Any]:
    """NextDiT's constructor keywords from transformer/config.json; what it leaves out comes from the tensors.

    Raises UserError: "config_unreadable", "weights_missing".
    """
    with open_tensors(folder) as source:
        return _nextdit_arguments(folder, source)


def load_transformer(folder: Path, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> NextDiT:
    """Builds and fills the transformer; frozen, in evaluation mode.

    Raises UserError: "config_unreadable", "weights_missing", "weights_mismatch".
    """
    with open_tensors(folder) as source:
        arguments = _nextdit_arguments(folder, source)
        try:
            with torch.device("meta"):
                model = NextDiT(**arguments)
        except ValueError as error:
            raise UserError("config_unreadable", f"{folder / 'config.json'} contradicts itself: {error}.") from error
        load_strict(model, source, what="NextDiT transformer", dtype=dtype, device=device)
    return model.eval()


def _nextdit_arguments(folder: Path, source: TensorSource) -> dict[str, Any]:
    config = read_config(folder)
    absent = [key for key in REQUIRED_KEYS if key not in config]
    if absent:
        raise UserError(
            "config_unreadable",
            f"{folder / 'config.json'} is not a NextDiT config: it lacks {', '.join(absent)}.",
            ["Use the config.json of the official transformer folder."],
        )
    arguments = {key: config[key] for key in REQUIRED_KEYS}
    names = set(source.names())
    arguments["qk_norm"] = config.get("qk_norm", "layers.0.attention.q_norm.weight" in names)
    arguments["n_refiner_layers"] = config.get("n_refiner_layers", 2)
    return arguments | _widths(config, source, names)


def _widths(config: Mapping[str, Any], source: TensorSource, names: set[str]) -> dict[str, int]:
    """A width that neither config nor checkpoint states keeps the constructor's (released) default."""
    widths = {key: source.shape(tensor)[0] for key, tensor in WIDTH_TENSORS.items() if tensor in names}
    return widths | {key: config[key] for key in WIDTH_TENSORS if key in config}
