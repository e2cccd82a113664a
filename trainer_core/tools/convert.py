"""Any layout of the base -> the official folder, or the single transformer file that ComfyUI takes.

Promises: tensor by tensor, so that memory grows with the largest tensor; what exists is never overwritten; the
result appears whole under its name or not at all; values are bit-equal unless another dtype is asked for.
"""

import os
import shutil
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import torch
from torch import Tensor

from trainer_core.contracts.disk import nearest_existing
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import fsync_file, whole_folder, write_json_atomic
from trainer_core.contracts.phase_names import Report
from trainer_core.model.folder import BaseFolder, empty_transformer
from trainer_core.model.layouts import open_transformer
from trainer_core.model.renamed import RenamedTensors
from trainer_core.model.weights import OpenFiles, require_match
from trainer_core.model.writing import Entry, write_tensors
from trainer_core.planning.merged_loras import account_of, merged_into
from trainer_core.planning.shapes import Dimensions
from trainer_core.planning.transformer_config import WHAT, read_dimensions
from trainer_core.tools.convert_parts import Part, clip_part, gemma_part, model_index, transformer_json, vae_part
from trainer_core.tools.outputs import is_single_file, require_new, require_room, writing

# Files up to this size are copied: to edit a config.json must not change the base it came from.
LINKED_FROM_BYTES = 2**20
_NOTHING: Mapping[str, str] = MappingProxyType({})


def to_official(base: BaseFolder, output: Path, *, dtype: torch.dtype | None, report: Report) -> Path:
    """Write the official folder to `output` (absent, or an empty folder); dtype None keeps what is stored.

    Raises UserError: "output_exists", "output_invalid", "disk_full", "dtype_overflow", and what the parts' loaders
    raise for a part that is not usable. Nothing is written then.
    """
    require_new(output, folder=True, inside=[base.transformer, base.text_encoder, base.clip_model, base.vae])
    with ExitStack() as opened:
        source = opened.enter_context(open_transformer(base.transformer))
        dims = checked_dimensions(base.transformer, source)
        parts = []
        for plan, path in ((gemma_part, base.text_encoder), (clip_part, base.clip_model), (vae_part, base.vae)):
            parts.append(plan(path, dtype))
            opened.callback(parts[-1].close)
        size = _size(source, dtype)
        require_room(output, size + sum(part.nbytes for part in parts if not _can_link(part, output)))
        with writing(output), whole_folder(output) as temporary:
            work = _OutputFolder(temporary, dtype, report, total=size + sum(part.nbytes for part in parts))
            file = work.folder("transformer") / "diffusion_pytorch_model.safetensors"
            work.write(file, source, about=account_of(merged_into(base.transformer)))
            write_json_atomic(file.with_name("config.json"), transformer_json(dims))
            for part in parts:
                work.part(part)
            write_json_atomic(temporary / "model_index.json", model_index(parts[0].config))
            for licence in sorted(base.root.glob("LICENSE*")) if base.root.is_dir() else []:
                shutil.copyfile(licence, temporary / licence.name)
    return output


def to_comfyui(transformer: Path, output: Path, *, dtype: torch.dtype | None, report: Report) -> Path:
    """Write one safetensors file with official, unprefixed names, as ComfyUI's diffusion_models folder takes it.

    Raises UserError: "output_exists", "output_invalid", "disk_full", "dtype_overflow", and what `open_transformer`
    raises.
    """
    if not is_single_file(output):
        raise UserError("output_invalid", f"{output} must end in .safetensors: one file is written.")
    require_new(output, folder=False, inside=[transformer])
    with open_transformer(transformer) as source:
        checked_dimensions(transformer, source)
        total = _size(source, dtype)
        require_room(output, total)
        with writing(output):
            work = _OutputFolder(output.parent, dtype, report, total=total)
            work.write(output, source, about=account_of(merged_into(transformer)))
    return output


