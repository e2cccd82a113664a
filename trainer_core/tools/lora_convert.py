"""Convert a LoRA between a ComfyUI file, a PEFT folder and a file for diffusers, without changing what it does.

A and B, or a LoKr's factors, keep their bits unless a dtype is asked for; alpha is kept, and rsLoRA's root goes into
it. A DoRA's magnitude means something else in ComfyUI (see lora_writing), so the base it was trained on is needed for
that. A LoKr has ComfyUI's form only.
"""

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.forms import LORA_FILES, LoraForm
from trainer_core.model.lora_files import LoraFile, read_lora
from trainer_core.model.lora_writing import (
    diffusers_modules,
    over_base,
    over_moved,
    write_comfy,
    write_diffusers,
    write_peft,
)
from trainer_core.model.writing import DTYPE_OF
from trainer_core.planning.lora_slots import moves_magnitudes, require_form
from trainer_core.planning.weight_files import SUFFIX
from trainer_core.tools.lora_stack import Adapter, Tell, require_fit
from trainer_core.tools.merge import open_base
from trainer_core.tools.outputs import is_single_file, require_folder_name, require_new, require_room, writing


def form_of(output: Path) -> LoraForm:
    """What a name asks for: a .safetensors file is ComfyUI's form, anything else a PEFT folder."""
    return "comfyui" if is_single_file(output) else "peft"


def convert(
    source: Path, output: Path, *, form: LoraForm, base: Path | None = None, dtype: str = "keep", tell: Tell
) -> Path:
    """Write `source` to `output` in another (or the same) form; metadata is carried over.

    Raises UserError: as `read_lora` and `require_form`; `output_exists`, `output_invalid`, `base_needed` (a DoRA
    changes its form), `lora_mismatch` (that base has other modules, or qkv cannot be split), `dora_zero_rows`,
    `dtype_overflow`, `lora_mixed`, `disk_full`, `output_failed`.
    """
    if (form in LORA_FILES) != is_single_file(output):
        expected = f"a name ending in {SUFFIX}" if form in LORA_FILES else f"a folder, not {SUFFIX}"
        raise UserError("output_invalid", f"{output}: the {form} form needs {expected}.")
    if form not in LORA_FILES:
        require_folder_name(output)
    lora = read_lora(source)
    for note in lora.notes:
        tell(note)
    require_form(source, form, lokr=lora.is_lokr)
    require_new(output, folder=False)
    lora = _in_form(lora, form, base)
    with writing(output):
        require_room(output, _size(lora, DTYPE_OF[dtype]))
        _write(output, form, lora, DTYPE_OF[dtype])
    return output


def _write(output: Path, form: LoraForm, lora: LoraFile, dtype: torch.dtype | None) -> None:
    if form == "peft":
        write_peft(output, lora.halves, lora.metadata, dtype)
    elif form == "diffusers":
        write_diffusers(output, diffusers_modules(lora.halves), lora.metadata, dtype)
    else:
        write_comfy(output, lora.modules, lora.metadata, dtype)


def _in_form(lora: LoraFile, form: LoraForm, base: Path | None) -> LoraFile:
    """The same with DoRA magnitudes as the form has them; the base is opened only where that changes them."""
    doras = [module for module in lora.modules.values() if module.magnitude is not None]
    if not any(moves_magnitudes(form, over_base=module.over_base) for module in doras):
        return lora
    if base is None:
        raise UserError(
            "base_needed",
            f"{lora.path} is a DoRA: ComfyUI and PEFT scale its magnitude differently, and the base's weights are "
            "needed to convert between them.",
            ["Give the base model that it was trained on (on a command line --base)."],
        )
    with open_base(base) as tensors:
        require_fit([Adapter(lora=lora, strength=1.0)], tensors)

        def weight(module: str) -> Tensor:
            return tensors.read(f"{module}.weight")

        modules = over_base(lora.modules, weight) if form == "comfyui" else over_moved(lora.modules, weight)
        return replace(lora, modules=modules)


def _size(lora: LoraFile, dtype: torch.dtype | None) -> int:
    return sum(module.numbers * (dtype or module.dtype).itemsize for module in lora.modules.values())
