"""Which images are held out for validation."""

from collections.abc import Sequence

from trainer_core.dataset.order import keyed_seed
from trainer_core.dataset.scan import ImageItem


def split(items: Sequence[ImageItem], share: float, seed: int) -> tuple[list[ImageItem], list[ImageItem]]:
    """(to train on, held out): the share's first of an order in which each image's place is a function of (seed, its
    path). Images that come later move only those at the border, and do not change the order of the others. With a share
    above 0 both sides get at least one image where there are two."""
    if share <= 0 or len(items) < 2:
        return list(items), []
    ranked = sorted(items, key=lambda item: keyed_seed(seed, "validation", str(item.relative)))
    count = min(max(1, round(share * len(items))), len(items) - 1)
    chosen = {item.relative for item in ranked[:count]}
    return (
        [item for item in items if item.relative not in chosen],
        [item for item in items if item.relative in chosen],
    )


def share_note(held_out: int, images: int, share: float) -> str:
    """A sentence where more than twice the share that was asked for is held out; else ""."""
    if held_out <= 2 * share * images:
        return ""
    return (
        f"validation_split = {share:g} holds out {held_out / images:.0%} of these {images} images: at least one is "
        "always held out."
    )
