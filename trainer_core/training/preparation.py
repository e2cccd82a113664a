"""From a data set to everything the loop reads: scan, hold out, buckets, encoded features, all checked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.phase_names import Report
from trainer_core.dataset.captions import spaced
from trainer_core.dataset.facts import placed, placing_notes
from trainer_core.dataset.holdout import divide, share_note
from trainer_core.dataset.scan import ImageItem, Scan, none_readable, refused_by_strict_data, scan_dataset
from trainer_core.model.folder import BaseFolder
from trainer_core.planning.data_advice import unmeasured
from trainer_core.training.cache import FeatureCache, MemoryCache, cache_root, key_of, part_id
from trainer_core.training.distributed import World
from trainer_core.training.features import FeatureStore, Sample
from trainer_core.training.steps import Schedule
from trainer_core.training.stopping import StopRequested, StopSignal


@dataclass(frozen=True, kw_only=True)
class PreparedData:
    """What training needs of the data.

    The hashes identify the data set and the transformer's files; `base_id` the encoders' as well: a run that goes on
    with another VAE would learn another thing.
    """

    samples: list[Sample]
    validation: list[Sample]
    store: FeatureStore
    schedule: Schedule
    base_hash: str
    base_id: str
    data_hash: str


class Preparation:
    """Prepares a run; with several processes each encodes its share of what is missing.

    `accept` hears the `base_id` before anything is encoded with that base, and may raise.
    """

    def __init__(  # noqa: PLR0913 - the parts of a run, by name
        self,
        config: TrainConfig,
        base: BaseFolder,
        world: World,
        *,
        stop: StopSignal,
        report: Report,
        warn: Callable[[str], None],
        accept: Callable[[str], None] = lambda base_id: None,
    ) -> None:
        self._config = config
        self._base = base
        self._world = world
        self._stop = stop
        self._report = report
        self._warn = warn
        self._accept = accept

    def go(self) -> PreparedData:
        """Raises UserError for data that cannot be used, StopRequested (in every process) when asked to stop."""
        config = self._config
        for prompt in dict.fromkeys(config.system_prompts):
            if spaced(prompt) != prompt:
                self._warn(
                    f"This system prompt does not end in a space, as the base was trained with; one is added: {prompt}"
                )
        if note := unmeasured(config):
            self._warn(note)
        trained, held_out = self._items()
        share = self._world.share if config.use_cache else (0, 1)
        with self._world.local_main_first():
            store = FeatureStore(
                config, self._base, self._cache(), self._world.accelerator.device, share, warn=self._warn
            )
            samples, captions = store.plan(trained, vary=True)
            validation, plain = store.plan(held_out, vary=False)
            base_hash = part_id(self._base.transformer, store.cache.index)
            store.cache.index.save()
        e = store.encoding
        base_id = key_of(transformer=base_hash, vae=e.vae, gemma=e.gemma, jina=e.jina)
        self._accept(base_id)
        prompts = [*config.sample_prompts, config.sample_negative_prompt]
        self._encode(store, [*captions, *plain], prompts, [*samples, *validation])
        for caption in store.cut_captions([*captions, *plain], prompts):
            self._warn(f"caption {caption}…")
        readable = store.cache.keys("latents")
        samples, validation = (
            [sample for sample in group if sample.latents in readable] for group in (samples, validation)
        )
        if not samples:
            raise none_readable(Path(config.train_data_dir))
        data = [[str(s.item.relative), s.image_hash, s.item.caption, s.item.repeats, s.bucket] for s in samples]
        data_hash = key_of(data=data)
        if len(set(self._world.gather(data_hash))) > 1:
            raise UserError(
                "data_differ",
                f"The processes of this run see different images in {config.train_data_dir}.",
                ["Every machine needs the same data set under the same path, and nobody may change it meanwhile."],
            )
        schedule = Schedule(config, samples, self._world.size)
        return PreparedData(
            samples=samples,
            validation=validation,
            store=store,
            schedule=schedule,
            base_hash=base_hash,
            base_id=base_id,
            data_hash=data_hash,
        )

    def _cache(self) -> FeatureCache | MemoryCache:
        root = cache_root(self._config)
        return MemoryCache() if root is None else FeatureCache(root)

    def _items(self) -> tuple[Sequence[ImageItem], Sequence[ImageItem]]:
        """The images to train on and those to validate with."""
        config = self._config
        found = self._scanned("train_data_dir").items
        division = divide(found, config)
        if division.held_out:
            self._warn(f"{len(division.held_out)} of {len(found)} images are held out for validation, not trained on.")
        if division.copies:
            self._warn(
                f"{division.copies} of {len(found)} images are not trained on: the same files are held out for "
                "validation."
            )
        if config.validation_data_dir:
            return division.trained, self._scanned("validation_data_dir").items
        if note := share_note(len(division.held_out), len(found), config.validation_split):
            self._warn(note)
        return division.trained, division.held_out

    def _scanned(self, option: str) -> Scan:
        folder = Path(getattr(self._config, option))
        scan = scan_dataset(folder, strict=self._config.strict_data, option=option)
        for message in [
            *(problem.message for problem in scan.problems),
            *placing_notes(placed(scan.items, self._config)),
        ]:
            self._warn(message)
        return scan

    def _encode(
        self, store: FeatureStore, captions: Sequence[str], prompts: Sequence[str], samples: Sequence[Sample]
    ) -> None:
        broken: list[str] = []
        try:
            store.encode_texts(captions, prompts, self._report)
            broken = [problem.message for problem in store.encode_images(samples, self._report)]
        except StopRequested:
            # Said below, where the other processes hear of it.
            pass
        if any(self._world.any([self._stop.wanted()])):
            raise StopRequested
        broken = sorted({message for part in self._world.gather(broken) for message in part})
        if broken and self._config.strict_data:
            raise refused_by_strict_data(broken)
        for message in broken:
            self._warn(f"left out: {message}")
