"""A data set as a forecast sees it: images by bucket, lengths of captions. Headers and .txt files are read."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.datafacts import DataFacts, tokens_of
from trainer_core.contracts.wording import and_more
from trainer_core.dataset.buckets import Assignment, BucketPlan, filled_buckets
from trainer_core.dataset.captions import CaptionRules, gemma_text
from trainer_core.dataset.holdout import divide, share_note
from trainer_core.dataset.scan import ImageItem, scan_dataset

# By side; a note names so many images at most.
_MUCH_ENLARGED = 4
_NAMED = 5


def read_facts(config: TrainConfig) -> DataFacts:
    """Of the data set that a config names. Raises UserError like a training's scan."""
    return facts_of(scan_dataset(Path(config.train_data_dir), strict=config.strict_data).items, config)


def facts_of(found: Sequence[ImageItem], config: TrainConfig) -> DataFacts:
    """Of images that were found already (at least one); what is held out for validation does not count.

    Raises UserError as `divide`.
    """
    division = divide(found, config)
    items = division.trained
    share = share_note(len(division.held_out), len(found), config.validation_split)
    places = placed(items, config)
    texts: set[str] = set()
    rules = CaptionRules.of(config)
    for item in items:
        texts |= {gemma_text(caption, *config.system_prompts) for caption in rules.made(item.caption)}
    tokens = [tokens_of(text) for text in texts]
    return DataFacts(
        buckets=filled_buckets((place.bucket, item.repeats) for item, place in places),
        captions=len(texts),
        longest_tokens=max(tokens),
        mean_tokens=sum(tokens) / len(tokens),
        notes=(*([share] if share else ()), *placing_notes(places)),
    )


def placed(items: Iterable[ImageItem], config: TrainConfig) -> list[tuple[ImageItem, Assignment]]:
    """Each image and where it goes."""
    plan = BucketPlan.from_config(config)
    return [(item, plan.assign(item.width, item.height)) for item in items]


def placing_notes(places: Sequence[tuple[ImageItem, Assignment]]) -> list[str]:
    """A sentence about all images that are cropped to less than half, and one about those that are enlarged a lot."""
    cropped = [item for item, place in places if place.crop_loss > 0.5]
    enlarged = [item for item, place in places if place.scale > _MUCH_ENLARGED]
    notes = []
    if cropped:
        notes.append(
            f"{len(cropped)} of {len(places)} images lose more than half of their area to cropping: {_names(cropped)}."
        )
    if enlarged:
        notes.append(
            f"{len(enlarged)} of {len(places)} images are enlarged more than {_MUCH_ENLARGED} times: "
            f"{_names(enlarged)}."
        )
    return notes


def _names(items: Sequence[ImageItem]) -> str:
    return and_more(items, _NAMED, lambda item: str(item.relative))
