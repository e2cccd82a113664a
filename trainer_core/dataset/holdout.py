"""Which images are held out for validation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import sha256_file
from trainer_core.dataset.finding import find_images
from trainer_core.dataset.order import keyed_seed
from trainer_core.dataset.scan import ImageItem


@dataclass(frozen=True, kw_only=True)
class Division:
    """The images of train_data_dir.

    Attributes:
        held_out: those that validation_split takes.
        copies: how many more are not trained on, because a file with the same bytes is held out.
    """

    trained: Sequence[ImageItem]
    held_out: Sequence[ImageItem]
    copies: int


def divide(items: Sequence[ImageItem], config: TrainConfig) -> Division:
    """Training, forecast and check all ask here which of the images that were found are trained on.

    Raises UserError `dataset_empty` where none is left.
    """
    trained, held_out = split(items, config.validation_split, config.seed)
    files = [item.path for item in held_out]
    if config.validation_data_dir:
        files = [found.path for found in find_images(Path(config.validation_data_dir)).pictures]
    kept = _without_copies(trained, files)
    if trained and not kept:
        raise UserError(
            "dataset_empty",
            f"Every image in {config.train_data_dir} is held out for validation as well; none is left to train on.",
            ["Hold out other images, or leave validation_data_dir empty and set validation_split."],
        )
    return Division(trained=kept, held_out=held_out, copies=len(trained) - len(kept))


def _without_copies(items: Sequence[ImageItem], files: Iterable[Path]) -> Sequence[ImageItem]:
    """Those whose bytes are not a file's. Only files of the same size are read."""
    sizes = {item.path: _size(item.path) for item in items}
    held_out = [(file, _size(file)) for file in files]
    alike = {size for _, size in held_out} & set(sizes.values())
    # The held-out folder may lie among the items.
    hash_of = cache(_hash)
    hashes = {hash_of(file) for file, size in held_out if size in alike}
    return [item for item in items if sizes[item.path] not in alike or hash_of(item.path) not in hashes]


def _size(file: Path) -> int:
    """Bytes; -1 of a file that is gone, which is found when it is read."""
    try:
        return file.stat().st_size
    except OSError:
        return -1


def _hash(file: Path) -> str:
    try:
        return sha256_file(file)
    except OSError:
        # As good as any other name: like nothing else.
        return str(file)


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
    """A sentence where nothing of the share that was asked for is held out, or more than twice of it; else ""."""
    if share > 0 and not held_out:
        return (
            f"validation_split = {share:g} holds nothing out of a single image: no validation loss is measured. Add "
            "images, or set validation_data_dir."
        )
    if held_out <= 2 * share * images:
        return ""
    return (
        f"validation_split = {share:g} holds out {held_out / images:.0%} of these {images} images: at least one is "
        "always held out."
    )
