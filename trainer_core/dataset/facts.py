"""A data set as a forecast sees it: images by bucket, lengths of captions. Headers and .txt files are read."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.datafacts import Bucket, DataFacts, tokens_of
from trainer_core.dataset.buckets import BucketPlan
from trainer_core.dataset.captions import gemma_text, variants
from trainer_core.dataset.holdout import divide, share_note
from trainer_core.dataset.scan import ImageItem, scan_dataset


def read_facts(config: TrainConfig) -> DataFacts:
    """Of the data set that a config names. Raises UserError like a training's scan."""
    return facts_of(scan_dataset(Path(config.train_data_dir), strict=config.strict_data).items, config)


def facts_of(found: Sequence[ImageItem], config: TrainConfig) -> DataFacts:
    """Of images that were found already (at least one); what is held out for validation does not count.

    Raises UserError as `divide`.
    """
    division = divide(found, config)
    items = division.trained
    note = share_note(len(division.held_out), len(found), config.validation_split)
    plan = BucketPlan.from_config(config)
    images: Counter[tuple[int, int]] = Counter()
    shown: Counter[tuple[int, int]] = Counter()
    texts: set[str] = set()
    for item in items:
        bucket = plan.assign(item.width, item.height).bucket
        images[bucket] += 1
        shown[bucket] += item.repeats
        made = variants(
            item.caption,
            config.caption_variants,
            keep_tokens=config.keep_tokens,
            seed=config.seed,
            shuffle=config.shuffle_caption,
        )
        texts |= {gemma_text(caption, *config.system_prompts) for caption in made}
    tokens = [tokens_of(text) for text in texts]
    return DataFacts(
        buckets=tuple(
            Bucket(width=size[0], height=size[1], images=images[size], shown=shown[size]) for size in sorted(images)
        ),
        captions=len(texts),
        longest_tokens=max(tokens),
        mean_tokens=sum(tokens) / len(tokens),
        notes=(note,) if note else (),
    )
