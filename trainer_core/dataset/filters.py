"""Choosing pictures of a data set: by what is wrong with them, a tag, or a text in name or caption."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from trainer_core.contracts.errors import UserError
from trainer_core.dataset.buckets import SLIGHT_ENLARGEMENT, Assignment, BucketPlan
from trainer_core.dataset.dataset_index import Picture, Snapshot

Show = Literal["all", "no_caption", "small", "cropped", "duplicates", "xml", "problems"]
HEAVY_CROP = 0.2
PAGE = 60


@dataclass(frozen=True, kw_only=True)
class Filter:
    """All conditions hold together.

    Attributes:
        show: one group of pictures.
        folder: only this folder, as `Picture.folder`; ``None`` = all.
        tag: part of a tag, in any case.
        search: part of file name or caption, in any case.
    """

    show: Show = "all"
    folder: str | None = None
    tag: str = ""
    search: str = ""


@dataclass(frozen=True, kw_only=True)
class DatasetView:
    """A data set seen through bucket settings."""

    snapshot: Snapshot
    plan: BucketPlan
    placed: Mapping[str, Assignment]

    def is_small(self, picture: Picture) -> bool:
        """Too few pixels for a bucket of full size, by more than a little."""
        placed = self.placed.get(picture.relative)
        return placed is not None and (placed.scale > SLIGHT_ENLARGEMENT or placed.bucket not in self.plan.buckets)

    def is_cropped(self, picture: Picture) -> bool:
        """Loses more than a fifth of its area to its bucket's shape."""
        placed = self.placed.get(picture.relative)
        return placed is not None and placed.crop_loss > HEAVY_CROP


def view_of(snapshot: Snapshot, plan: BucketPlan) -> DatasetView:
    return DatasetView(snapshot=snapshot, plan=plan, placed=MappingProxyType(snapshot.placed(plan)))


def checked_show(value: str) -> Show:
    """Raises UserError `filter_unknown`."""
    for known in get_args(Show):
        if known == value:
            return known
    raise UserError("filter_unknown", f"There is no filter named {value!r}; known are {', '.join(get_args(Show))}.")


def select(view: DatasetView, wanted: Filter) -> tuple[Picture, ...]:
    """Matching pictures by path; duplicates group by group."""
    conditions = [_SHOWS[wanted.show](view)]
    if wanted.folder is not None:
        conditions.append(lambda picture: picture.folder == wanted.folder)
    if tag := wanted.tag.strip().casefold():
        conditions.append(lambda picture: any(tag in own.casefold() for own in picture.tags))
    if text := wanted.search.strip().casefold():
        conditions.append(lambda p: text in p.relative.casefold() or text in p.caption.text.casefold())
    return tuple(p for p in _ordered(view, wanted.show) if all(holds(p) for holds in conditions))


def page_of(pictures: tuple[Picture, ...], number: int) -> tuple[int, int, tuple[Picture, ...]]:
    """(page, pages, its pictures); pages count from 1, a number beyond them becomes the nearest."""
    pages = max(1, -(-len(pictures) // PAGE))
    number = min(max(1, number), pages)
    return number, pages, pictures[(number - 1) * PAGE : number * PAGE]


def _ordered(view: DatasetView, show: Show) -> tuple[Picture, ...]:
    if show != "duplicates":
        return view.snapshot.pictures
    return tuple(view.snapshot.by_path[name] for group in view.snapshot.groups for name in group)


Condition = Callable[[Picture], bool]

_SHOWS: Mapping[Show, Callable[[DatasetView], Condition]] = MappingProxyType(
    {
        "all": lambda view: lambda picture: True,
        "no_caption": lambda view: lambda picture: picture.caption.state in ("missing", "empty"),
        "small": lambda view: view.is_small,
        "cropped": lambda view: view.is_cropped,
        "duplicates": lambda view: lambda picture: True,
        "xml": lambda view: lambda picture: bool(picture.mistake),
        "problems": lambda view: lambda picture: not picture.usable,
    }
)
