"""Merge LoRAs into a base: a new Diffusers-style folder with the transformer rewritten and the rest linked, or one
ComfyUI diffusion model file. Tensor by tensor, so memory grows with the largest tensor and not with the model.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.forms import LICENSE
from trainer_core.contracts.fsutil import fsync_file, whole_folder, write_json_atomic
from trainer_core.contracts.phase_names import Report
from trainer_core.model.folder import BaseFolder, find_base, find_transformer
from trainer_core.model.layouts import open_transformer
from trainer_core.model.renamed import RenamedTensors
from trainer_core.model.weights import OpenFiles, SafetensorsFiles, TensorSource, open_tensors
from trainer_core.model.writing import DTYPE_OF, header_bytes, write_tensors
from trainer_core.planning.lora_names import listing
from trainer_core.planning.merged_loras import account_of, merged_into, merged_lora
from trainer_core.planning.weight_files import SUFFIX, weight_files
from trainer_core.tools.convert import checked_dimensions, entries_of, link_or_copy, narrowed, require_range
from trainer_core.tools.lora_stack import MERGEABLE, Adapter, Tell, applied, load_adapters, require_fit
from trainer_core.tools.outputs import is_single_file, require_folder_name, require_new, require_room, writing


def open_base(path: Path) -> RenamedTensors:
    """The transformer's tensors by official name, of a base in any layout or of the transformer alone.

    Raises UserError as `find_transformer` and `open_transformer`.
    """
    return open_transformer(find_transformer(path))


def merge(
    base_path: Path,
    loras: Sequence[tuple[Path, float]],
    output: Path,
    report: Report,
    tell: Tell = lambda sentence: None,
    *,
    dtype: str = "keep",
) -> Path:
    """Write base + sum of strength * LoRA to `output`: one ComfyUI file if it ends in .safetensors, else a folder.

    fp32 arithmetic; the transformer is written in `dtype`, one of `forms.DTYPES`. `report(what, done, total)`
    counts bytes, before each tensor or copied file, and may raise to stop: nothing stays then. `tell` gets sentences
    about the LoRAs.

    Raises UserError: `output_exists`, `output_invalid`, `weights_missing`, `weights_mismatch` (tensors of the base are
    absent, unknown or misshapen), `weights_quantised`, `lora_mismatch` (a LoRA that fits only partly is refused with
    the names), `dtype_overflow`, `disk_full`, `output_failed`, and as reading configs and LoRAs does.
    """
    single = is_single_file(output)
    if base_path.is_file() and not single:
        raise UserError(
            "output_invalid",
            f"{base_path} is a single file, so {output} cannot become a whole model folder.",
            [f"Give an output that ends in {SUFFIX}, or the folder of a whole base model."],
        )
    if not single:
        require_folder_name(output)
    transformer = find_transformer(base_path)
    with open_transformer(transformer) as source:
        # ComfyUI's folder is where a new model file belongs, even where it is the base.
        beside = single and transformer.is_file()
        require_new(output, folder=not single, inside=[] if beside else [base_path])
        adapters = load_adapters(loras, tell, transformer)
        require_fit(adapters, source)
        _require_floats(source)
        # What a broken base lacks would be lacking in the merged model too.
        checked_dimensions(transformer, source)
        merged = [merged_lora(adapter.lora.path, adapter.strength) for adapter in adapters]
        total = _Sum(source, adapters, DTYPE_OF[dtype], account_of([*merged_into(transformer), *merged]))
        with writing(output):
            if single:
                _write_single(total, output, report)
            else:
                base = find_base(base_path)
                _require_official(base, source)
                _write_folder(total, base, output, report)
    if beside and base_path.is_dir() and output.resolve().is_relative_to(transformer.parent.resolve()):
        tell(f"{base_path} now holds two transformers: as a base, give the file of the one that is meant.")
    return output


def _require_floats(source: RenamedTensors) -> None:
    odd = {name: dtype for name in source.names() if (dtype := source.dtype(name)) not in MERGEABLE}
    if odd:
        kinds = ", ".join(sorted({str(dtype).removeprefix("torch.") for dtype in odd.values()}))
        raise UserError(
            "weights_quantised",
            f"{source.location} is quantised ({kinds}: {listing(sorted(odd))}); a LoRA cannot be merged into it.",
            ["Merge into the bf16, fp16 or fp32 base, then quantise the result."],
        )


def _require_official(base: BaseFolder, source: TensorSource) -> None:
    """A folder is written file by file under the names that are stored, so these must be the official ones."""
    official = set(source.names())
    hints = ["Give an output that ends in .safetensors: one file for ComfyUI."]
    if base.transformer.is_dir():
        if not any(base.transformer.glob(f"*{SUFFIX}")):
            raise UserError(
                "output_invalid",
                f"{base.transformer} holds no .safetensors files, so no model folder can be made from it.",
                [*hints, "Or convert the base to the official folder first."],
            )
        with open_tensors(base.transformer) as stored:
            if official <= set(stored.names()):
                return
    raise UserError(
        "output_invalid",
        f"{base.transformer} does not store the official names, so no model folder can be made from it.",
        hints,
    )


@dataclass(frozen=True)
class _Sum:
    """Base + LoRAs, the dtype in which they are to be written (None: the base's own), and the metadata naming them."""

    source: OpenFiles
    adapters: Sequence[Adapter]
    dtype: torch.dtype | None
    account: Mapping[str, str]

    def of(self, value: Tensor, name: str) -> Tensor:
        what = f"{self.source.location}: {name}"
        if self.dtype is None or not value.is_floating_point():
            return _kept(value, name, self.adapters, what)
        # Rounded once: the sum of narrow numbers is made, and kept, in a dtype that holds both.
        wide = value.to(torch.promote_types(value.dtype, self.dtype))
        return narrowed(_kept(wide, name, self.adapters, what), self.dtype, what)


def _kept(value: Tensor, name: str, adapters: Sequence[Adapter], what: str) -> Tensor:
    """The sum in the tensor's own dtype. Raises UserError `dtype_overflow`, naming `what`, where fp16 is too small."""
    made = applied(value, name, adapters)
    if made is not value:
        require_range(made, what)
    return made


def _write_single(total: _Sum, output: Path, report: Report) -> None:
    entries = entries_of(total.source, total.dtype)
    require_room(output, sum(entry.nbytes for entry in entries))
    write_tensors(
        output,
        entries,
        lambda name: total.of(total.source.read(name), name),
        metadata={**_metadata(output.stem), **total.account},
        report=report,
    )


def _metadata(title: str) -> Mapping[str, str]:
    return {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": "newbie-image",
        "modelspec.implementation": "diffusers",
        "modelspec.title": title,
        "modelspec.date": datetime.now(UTC).isoformat(timespec="seconds"),
        "modelspec.license": LICENSE,
    }


def _write_folder(total: _Sum, base: BaseFolder, output: Path, report: Report) -> None:
    files = weight_files(base.transformer)
    sizes = [_size_of(file, total) for file in files]
    copied = 0 if _same_disk(base.root, output.parent) else _size_of_the_rest(base)
    progress = _Progress(report, sum(sizes) + copied)
    require_room(output, progress.total)
    with whole_folder(output) as temporary:
        (temporary / base.transformer.name).mkdir(parents=True)
        for file, size in zip(files, sizes, strict=True):
            target = temporary / base.transformer.name / file.name
            if total.dtype is None:
                _merge_file(file, target, total, progress)
            else:
                _rewrite_file(file, target, total, progress)
            progress.before += size
        _link_the_rest(base, temporary, progress)
        if total.dtype is not None:
            _restate_sizes(temporary / base.transformer.name, sum(sizes))


@dataclass
class _Progress:
    """Where the whole work stands, in bytes; `before`: what lies behind the file that is being written."""

    report: Report
    total: int
    before: int = 0

    def __call__(self, name: str, done: int, _: int = 0) -> None:
        self.report(name, self.before + done, self.total)


def _size_of(file: Path, total: _Sum) -> int:
    if total.dtype is None:
        return file.stat().st_size
    with SafetensorsFiles([file], file) as source:
        return sum(entry.nbytes for entry in entries_of(source, total.dtype))


def _rewrite_file(file: Path, target: Path, total: _Sum, progress: _Progress) -> None:
    """The same names in another dtype."""
    with SafetensorsFiles([file], file) as source:
        write_tensors(
            target,
            entries_of(source, total.dtype),
            lambda name: total.of(source.read(name), name),
            metadata={**source.metadata(), **total.account},
            report=progress,
        )


def _restate_sizes(folder: Path, size: int) -> None:
    """An index tells the size of all tensors, which another dtype changes; the base's own stays."""
    for index in folder.glob("*.safetensors.index.json"):
        values = json.loads(index.read_text(encoding="utf-8"))
        if isinstance(values.get("metadata"), dict) and "total_size" in values["metadata"]:
            values["metadata"]["total_size"] = size
            write_json_atomic(index, values)


def _merge_file(source: Path, target: Path, total: _Sum, progress: _Progress) -> None:
    """Names, shapes and dtypes stay, so the file's own order is kept (and an index stays true); one tensor after
    another is written behind the header, which names the LoRAs too."""
    with open(source, "rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    metadata = {**(header.pop("__metadata__", None) or {}), **total.account}
    offsets = {name: entry["data_offsets"][0] for name, entry in header.items()}
    with safe_open(source, framework="pt") as tensors, open(target, "wb") as out:
        out.write(header_bytes({"__metadata__": metadata, **header}))
        for name in sorted(offsets, key=offsets.__getitem__):
            progress(name, offsets[name])
            value = _kept(tensors.get_tensor(name), name, total.adapters, f"{source}: {name}")
            out.write(value.contiguous().view(-1).view(torch.uint8).numpy().data)
    fsync_file(target)


def _rest(base: BaseFolder) -> Iterator[tuple[Path, Path]]:
    """(file, its place in the folder) of everything but the transformer's weights.

    Parts that are links to folders elsewhere are followed; hidden files (a download's .git, .cache) are left out,
    as are other versions of the weights, which would stay unmerged.
    """
    for entry in sorted(path for path in base.root.iterdir() if not path.name.startswith(".")):
        # rglob does not enter links, so the part itself is resolved first.
        source = entry.resolve()
        for file in sorted(p for p in ([source] if entry.is_file() else source.rglob("*")) if p.is_file()):
            if entry.name == base.transformer.name and file.suffix == ".safetensors":
                continue
            yield file, Path(entry.name) / file.relative_to(source)


def _link_the_rest(base: BaseFolder, target: Path, progress: _Progress) -> None:
    """Hard links for large files where they can be made, else copies; on another disk these count."""
    for file, place in _rest(base):
        (target / place).parent.mkdir(parents=True, exist_ok=True)
        if progress.before < progress.total:
            progress(place.as_posix(), 0)
            progress.before += file.stat().st_size
        link_or_copy(file, target / place)


def _same_disk(one: Path, other: Path) -> bool:
    return one.stat().st_dev == other.stat().st_dev


def _size_of_the_rest(base: BaseFolder) -> int:
    return sum(file.stat().st_size for file, _ in _rest(base))
