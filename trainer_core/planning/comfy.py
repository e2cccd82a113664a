"""NewBie's files among many others in a ComfyUI `models` folder, recognised by what their headers say."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from trainer_core.contracts.base_part import BY_FOLDER
from trainer_core.contracts.errors import UserError
from trainer_core.planning.headers import HeaderProblem, StoredTensor, read_header
from trainer_core.planning.part_sizes import GEMMA, JINA
from trainer_core.planning.tensor_names import (
    DIFFUSERS_MARK,
    JINA_WEIGHT,
    OFFICIAL_MARK,
    QUANTISED,
    bare_names,
    is_newbie,
    shorten,
)
from trainer_core.planning.vae_constants import LATENT_CHANNELS
from trainer_core.planning.weight_files import SAFETENSORS

# Where ComfyUI looks for each part, new and old folder names.
PLACES = MappingProxyType(
    {
        "transformer": ("diffusion_models", "unet"),
        "text_encoder": ("text_encoders", "clip"),
        "clip_model": ("text_encoders", "clip"),
        "vae": ("vae",),
    }
)
# Numbers of one byte or less, and what no program here can read.
COMPRESSED = ("F8", "F6", "F4", "I8", "U8", "I4", "U4", "BOOL")

Header = Mapping[str, StoredTensor]
Width = tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Widths:
    """Lengths of the vectors that a transformer takes from its two text encoders, and channels of its VAE's latents.

    () where it does not tell.
    """

    text_encoder: Width
    clip_model: Width
    vae: Width = ()


RELEASED = Widths(text_encoder=(GEMMA.hidden,), clip_model=(JINA.hidden,))


@dataclass(frozen=True, kw_only=True)
class FileContents:
    """What a file holds.

    kind: a part's name, "" for none of them. width: of the vectors that a text encoder gives; takes: what a
    transformer wants of them.
    """

    file: Path
    kind: str
    width: Width = ()
    takes: Widths | None = None
    quantised: bool = False


def is_comfy(root: Path) -> bool:
    return any(True for _ in _folders(root, "transformer"))


def comfy_parts(
    root: Path,
    wanted: Sequence[str],
    transformer: Path | None,
    widths: Callable[[Path], Widths],
) -> dict[str, Path]:
    """One file for each wanted part.

    transformer: the one that is used where it is not wanted from here. widths: what a transformer's file or folder
    takes from its encoders.

    Raises UserError: "base_incomplete", "base_ambiguous", and what `widths` raises.
    """
    parts: dict[str, Path] = {}
    if "transformer" in wanted:
        parts["transformer"] = transformer = _only(root, "transformer", files_of(root, "transformer")).file
    assert transformer is not None
    takes = widths(transformer)
    for part in ("text_encoder", "clip_model"):
        if part in wanted:
            fitting = _fitting(list(files_of(root, part)), getattr(takes, part), getattr(RELEASED, part))
            parts[part] = _only(root, part, fitting).file
    if "vae" in wanted:
        parts["vae"] = _only(root, "vae", files_of(root, "vae")).file
    return parts


def _fitting(found: list[FileContents], width: Width, released: Width) -> list[FileContents]:
    """Other sizes of Gemma3 serve other models; the transformer says which one it reads, as a rule the released one."""
    if width:
        return [file for file in found if file.width == width]
    return [file for file in found if file.width == released] or found


def _folders(root: Path, part: str) -> Iterator[Path]:
    for start in (root, root / "models", root / "split_files"):
        for name in PLACES[part]:
            if (start / name).is_dir():
                yield start / name


def files_of(root: Path, part: str) -> Iterator[FileContents]:
    """Every file in the part's folders that holds this part, in the order of their names."""
    for folder in _folders(root, part):
        for file in sorted(folder.rglob("*")):
            if file.suffix.lower() in SAFETENSORS and file.is_file() and not file.name.startswith("."):
                found = contents_of(file)
                if found.kind == part:
                    yield found


def contents_of(file: Path) -> FileContents:
    """Looks at names, shapes and dtypes only; kind is "" for what is none of the parts or cannot be read."""
    try:
        return contents_of_header(file, read_header(file).tensors)
    except (HeaderProblem, UserError, OSError):
        return FileContents(file=file, kind="")


def contents_of_header(file: Path, header: Header) -> FileContents:
    """The same of a header that was read. Raises UserError("weights_ambiguous") for two transformers in one file."""

    def ending(suffix: str) -> str | None:
        return next((name for name in header if name == suffix or name.endswith(f".{suffix}")), None)

    quantised = _is_quantised(header)
    bare = bare_names(header, str(file))
    if is_newbie(bare):
        return FileContents(
            file=file, kind="transformer", takes=widths_of(bare, lambda name: header[name].shape), quantised=quantised
        )
    if ending("mixer.Wqkv.weight") or ending(f"mixer.Wqkv{JINA_WEIGHT}"):
        norm = ending("emb_ln.weight")
        return FileContents(file=file, kind="clip_model", width=header[norm].shape if norm else (), quantised=quantised)
    norm = ending("layers.0.pre_feedforward_layernorm.weight")
    if norm and ending("layers.0.self_attn.q_norm.weight"):
        return FileContents(file=file, kind="text_encoder", width=header[norm].shape, quantised=quantised)
    entry = ending("decoder.conv_in.weight")
    if entry and ending("encoder.conv_in.weight") and header[entry].shape[1:2] == (LATENT_CHANNELS,):
        return FileContents(file=file, kind="vae", quantised=quantised)
    return FileContents(file=file, kind="")


def widths_of(bare: Mapping[str, str], shape_of: Callable[[str], tuple[int, ...]]) -> Widths:
    """What a transformer takes; `bare`: its names without prefix -> stored names, in either naming."""
    official = OFFICIAL_MARK in bare
    pooled = "clip_text_pooled_proj.0.weight" if official else "time_caption_embed.clip_text_pooled_proj.0.weight"
    names = (OFFICIAL_MARK if official else DIFFUSERS_MARK, pooled)
    text, clip = (shape_of(bare[name])[:1] if name in bare else () for name in names)
    return Widths(text_encoder=text, clip_model=clip)


def _is_quantised(header: Header) -> bool:
    small = any(tensor.dtype.startswith(COMPRESSED) for name, tensor in header.items() if name.endswith(".weight"))
    return small or any(QUANTISED.search(name) for name in header)


def _only(root: Path, part: str, found: Iterable[FileContents]) -> FileContents:
    found, option = list(found), BY_FOLDER[part].option
    usable = [file for file in found if not file.quantised]
    if len(usable) == 1:
        return usable[0]
    if usable:
        merging = ["To merge, give the right file itself as the base."] if part == "transformer" else []
        raise UserError(
            "base_ambiguous",
            f"{root} holds several files that could be the {part}: {shorten([str(s.file) for s in usable])}.",
            [f"Name the right one with {option}.", *merging],
        )
    places = " or ".join(f"{name}/" for name in PLACES[part])
    hints = [f"Put NewBie's file there, or give its path with {option}."]
    if found:
        hints.insert(0, f"Quantised files are not read: {shorten([s.file.name for s in found])}. Use the bf16 version.")
    raise UserError("base_incomplete", f"{root} holds no {part} for NewBie in {places}.", hints)