@dataclass
class _OutputFolder:
    """The folder being written, and how many bytes of it are done."""

    root: Path
    dtype: torch.dtype | None
    report: Report
    total: int
    done: int = field(default=0)

    def folder(self, name: str) -> Path:
        folder = self.root / name
        folder.mkdir(parents=True)
        return folder

    def write(
        self, file: Path, source: OpenFiles, names: Iterable[str] | None = None, *, about: Mapping[str, str] = _NOTHING
    ) -> None:
        """``about``: further metadata."""
        entries = entries_of(source, self.dtype, names)
        start = self.done
        label = file.relative_to(self.root).as_posix()

        def report(_: str, done: int, __: int) -> None:
            self.report(label, start + done, self.total)

        dtypes = {entry.name: entry.dtype for entry in entries}
        write_tensors(
            file, entries, lambda name: _cast(source, name, dtypes[name]), metadata={"format": "pt", **about},
            report=report,
        )  # fmt: skip
        self.done += sum(entry.nbytes for entry in entries)

    def part(self, part: Part) -> None:
        folder = self.folder(part.name)
        if part.source is not None:
            self.write(folder / part.file, part.source, part.names)
        for file in part.links:
            self.report(f"{part.name}/{file.name}", self.done, self.total)
            link_or_copy(file, folder / file.name)
        self.done += part.nbytes if part.source is None else 0
        if part.write_config:
            write_json_atomic(folder / "config.json", part.config)
        if part.tokenizer is not None:
            part.tokenizer.save_pretrained(folder)


def entries_of(source: OpenFiles, dtype: torch.dtype | None, names: Iterable[str] | None = None) -> list[Entry]:
    """What is to be written: floating-point tensors in `dtype`, the others as they are."""
    entries = []
    for name in source.names() if names is None else names:
        stored = source.dtype(name)
        wanted = dtype if dtype is not None and stored.is_floating_point else stored
        entries.append(Entry(name=name, dtype=wanted, shape=source.shape(name)))
    return entries


def _cast(source: OpenFiles, name: str, dtype: torch.dtype) -> Tensor:
    return narrowed(source.read(name), dtype, f"{source.location}: {name}")


def narrowed(value: Tensor, dtype: torch.dtype, what: str) -> Tensor:
    """The tensor in `dtype`. Raises UserError `dtype_overflow`, naming `what`, where fp16 is too small."""
    tensor = value.to(dtype)
    if value.dtype != dtype:
        require_range(tensor, what)
    return tensor


def require_range(made: Tensor, what: str) -> None:
    """Raises UserError `dtype_overflow`, naming `what`, where a number did not fit into fp16."""
    if made.dtype == torch.float16 and not bool(made.isfinite().all()):
        raise UserError(
            "dtype_overflow",
            f"{what} holds values beyond what fp16 can (65504). Nothing was written.",
            ["Use bf16, which has the range of fp32 and the size of fp16."],
        )


def checked_dimensions(path: Path, source: RenamedTensors) -> Dimensions:
    """The transformer's sizes, after every name and shape has been compared with what they ask for."""
    dims = read_dimensions(path, source)
    require_match(empty_transformer(dims), source, what=WHAT)
    return dims


def _size(source: OpenFiles, dtype: torch.dtype | None) -> int:
    return sum(entry.nbytes for entry in entries_of(source, dtype))


def _can_link(part: Part, output: Path) -> bool:
    """Whether the part's weights take no room: taken as they are, on the same disk."""
    disk = nearest_existing(output.parent).lstat().st_dev
    return part.source is None and all(file.stat().st_dev == disk for file in part.links)


def link_or_copy(source: Path, target: Path) -> None:
    """A hard link for a large file where the disk allows it, else a copy."""
    real = source.resolve()
    if real.stat().st_size >= LINKED_FROM_BYTES:
        try:
            os.link(real, target)
            return
        except OSError:
            pass
    shutil.copyfile(real, target)
    fsync_file(target)
