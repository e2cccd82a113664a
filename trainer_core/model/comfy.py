"""NewBie's files among many others in a ComfyUI `models` folder, recognised by what they hold."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from trainer_core.contracts.errors import UserError
from trainer_core.model.foreign import QUANTISED
from trainer_core.model.layouts import open_transformer
from trainer_core.model.transformer_names import bare_names, is_newbie
from trainer_core.model.weights import SafetensorsFiles, shorten

# Where ComfyUI looks for each part, new and old folder names.
PLACES = MappingProxyType(
    {
        "transformer": ("diffusion_models", "unet"),
        "text_encoder": ("text_encoders", "clip"),
        "clip_model": ("text_encoders", "clip"),
        "vae": ("vae",),
    }
)
SUFFIXES = (".safetensors", ".sft")
LATENT_CHANNELS = 16


@dataclass(frozen=True, kw_only=True)
class Sighting:
    """What a file holds; width: of the vectors that a text encoder gives."""

    file: Path
    kind: str
    width: tuple[int, ...] = ()
    quantised: bool = False


def is_comfy(root: Path) -> bool:
    return any(True for _ in _folders(root, "transformer"))


def comfy_parts(
    root: Path, wanted: Sequence[str], options: Mapping[str, str], transformer: Path | None
) -> dict[str, Path]:
    """One file for each wanted part. `options`: part -> the option by which a user names it; `transformer`: the one
    that is used where it is not wanted from here.

    Raises UserError: "base_incomplete", "base_ambiguous", and what `open_transformer` raises.
    """
    parts: dict[str, Path] = {}
    if "transformer" in wanted:
        parts["transformer"] = transformer = _only(root, "transformer", _sightings(root, "transformer"), options).file
    assert transformer is not None
    with open_transformer(transformer) as source:
        widths = [source.shape(name)[:1] for name in ("cap_embedder.0.weight", "clip_text_pooled_proj.0.weight")]
    for part, width in zip(("text_encoder", "clip_model"), widths, strict=True):
        if part in wanted:
            # Other sizes of Gemma3 serve other models; the transformer says which one it reads.
            fitting = [sighting for sighting in _sightings(root, part) if sighting.width == width]
            parts[part] = _only(root, part, fitting, options).file
    if "vae" in wanted:
        parts["vae"] = _only(root, "vae", _sightings(root, "vae"), options).file
    return parts


def _folders(root: Path, part: str) -> Iterator[Path]:
    for start in (root, root / "models", root / "split_files"):
        for name in PLACES[part]:
            if (start / name).is_dir():
                yield start / name


def _sightings(root: Path, part: str) -> Iterator[Sighting]:
    for folder in _folders(root, part):
        for file in sorted(folder.rglob("*")):
            if file.suffix.lower() in SUFFIXES and file.is_file() and not file.name.startswith("."):
                found = sighting(file)
                if found.kind == part:
                    yield found


def sighting(file: Path) -> Sighting:
    """Looks at names and shapes only; kind is "" for what is none of the parts or cannot be read."""
    try:
        with SafetensorsFiles([file], file) as files:
            return _seen(file, files)
    except UserError:
        return Sighting(file=file, kind="")


def _seen(file: Path, files: SafetensorsFiles) -> Sighting:
    names = files.names()
    quantised = _is_quantised(files)

    def ending(suffix: str) -> str | None:
        return next((name for name in names if name == suffix or name.endswith(f".{suffix}")), None)

    if is_newbie(bare_names(names, str(file))):
        return Sighting(file=file, kind="transformer", quantised=quantised)
    if ending("mixer.Wqkv.weight") or ending("mixer.Wqkv.parametrizations.weight.original"):
        norm = ending("emb_ln.weight")
        return Sighting(file=file, kind="clip_model", width=files.shape(norm) if norm else (), quantised=quantised)
    norm = ending("layers.0.pre_feedforward_layernorm.weight")
    if norm and ending("layers.0.self_attn.q_norm.weight"):
        return Sighting(file=file, kind="text_encoder", width=files.shape(norm), quantised=quantised)
    entry = ending("decoder.conv_in.weight")
    if entry and ending("encoder.conv_in.weight") and files.shape(entry)[1:2] == (LATENT_CHANNELS,):
        return Sighting(file=file, kind="vae", quantised=quantised)
    return Sighting(file=file, kind="")


def _is_quantised(files: SafetensorsFiles) -> bool:
    try:
        small = any(files.dtype(name).itemsize < 2 for name in files.names() if name.endswith(".weight"))
    except UserError:  # a number format that torch does not know
        return True
    return small or any(QUANTISED.search(name) for name in files.names())


def _only(root: Path, part: str, sightings: Iterable[Sighting], options: Mapping[str, str]) -> Sighting:
    found = list(sightings)
    usable = [sighting for sighting in found if not sighting.quantised]
    if len(usable) == 1:
        return usable[0]
    if usable:
        raise UserError(
            "base_ambiguous",
            f"{root} holds several files that could be the {part}: {shorten([str(s.file) for s in usable])}.",
            [f"Name the right one with {options[part]}."],
        )
    places = " or ".join(f"{name}/" for name in PLACES[part])
    hints = [f"Put NewBie's file there, or give its path with {options[part]}."]
    if found:
        hints.insert(0, f"Quantised files are not read: {shorten([s.file.name for s in found])}. Use the bf16 version.")
    raise UserError("base_incomplete", f"{root} holds no {part} for NewBie in {places}.", hints)
