"""The state of a data set in numbers: what will be trained, what is missing, how the pictures fill the buckets."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from trainer_core.contracts.datafacts import Bucket
from trainer_core.dataset.buckets import filled_buckets
from trainer_core.dataset.filters import DatasetView

MEGAPIXELS = (0.25, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True, kw_only=True)
class Health:
    """Numbers of pictures, all of them over the whole data set.

    Attributes:
        usable: those that a training takes; ``images`` minus the ones with problems.
        shown: what an epoch shows, repeats counted.
        missing: usable ones without a caption, or with an empty one.
        small, cropped: too few pixels for a full bucket; more than a fifth cropped away.
        duplicates: pictures that have a twin or look-alike.
        mistakes: usable ones with a mistake in the XML of their caption.
        pending: not looked at yet; they are in no bucket so far.
        buckets: by width, then height. Only usable pictures of known size.
        sizes: pictures per class of size, up to each of `MEGAPIXELS` and above the last.
        smallest, middle, largest: megapixels; 0 where no size is known.
    """

    images: int
    usable: int
    shown: int
    missing: int
    small: int
    cropped: int
    duplicates: int
    mistakes: int
    pending: int
    buckets: tuple[Bucket, ...]
    sizes: tuple[int, ...]
    smallest: float
    middle: float
    largest: float


def health_of(view: DatasetView) -> Health:
    pictures = view.snapshot.pictures
    usable = [picture for picture in pictures if picture.usable]
    areas = [p.record.width * p.record.height / 1e6 for p in usable if p.record is not None and p.record.width]
    return Health(
        images=len(pictures),
        usable=len(usable),
        shown=sum(picture.repeats for picture in usable),
        missing=sum(picture.caption.state in ("missing", "empty") for picture in usable),
        small=sum(view.is_small(picture) for picture in usable),
        cropped=sum(view.is_cropped(picture) for picture in usable),
        duplicates=sum(len(group) for group in view.snapshot.groups),
        mistakes=sum(bool(picture.mistake) for picture in usable),
        pending=view.snapshot.pending,
        buckets=filled_buckets((place.bucket, p.repeats) for p in usable if (place := view.placed.get(p.relative))),
        sizes=_classes(areas),
        smallest=min(areas, default=0.0),
        middle=median(areas) if areas else 0.0,
        largest=max(areas, default=0.0),
    )


def _classes(areas: Sequence[float]) -> tuple[int, ...]:
    found = [sum(area > limit for limit in MEGAPIXELS) for area in areas]
    return tuple(found.count(place) for place in range(len(MEGAPIXELS) + 1))
