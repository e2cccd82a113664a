"""LoRAs with strengths, applied to weights: what merging and generating share.

Every LoRA's change is taken from the base weight as it was, so their order does not matter:
W + sum of strength * (W' - W), in fp32.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from trainer_core.contracts.errors import UserError
from trainer_core.model.lora_files import read_lora
from trainer_core.model.lora_modules import LoraFile
from trainer_core.model.weights import TensorSource
from trainer_core.planning.lora_names import listing
from trainer_core.planning.merged_loras import merged_again

Tell = Callable[[str], None]
# Rows are independent of each other, so a few at a time keep the fp32 copies small.
_NUMBERS_AT_ONCE = 2**19
MERGEABLE = (torch.float64, torch.float32, torch.bfloat16, torch.float16)


@dataclass(frozen=True, kw_only=True)
class Adapter:
    """A LoRA and the strength it is to be applied with."""

    lora: LoraFile
    strength: float

    def on(self, device: torch.device) -> "Adapter":
        """The same with its tensors there."""
        modules = {name: module.on(device) for name, module in self.lora.modules.items()}
        return replace(self, lora=replace(self.lora, modules=modules))


def load_adapters(loras: Sequence[tuple[Path, float]], tell: Tell, transformer: Path) -> list[Adapter]:
    """Read every LoRA and tell its notes, and which of them the transformer says that it holds already.

    Raises UserError as `read_lora`, or `strength_invalid`.
    """
    for _, strength in loras:
        if not -100 <= strength <= 100:  # also true for NaN
            raise UserError("strength_invalid", f"Strength {strength} is not usable; allowed: -100 to 100.")
    adapters = []
    for path, strength in loras:
        lora = read_lora(path)
        for note in lora.notes:
            tell(note)
        adapters.append(Adapter(lora=lora, strength=strength))
    for sentence in merged_again(transformer, [(adapter.lora.path, adapter.strength) for adapter in adapters]):
        tell(sentence)
    return adapters


def require_fit(adapters: Sequence[Adapter], base: TensorSource) -> None:
    """Raises UserError `lora_mismatch` naming every module that the base lacks or has in another shape."""
    names = set(base.names())
    for adapter in adapters:
        modules = adapter.lora.modules
        wrong = [
            name
            for name, module in modules.items()
            if f"{name}.weight" not in names or base.shape(f"{name}.weight") != module.shape
        ]
        if wrong:
            raise UserError(
                "lora_mismatch",
                f"{adapter.lora.path} does not fit this base: {len(wrong)} of {len(modules)} modules are absent or "
                f"of another shape ({listing(wrong)}). Nothing was written.",
                ["Use the base model that the LoRA was trained on."],
            )


def applied(value: Tensor, name: str, adapters: Sequence[Adapter]) -> Tensor:
    """The base's tensor `name` with every LoRA of its module; in its own dtype, itself where there is none."""
    module = name.removesuffix(".weight")
    changes = [a for a in adapters if name.endswith(".weight") and module in a.lora.modules]
    if not changes:
        return value
    made = torch.empty_like(value)
    step = max(1, _NUMBERS_AT_ONCE // value.shape[1])
    for start in range(0, value.shape[0], step):
        rows = slice(start, start + step)
        weight = value[rows].float()
        total = weight.clone()
        for adapter in changes:
            total.add_(adapter.lora.modules[module].change(weight, rows), alpha=adapter.strength)
        made[rows] = total
    return made
