"""From pictures and captions to features in a store: only what is missing is encoded, one encoder at a time.

On a CPU one item is encoded at a time; on a GPU fixed batches of the sorted work list, and a batch with a gap is
redone whole. So a caching run that was killed and repeated gives the same bits as one that was not, as long as memory
suffices for a batch.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.phase_names import (
    ENCODING_GEMMA,
    ENCODING_IMAGES,
    ENCODING_JINA,
    LOADING_GEMMA,
    LOADING_JINA,
    LOADING_VAE,
    Report,
)
from trainer_core.dataset.buckets import BucketPlan
from trainer_core.dataset.captions import CaptionRules, gemma_text
from trainer_core.dataset.images import ImageProblem, crop_to, load_rgb
from trainer_core.dataset.scan import ImageItem
from trainer_core.model.folder import BaseFolder, transformer_dimensions
from trainer_core.model.gemma import load_gemma
from trainer_core.model.jina import load_jina
from trainer_core.model.vae import image_to_tensor, load_vae, vae_dtype
from trainer_core.planning.phases import GPU_TEXT_BATCH, gpu_image_batch
from trainer_core.training.cache import FeatureCache, MemoryCache, key_of, part_id
from trainer_core.training.encode_fallback import FallbackEncoder, Item, Result
from trainer_core.training.loading import Prefetcher
from trainer_core.training.memory import release_memory
from trainer_core.training.sampling import TextFeatures

# Threads that decode pictures ahead of the encoder. Each may hold one of 64 megapixels, a quarter of a gigabyte.
DECODERS = min(4, os.cpu_count() or 1)

Cache = FeatureCache | MemoryCache


@dataclass(frozen=True, kw_only=True)
class Sample:
    """One trainable image: where its features lie. `texts` = (Gemma key, Jina key) of each caption variant."""

    item: ImageItem
    image_hash: str
    bucket: tuple[int, int]
    latents: str
    texts: tuple[tuple[str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Encoding:
    """What decides the encoders' output: dtypes, device, token limits and the files' identities.

    A quantised Gemma is another encoder, and so has another identity.
    """

    device: torch.device
    dtype: torch.dtype
    vae_dtype: torch.dtype
    vae: str
    gemma: str
    jina: str


def describe_encoding(base: BaseFolder, cache: Cache, device: torch.device, quantised: str) -> Encoding:
    """Hash the encoders' files (remembered by size and time). The text encoders' dtype: bf16 on GPUs, else fp32."""
    dtype = torch.bfloat16 if device.type == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    ids = [part_id(folder, cache.index) for folder in (base.vae, base.text_encoder, base.clip_model)]
    cache.index.save()
    gemma = ids[1] if quantised == "no" else f"{ids[1]}-{quantised}"
    return Encoding(
        device=device, dtype=dtype, vae_dtype=vae_dtype(device), vae=ids[0], gemma=gemma, jina=ids[2]
    )  # fmt: skip


class FeatureStore:
    """Keys, encodes and reads the features of one run.

    `share` = (place, count): of the batches to be encoded this process does every count-th, beginning with place.
    `warn` hears what becomes of a batch that memory does not suffice for.
    """

    def __init__(
        self,
        config: TrainConfig,
        base: BaseFolder,
        cache: Cache,
        device: torch.device,
        share: tuple[int, int] = (0, 1),
        *,
        warn: Callable[[str], None] = lambda sentence: None,
    ) -> None:
        self._config = config
        self._warn = warn
        self._base = base
        self.cache = cache
        self._share = share
        self.encoding = describe_encoding(base, cache, device, config.quantize_gemma)

    # Keys

    def gemma_key(self, text: str) -> str:
        """`text` is what Gemma reads, system prompt included."""
        e = self.encoding
        return key_of(gemma=e.gemma, dtype=str(e.dtype), text=text, limit=self._config.max_gemma_tokens)

    def jina_key(self, text: str) -> str:
        e = self.encoding
        return key_of(jina=e.jina, dtype=str(e.dtype), text=text, limit=self._config.max_jina_tokens)

    def latents_key(self, image_hash: str, bucket: tuple[int, int], *, converted: bool = False) -> str:
        """`converted`: whether its profile changes its colours; latents made before profiles were followed are kept
        for all other images."""
        e = self.encoding
        colours = {"colours": "srgb"} if converted else {}
        crop = "cover-centre-lanczos"
        return key_of(vae=e.vae, dtype=str(e.vae_dtype), image=image_hash, bucket=bucket, crop=crop, **colours)

    # Reading

    def latents(self, sample: Sample) -> Tensor:
        """[C, H/8, W/8] fp32."""
        return self.cache.get("latents", sample.latents)["latents"]

    def text(self, gemma_key: str, jina_key: str) -> TextFeatures:
        return TextFeatures(
            cap_feats=self.cache.get("gemma", gemma_key)["cap_feats"],
            pooled=self.cache.get("jina", jina_key)["pooled"],
        )

    def prompt(self, text: str) -> TextFeatures:
        """A sample prompt as the base expects it; an empty one blanks both encoders."""
        return self.text(self.gemma_key(self._gemma_text(text)), self.jina_key(text))

    def _gemma_text(self, caption: str) -> str:
        return self.training_text(caption) if caption.strip() else ""

    # Making

    def plan(self, items: Sequence[ImageItem], *, vary: bool) -> tuple[list[Sample], list[str]]:
        """Samples of the items, and every caption that may be asked for; without `vary` each as it is written."""
        plan, rules = BucketPlan.from_config(self._config), CaptionRules.of(self._config)
        samples: list[Sample] = []
        captions: list[str] = []
        for item in items:
            try:
                image_hash = self._hash_of(item.path)
            except ImageProblem as problem:
                raise UserError(
                    "dataset_changed",
                    f"The data set changed while it was read: {problem.message}",
                    ["Start the run again when nobody works on the pictures."],
                ) from problem
            bucket = plan.assign(item.width, item.height).bucket
            texts = rules.made(item.caption) if vary else rules.written(item.caption)[:1]
            captions += texts
            samples.append(
                Sample(
                    item=item,
                    image_hash=image_hash,
                    bucket=bucket,
                    latents=self.latents_key(image_hash, bucket, converted=item.converted),
                    texts=tuple((self.gemma_key(self.training_text(t)), self.jina_key(t)) for t in texts),
                )
            )
        self.cache.index.save()
        return samples, captions

    def training_text(self, caption: str) -> str:
        """What Gemma reads in training: an empty caption file still gets the system prompt."""
        return gemma_text(caption, *self._config.system_prompts)

    def encode_texts(self, captions: Iterable[str], prompts: Iterable[str], report: Report) -> None:
        """Encode what is missing for training captions and sample prompts; one encoder in memory at a time."""
        trained, shown = set(captions), {*prompts, ""}
        read = {self.training_text(text): text for text in trained}
        asked = {self._gemma_text(text): text for text in shown}
        # Prompts have batches of their own: another prompt must not shift the batches that captions are made in.
        self._encode_gemma([sorted(read), sorted(asked.keys() - read)], report)
        self._encode_jina([sorted(trained), sorted(shown - trained)], report)

    def cut_captions(self, captions: Iterable[str], prompts: Iterable[str]) -> list[str]:
        """A sentence for each caption or prompt that a token limit cut, known once all are encoded."""
        trained, shown = set(captions), {*prompts, ""}
        read = {self.training_text(text): text for text in sorted(trained)}
        asked = {self._gemma_text(text): text for text in sorted(shown)}
        limits = self._config.max_gemma_tokens, self._config.max_jina_tokens
        cut = self.cache.keys("cut")
        if not cut:
            return []
        return [
            f"cut at {limits[0]} tokens for Gemma: {text[:100]}"
            for full, text in (read | asked).items()
            if self.gemma_key(full) in cut
        ] + [
            f"cut at {limits[1]} tokens for Jina: {text[:100]}"
            for text in sorted(trained | shown)
            if self.jina_key(text) in cut
        ]

    def _encode_gemma(self, groups: Sequence[list[str]], report: Report) -> None:
        there = self.cache.keys("gemma")
        if batches := self._to_do(self._text_batches(groups), lambda text: self.gemma_key(text) in there):
            self._make_gemma(batches, report)
            release_memory()

    def _make_gemma(self, batches: Sequence[list[str]], report: Report) -> None:
        report(LOADING_GEMMA, 0, len(batches))
        encoder = load_gemma(
            self._base.text_encoder,
            dtype=self.encoding.dtype,
            device=self.encoding.device,
            quantise=self._config.quantize_gemma,
        )
        self._require_width("Gemma3", self._base.text_encoder, encoder.model.config.hidden_size, "cap_feat_dim")
        encode = partial(encoder.encode, max_tokens=self._config.max_gemma_tokens)
        for texts, features in self._encoded(ENCODING_GEMMA, batches, len(batches), encode, report):
            for i, text in enumerate(texts):
                key, length = self.gemma_key(text), int(features.mask[i].sum())
                self._note_cut(key, features.truncated[i])
                self.cache.put("gemma", key, {"cap_feats": features.hidden[i, :length]})

    def _encoded(
        self,
        phase: str,
        batches: Iterable[list[Item]],
        count: int,
        encode: Callable[[list[Item]], Result],
        report: Report,
    ) -> Iterator[tuple[list[Item], Result]]:
        """Each batch, or where memory does not suffice each part of it, with what `encode` makes of it."""

        def shrunk(size: int) -> None:
            self._warn(f"The GPU ran out of memory while {phase}, {size} at a time; it goes on one at a time.")

        fitting = FallbackEncoder(encode, shrunk)
        for done, batch in enumerate(batches):
            report(phase, done, count)
            yield from fitting(batch)

    def _note_cut(self, key: str, cut: bool) -> None:
        """Remembered beside the features (and before them), so that a later run names the caption again."""
        if cut:
            self.cache.put("cut", key, {"cut": torch.tensor(True)})

    def _text_batches(self, groups: Sequence[list[str]]) -> list[list[str]]:
        return [batch for texts in groups for batch in self._batches(texts, GPU_TEXT_BATCH)]

    def _encode_jina(self, groups: Sequence[list[str]], report: Report) -> None:
        there = self.cache.keys("jina")
        if batches := self._to_do(self._text_batches(groups), lambda text: self.jina_key(text) in there):
            self._make_jina(batches, report)
            release_memory()

    def _make_jina(self, batches: Sequence[list[str]], report: Report) -> None:
        report(LOADING_JINA, 0, len(batches))
        encoder = load_jina(self._base.clip_model, dtype=self.encoding.dtype, device=self.encoding.device)
        self._require_width("Jina CLIP", self._base.clip_model, encoder.model.config.hidden_size, "clip_text_dim")
        encode = partial(encoder.encode, max_tokens=self._config.max_jina_tokens)
        for texts, features in self._encoded(ENCODING_JINA, batches, len(batches), encode, report):
            for i, text in enumerate(texts):
                self._note_cut(self.jina_key(text), features.truncated[i])
                self.cache.put("jina", self.jina_key(text), {"pooled": features.pooled[i]})

    def encode_images(self, samples: Sequence[Sample], report: Report) -> list[ImageProblem]:
        """Encode missing latents; images that cannot be decoded are returned, not replaced."""
        unique = {sample.latents: sample for sample in samples}
        by_bucket: dict[tuple[int, int], list[str]] = {}
        for key in sorted(unique):
            by_bucket.setdefault(unique[key].bucket, []).append(key)
        fixed = [
            batch
            for bucket in sorted(by_bucket)
            for batch in self._batches(by_bucket[bucket], gpu_image_batch(*bucket, self.encoding.vae_dtype.itemsize))
        ]
        batches = self._to_do(fixed, self.cache.keys("latents").__contains__)
        if not batches:
            return []
        problems = self._make_latents([[unique[key] for key in batch] for batch in batches], report)
        release_memory()
        return problems

    def _make_latents(self, batches: Sequence[list[Sample]], report: Report) -> list[ImageProblem]:
        report(LOADING_VAE, 0, len(batches))
        codec = load_vae(self._base.vae, dtype=self.encoding.vae_dtype, device=self.encoding.device)
        self._require_width("VAE", self._base.vae, codec.channels, "in_channels")
        pictures = Prefetcher(
            lambda place: self._pictures(batches[place]),
            lambda place: iter(range(place + 1, len(batches))),
            DECODERS,
        )
        problems: list[ImageProblem] = []

        def loaded() -> Iterator[list[tuple[str, Tensor]]]:
            for place in range(len(batches)):
                pixels, broken = pictures.get(place)
                problems.extend(broken)
                yield [*pixels.items()]

        def encode(some: list[tuple[str, Tensor]]) -> Tensor | tuple[()]:
            return codec.encode(torch.stack([pixels for _, pixels in some])) if some else ()

        with closing(pictures):
            for some, encoded in self._encoded(ENCODING_IMAGES, loaded(), len(batches), encode, report):
                for (key, _), latents in zip(some, encoded, strict=True):
                    self.cache.put("latents", key, {"latents": latents})
        return problems

    def _pictures(self, samples: Sequence[Sample]) -> tuple[dict[str, Tensor], list[ImageProblem]]:
        """One batch's pixels by key, and what is wrong with the others; runs in a thread."""
        pixels: dict[str, Tensor] = {}
        problems = []
        for sample in samples:
            try:
                pixels[sample.latents] = self._pixels(sample)
            except ImageProblem as problem:
                problems.append(problem)
        return pixels, problems

    def _pixels(self, sample: Sample) -> Tensor:
        """As `to_pixels`, of the very bytes that the sample's key was made from. Raises ImageProblem."""
        path = sample.item.path
        pixels = to_pixels(path, sample.bucket)
        # After reading: another picture's latents must never lie under this one's key.
        if self._hash_of(path) != sample.image_hash:
            raise ImageProblem("changed", path, "was replaced while the run was getting ready")
        return pixels

    def _hash_of(self, path: Path) -> str:
        """Raises ImageProblem for a file that is gone since the folder was read."""
        try:
            return self.cache.index.hash_of(path)
        except OSError as error:
            raise ImageProblem("changed", path, f"cannot be opened ({error})") from error

    def _batches(self, work: Sequence[str], gpu_batch: int) -> list[list[str]]:
        return fixed_batches(work, 1 if self.encoding.device.type == "cpu" else gpu_batch)

    def _to_do(self, batches: Sequence[list[str]], done: Callable[[str], bool]) -> list[list[str]]:
        place, count = self._share
        return with_gaps(batches[place::count], done)

    def _require_width(self, what: str, path: Path, width: int, wanted: str) -> None:
        """Raises UserError `wrong_model` before hours of encoding with an encoder of another model."""
        expected = getattr(transformer_dimensions(self._base.transformer), wanted)
        if width != expected:
            raise UserError(
                "wrong_model",
                f"{path}: this {what} gives features of width {width}; the transformer expects {expected} ({wanted}).",
                ["Use the encoders and the VAE that belong to this transformer."],
            )


def fixed_batches(work: Sequence[str], size: int) -> list[list[str]]:
    """The work list in batches that depend on nothing else."""
    return [list(work[i : i + size]) for i in range(0, len(work), size)]


def with_gaps(batches: Sequence[list[str]], done: Callable[[str], bool]) -> list[list[str]]:
    """Those batches that are not wholly done: where one entry is missing its whole batch is redone, because its
    neighbours in a batch may change the last bits of an entry."""
    return [batch for batch in batches if not all(done(entry) for entry in batch)]


def to_pixels(file: Path, bucket: tuple[int, int]) -> Tensor:
    """[3, H, W] in [-1, 1], resized and cropped to the bucket. Raises ImageProblem."""
    return image_to_tensor(crop_to(load_rgb(file), bucket))
