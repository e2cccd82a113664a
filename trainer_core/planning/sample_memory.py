"""How exactly a base is held while pictures are made outside a run, so that it fits into what a GPU has free.

By the training's own counts of memory: a run without an adapter that samples one picture.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from types import MappingProxyType

from trainer_core.contracts.base_part import BASE_PARTS
from trainer_core.contracts.config import parse_config
from trainer_core.planning.base import read_base
from trainer_core.planning.base_parts import BaseFolder
from trainer_core.planning.phases import GIB, Workload, gemma_phase, reserve_bytes, sampling_phase
from trainer_core.planning.presets import PLACEHOLDERS
from trainer_core.planning.shapes import matching
from trainer_core.planning.swapped import RING

_BITS = MappingProxyType({"no": 16, "int8": 8, "nf4": 4})


@dataclass(frozen=True, kw_only=True)
class BasePrecision:
    """gemma, transformer: "no", "int8" or "nf4", as `quantize_gemma` and `quantize_base`. swap: as `swap_blocks`."""

    gemma: str = "no"
    transformer: str = "no"
    swap: int = 0

    def sentence(self, free: int) -> str:
        """What is done for a GPU with `free` bytes free; empty where nothing is."""
        if self == BasePrecision():
            return ""
        room, gemma, other = f"{free / GIB:.1f}", _BITS[self.gemma], _BITS[self.transformer]
        if not self.swap:
            return (
                f"As the GPU has {room} GiB free, Gemma3 is held in {gemma} bits a number and the transformer in "
                f"{other}."
            )
        return (
            f"As the GPU has {room} GiB free, Gemma3 is held in {gemma} bits a number and the transformer in {other}, "
            f"{self.swap} of its blocks in main memory."
        )


def choose_precision(
    base: BaseFolder, size: tuple[int, int], tokens: int, *, lora_bytes: int, free: int, old_card: bool
) -> BasePrecision:
    """The most exact that fits into `free` bytes, or the smallest there is.

    size: width and height of the largest picture, pixels. tokens: of the longest prompt. lora_bytes: of the LoRAs in
    fp32, which lie beside a transformer that is not held exactly. old_card: see `vae_bytes`.
    """
    parts = {part.option: str(getattr(base, part.folder)) for part in BASE_PARTS}
    config = parse_config({**PLACEHOLDERS, **parts})
    sizes = read_base(config)
    work = Workload(micro_batch=(*size, 1), largest_picture=size, caption_tokens=tokens, sample_size=size)
    adapter = matching(sizes.transformer, ())

    def needed(kind: str, swap: int) -> int:
        held = replace(config, quantize_base=kind, swap_blocks=swap)
        phase = sampling_phase(held, sizes, adapter, work, cuda=True, old_card=old_card)
        return phase.bytes + (lora_bytes if kind != "no" else 0)

    def fits(size: int) -> bool:
        return size + reserve_bytes(size) <= free

    kinds = [kind for kind in _BITS if kind != "nf4" or find_spec("bitsandbytes")]
    gemma = next((kind for kind in kinds if fits(gemma_phase(sizes, tokens, texts=1, quantised=kind).bytes)), kinds[-1])
    ways = [*_transformers(sizes.transformer.n_layers)]
    transformer, swap = next((way for way in ways if fits(needed(*way))), ways[-1])
    return BasePrecision(gemma=gemma, transformer=transformer, swap=swap)


def _transformers(layers: int) -> Iterator[tuple[str, int]]:
    """Kinds and swapped blocks, the best first. Not 4 bits: swapped blocks of 8 take less of the GPU and are nearer."""
    yield from (("no", 0), ("int8", 0))
    # Fewer than a ring holds spare nothing.
    yield from (("int8", swap) for swap in range(RING + 1, layers + 1))
