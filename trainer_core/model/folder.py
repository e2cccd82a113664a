"""Finding a base model in any layout, and loading its transformer."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch

from trainer_core.contracts.errors import UserError
from trainer_core.model.comfy import comfy_parts, is_comfy
from trainer_core.model.layouts import has_weights, open_transformer
from trainer_core.model.nextdit import NextDiT
from trainer_core.model.transformer_config import nextdit_arguments
from trainer_core.model.weights import load_strict

PARTS = {
    "transformer": "NextDiT: config.json, diffusion_pytorch_model.safetensors",
    "text_encoder": "Gemma3 with its tokenizer: config.json, model*.safetensors, tokenizer.json",
    "clip_model": "Jina CLIP v2 with its tokenizer: config.json, model.safetensors, tokenizer.json",
    "vae": "AutoencoderKL: config.json, diffusion_pytorch_model.safetensors",
}
# The same parts as diffusers' own pipeline keeps them; tokenizers lie in folders beside.
DIFFUSERS_FOLDERS = MappingProxyType(
    {"transformer": "transformer", "text_encoder": "text_encoder", "clip_model": "text_encoder_2", "vae": "vae"}
)
# The option by which a user names each part.
OPTIONS = MappingProxyType(
    {
        "transformer": "transformer_path",
        "text_encoder": "gemma_model_path",
        "clip_model": "clip_model_path",
        "vae": "vae_path",
    }
)


@dataclass(frozen=True, kw_only=True)
class BaseFolder:
    """The parts of one base model; every path is an existing file or folder that the part's loader takes.

    root:   the folder that holds them all; the transformer's own path for a base put together part by part.
    layout: "official", "diffusers", "comfyui" or "parts" (none of them: single parts only).
    """

    root: Path
    transformer: Path
    text_encoder: Path
    clip_model: Path
    vae: Path
    layout: str = "official"


def find_base(
    path: Path | None,
    *,
    transformer: Path | None = None,
    gemma: Path | None = None,
    clip: Path | None = None,
    vae: Path | None = None,
) -> BaseFolder:
    """Recognises a base model by what lies in its folder; each of the other paths replaces one part of it.

    `path` may also be the transformer alone (a file); None means that every part is given.

    Raises UserError: "base_missing" for a path that does not exist, "base_incomplete" naming what is absent,
    "base_ambiguous" where several files could be one part.
    """
    given = {"transformer": transformer, "text_encoder": gemma, "clip_model": clip, "vae": vae}
    parts = {part: _override(part, value) for part, value in given.items() if value is not None}
    layout = "parts"
    if path is not None:
        root = path.expanduser()
        found, layout = _parts_of(root, [part for part in PARTS if part not in parts], parts.get("transformer"))
        parts = found | parts
    absent = [part for part in PARTS if part not in parts]
    if absent:
        raise UserError(
            "base_incomplete",
            f"The base model lacks {', '.join(absent)}: no base folder is given that holds them.",
            [f"Give {', '.join(OPTIONS[part] for part in absent)}, or the folder of a whole base model."],
        )
    whole = path is not None and layout != "parts"
    return BaseFolder(root=root if whole else parts["transformer"], layout=layout, **parts)


def find_transformer(path: Path) -> Path:
    """The transformer of a base in any layout, or `path` itself where it is one: the other parts may be absent.

    Raises UserError: "base_missing", "base_incomplete", "base_ambiguous".
    """
    return _parts_of(path.expanduser(), ["transformer"], None)[0]["transformer"]


def _override(part: str, path: Path) -> Path:
    """A part that is named by itself: a file, its folder, or the folder of a whole base."""
    place = path.expanduser()
    if not place.exists():
        raise UserError("base_missing", f"{OPTIONS[part]}: {place} does not exist.")
    if place.is_dir() and not (place / "config.json").is_file():
        for name in (part, DIFFUSERS_FOLDERS[part]):
            if (place / name).is_dir():
                return place / name
        single = [file for file in place.iterdir() if file.suffix in (".safetensors", ".sft")]
        if part != "transformer" and len(single) == 1:
            return single[0]
    return place


def _parts_of(root: Path, wanted: list[str], transformer: Path | None) -> tuple[dict[str, Path], str]:
    if root.is_file():
        return ({"transformer": root} if "transformer" in wanted else {}), "parts"
    if not root.is_dir():
        raise UserError(
            "base_missing",
            f"{root} is not a folder; base_model_path must be the folder of a NewBie base model.",
            _expected_layout(),
        )
    absent = [name for name in wanted if not (root / name).is_dir()]
    diffusers = (root / DIFFUSERS_FOLDERS["clip_model"]).is_dir() and not (root / "clip_model").is_dir()
    for layout, folders in (("diffusers", DIFFUSERS_FOLDERS), ("official", {name: name for name in PARTS})):
        found = {name: root / folders[name] for name in wanted}
        if (layout == "official" or diffusers) and all(folder.is_dir() for folder in found.values()):
            return found, layout
    if is_comfy(root):
        return comfy_parts(root, wanted, OPTIONS, transformer), "comfyui"
    if wanted == ["transformer"] and has_weights(root):
        return {"transformer": root}, "parts"
    raise _incomplete(root, absent)


def _incomplete(root: Path, absent: list[str]) -> UserError:
    hints = _expected_layout()
    if root.name in PARTS or root.parent.name in PARTS:
        whole = root.parent if root.name in PARTS else root.parent.parent
        hints.insert(0, f"This is one part of a base model; give the whole folder instead: {whole}")
    inner = sorted(d.name for d in root.iterdir() if all((d / name).is_dir() for name in PARTS))
    if inner:
        hints.insert(0, f"A base model lies one level deeper: {root / inner[0]}")
    hints.append(f"Parts that lie elsewhere are given by {', '.join(OPTIONS[name] for name in absent)}.")
    names = ", ".join(f"{name}/" for name in absent)
    return UserError("base_incomplete", f"{root} is not a complete NewBie base model: it lacks {names}.", hints)


def _expected_layout() -> list[str]:
    return [
        "The folder must look like this:",
        *(f"{name}/  {holds}" for name, holds in PARTS.items()),
        "ComfyUI's models folder (diffusion_models, text_encoders, vae) and diffusers' own layout are read as well.",
    ]


def transformer_config(path: Path) -> dict[str, Any]:
    """NextDiT's constructor keywords for a transformer in any layout.

    Raises UserError: "config_unreadable", "config_mismatch", and what `open_transformer` raises.
    """
    with open_transformer(path) as source:
        return nextdit_arguments(path, source)


def load_transformer(path: Path, *, dtype: torch.dtype, device: torch.device | str = "cpu") -> NextDiT:
    """Builds and fills the transformer from any layout; frozen, in evaluation mode.

    Raises UserError: "config_unreadable", "config_mismatch", "weights_mismatch", and what `open_transformer` raises.
    """
    with open_transformer(path) as source:
        model = empty_transformer(nextdit_arguments(path, source))
        load_strict(model, source, what="NextDiT transformer", dtype=dtype, device=device)
    return model.eval()


def empty_transformer(arguments: Mapping[str, Any]) -> NextDiT:
    """The transformer without its weights (on the meta device)."""
    with torch.device("meta"):
        return NextDiT(**arguments)
