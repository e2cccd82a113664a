"""Merge LoRAs into a base: a new Diffusers-style folder with the transformer rewritten and the rest linked."""

import json
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import fsync_dir, fsync_file, replace
from trainer_core.model.folder import BaseFolder, find_base
from trainer_core.model.weights import open_tensors
from trainer_core.training.adapters import read_lora

Report = Callable[[str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A LoRA ready to be added: B [out, r] @ A [r, in] * scale for each module."""

    path: Path
    weights: dict[str, Tensor]
    scales: dict[str, float]

    def modules(self) -> set[str]:
        return set(self.scales)

    def delta(self, module: str) -> Tensor:
        """fp32 [out, in]."""
        up, down = self.weights[f"{module}.lora_B"], self.weights[f"{module}.lora_A"]
        return (up @ down) * self.scales[module]


def newest_export(path: Path) -> Path:
    """The LoRA that `path` means: itself, or a run folder's newest export."""
    exports = sorted((path / "exports").glob("*.safetensors")) if path.is_dir() else []
    return exports[-1] if exports else path


def load_adapter(path: Path, strength: float) -> Adapter:
    """Raises UserError `lora_unreadable`, or `strength_invalid` for a strength that is not finite."""
    if not -100 <= strength <= 100:  # also true for NaN
        raise UserError("strength_invalid", f"Strength {strength} is not usable; allowed: -100 to 100.")
    weights, alphas = read_lora(newest_export(path))
    scales = {module: strength * alpha / weights[f"{module}.lora_A"].shape[0] for module, alpha in alphas.items()}
    return Adapter(path=path, weights=weights, scales=scales)


def merge(base_path: Path, loras: Sequence[tuple[Path, float]], output: Path, report: Report) -> Path:
    """Write base + sum of strength * LoRA to `output`; fp32 arithmetic, tensor by tensor, the base's own dtypes.

    Raises UserError: `output_exists`, `output_invalid`, `weights_missing`, `lora_mismatch` (a LoRA that fits only
    partly is refused with the names).
    """
    base = find_base(base_path)
    _require_usable(output, base)
    adapters = [load_adapter(path, strength) for path, strength in loras]
    for adapter in adapters:
        require_fit(adapter, base)
    files = _weight_files(base)
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        (temporary / "transformer").mkdir(parents=True)
        for number, file in enumerate(files):
            report(f"merging {file.name}", number, len(files))
            _merge_file(file, temporary / "transformer" / file.name, adapters)
        _link_the_rest(base, temporary)
        if output.exists():
            output.rmdir()
        replace(temporary, output)
        fsync_dir(output.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return output


def _require_usable(output: Path, base: BaseFolder) -> None:
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(
            "output_exists",
            f"{output} already exists and is not empty.",
            ["Choose another folder, or remove it."],
        )
    if output.resolve().is_relative_to(base.root.resolve()):
        raise UserError(
            "output_invalid",
            f"{output} lies inside the base model {base.root}.",
            ["Choose a folder outside of it."],
        )


def _weight_files(base: BaseFolder) -> list[Path]:
    # Opening them all refuses absent shards and names stored twice.
    with open_tensors(base.transformer):
        return sorted(base.transformer.glob("*.safetensors"))


def require_fit(adapter: Adapter, base: BaseFolder) -> None:
    """Raises UserError `lora_mismatch` naming every module that the base lacks or has in another shape."""
    shapes: dict[str, list[int]] = {}
    for file in _weight_files(base):
        with safe_open(file, framework="pt") as tensors:
            shapes |= {name: tensors.get_slice(name).get_shape() for name in tensors.keys()}
    wrong = []
    for module in sorted(adapter.modules()):
        up, down = adapter.weights[f"{module}.lora_B"], adapter.weights[f"{module}.lora_A"]
        if shapes.get(f"{module}.weight") != [up.shape[0], down.shape[1]] or up.shape[1] != down.shape[0]:
            wrong.append(module)
    if wrong:
        shown = ", ".join(wrong[:8]) + (" …" if len(wrong) > 8 else "")
        raise UserError(
            "lora_mismatch",
            f"{adapter.path} does not fit this base: {len(wrong)} of {len(adapter.modules())} modules are absent or "
            f"of another shape ({shown}). Nothing was written.",
            ["Merge into the base model that the LoRA was trained on."],
        )


def _merge_file(source: Path, target: Path, adapters: Sequence[Adapter]) -> None:
    """Names, shapes and dtypes stay, so the file's own header is kept and one tensor after another is written
    behind it; memory grows with the largest tensor, not with the file."""
    with open(source, "rb") as file:
        length = file.read(8)
        header = file.read(int.from_bytes(length, "little"))
    offsets = {name: entry["data_offsets"][0] for name, entry in json.loads(header).items() if name != "__metadata__"}
    with safe_open(source, framework="pt") as tensors, open(target, "wb") as out:
        out.write(length + header)
        for name in sorted(offsets, key=offsets.__getitem__):
            value = _merged(tensors.get_tensor(name), name, adapters)
            out.write(value.contiguous().view(-1).view(torch.uint8).numpy().data)
    fsync_file(target)


def _merged(value: Tensor, name: str, adapters: Sequence[Adapter]) -> Tensor:
    """The tensor with every LoRA of its module added in fp32; itself where there is none."""
    module = name.removesuffix(".weight")
    changes = [adapter for adapter in adapters if name.endswith(".weight") and module in adapter.scales]
    if not changes:
        return value
    total = value.float()
    for adapter in changes:
        total = total + adapter.delta(module)
    return total.to(value.dtype)


def _link_the_rest(base: BaseFolder, target: Path) -> None:
    """Everything but the transformer's weights: hard links, or copies where links cannot be made.

    Parts that are links to folders elsewhere are followed; hidden files (a download's .git, .cache) are left out.
    """
    for entry in sorted(path for path in base.root.iterdir() if not path.name.startswith(".")):
        # rglob does not enter links, so the part itself is resolved first.
        source = entry.resolve()
        for file in sorted(p for p in ([source] if entry.is_file() else source.rglob("*")) if p.is_file()):
            if entry.name == base.transformer.name and file.suffix == ".safetensors":
                continue
            place = target / entry.name / file.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(file.resolve(), place)
            except OSError:
                shutil.copyfile(file, place)
