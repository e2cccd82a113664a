"""Pictures from a base and any number of LoRAs, outside a run, for `sample`, the job `try`, the demo and the exam."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from trainer_core.contracts.errors import UserError, is_gpu_memory, system_problem
from trainer_core.contracts.phase_names import Report
from trainer_core.contracts.text_settings import TextSettings
from trainer_core.dataset.captions import gemma_text
from trainer_core.model.attention import before_ampere
from trainer_core.model.folder import BaseFolder, find_base, load_transformer
from trainer_core.model.gemma import load_gemma
from trainer_core.model.jina import load_jina
from trainer_core.model.layouts import open_transformer
from trainer_core.model.nextdit import NextDiT
from trainer_core.model.quantised import QuantisedLinear
from trainer_core.model.vae import load_vae, vae_dtype
from trainer_core.model.weights import TensorSource
from trainer_core.planning.sample_memory import BasePrecision, choose_precision
from trainer_core.tools.lora_stack import Adapter, Tell, applied, load_adapters, require_fit
from trainer_core.tools.lora_text import text_settings
from trainer_core.training.memory import release_memory
from trainer_core.training.sampling import SampleSettings, TextFeatures, decode, sample_latents


@dataclass(frozen=True, kw_only=True)
class PictureRequest:
    """One picture: how it is made, and what every LoRA's own strength is multiplied by (0: the base alone)."""

    settings: SampleSettings
    strength: float = 1.0


def generate(
    base_path: Path,
    loras: Sequence[tuple[Path, float]],
    requests: Sequence[PictureRequest],
    *,
    device: torch.device,
    generated: Callable[[int, PictureRequest, Image.Image], None],
    tell: Tell = lambda sentence: None,
    report: Report = lambda phase, done, total: None,
    text: Mapping[str, Any] | None = None,
) -> None:
    """Make the requested pictures in their order; the base is loaded once, whatever strengths they have.

    Prompts are read as the LoRAs' training read captions, but for what `text` sets by field of `TextSettings`; the
    request that `generated` gets beside its place and the picture says how.
    LoRAs are read first, then encoders are loaded, used and dropped before the transformer is read. A change of
    strength rereads the weights that LoRAs change, so no second copy of them is held. Where a GPU has too little memory
    free the base is held in fewer bits, which is told. Raises UserError as loading does, and `gpu_memory_full`.
    """
    base = find_base(base_path)
    adapters = load_adapters(loras, tell, base.transformer)
    read = replace(text_settings(adapters, tell), **(text or {}))
    requests = [replace(request, settings=replace(request.settings, text=read)) for request in requests]
    with open_transformer(base.transformer) as source, _want_of_memory():
        require_fit(adapters, source)
        place = _place(base, requests, adapters, read, device=device, tell=tell)
        report("reading prompts", 0, 1)
        prompts = {text for request in requests for text in (request.settings.prompt, request.settings.negative_prompt)}
        texts = _encode(base, prompts, read, place, tell)
        release_memory()
        report("loading the base", 0, 1)
        model = load_transformer(
            base.transformer, dtype=place.dtype, device=device, quantise=place.precision.transformer,
            swap=place.precision.swap, warn=tell,
        ).eval()  # fmt: skip
        codec = load_vae(base.vae, dtype=vae_dtype(device), device=device)
        if place.precision.transformer != "no":
            # Their changes are made anew for each use of a weight.
            adapters = [adapter.on(device) for adapter in adapters]
        steps = _Steps(report, sum(request.settings.steps for request in requests))
        strength = 0.0
        for index, request in enumerate(requests):
            if request.strength != strength:
                strength = request.strength
                _apply([replace(a, strength=a.strength * strength) for a in adapters], model, source)
            conditions = (texts[request.settings.prompt], texts[request.settings.negative_prompt])
            latents = sample_latents(model, request.settings, conditions, dtype=place.dtype, interrupted=steps)
            assert latents is not None
            generated(index, request, decode(codec, latents))


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where and in which format it is computed, and how the base is held there."""

    device: torch.device
    dtype: torch.dtype
    precision: BasePrecision


def _place(
    base: BaseFolder,
    requests: Sequence[PictureRequest],
    adapters: Sequence[Adapter],
    read: TextSettings,
    *,
    device: torch.device,
    tell: Tell,
) -> _Place:
    """On a GPU the base is held as its free memory asks for, which is told."""
    if device.type == "cpu":
        return _Place(device=device, dtype=torch.float32, precision=BasePrecision())
    free, _ = torch.cuda.mem_get_info(device)
    largest = max((request.settings for request in requests), key=lambda settings: settings.width * settings.height)
    precision = choose_precision(
        base, (largest.width, largest.height), read.max_gemma_tokens,
        lora_bytes=4 * sum(module.numbers for adapter in adapters for module in adapter.lora.modules.values()),
        free=free, old_card=before_ampere(device),
    )  # fmt: skip
    if sentence := precision.sentence(free):
        tell(sentence)
    return _Place(device=device, dtype=torch.bfloat16, precision=precision)


@contextmanager
def _want_of_memory() -> Iterator[None]:
    """Turns want of a GPU's memory into a UserError `gpu_memory_full`."""
    try:
        yield
    except RuntimeError as error:
        problem = system_problem(error)
        if problem is None or not is_gpu_memory(error):
            raise
        raise UserError(problem.code, problem.message, ["Make smaller pictures.", *problem.hints]) from error


@dataclass
class _Steps:
    """Counts Euler steps: called before each one. Never ends the sampling itself; `report` may, by raising."""

    report: Report
    total: int
    done: int = 0

    def __call__(self) -> bool:
        self.report("painting", self.done, self.total)
        self.done += 1
        return False


@torch.no_grad()
def _apply(adapters: Sequence[Adapter], model: NextDiT, source: TensorSource) -> None:
    """Put the base's weights, with the LoRAs in them, into the model; beside those that it holds in fewer bits."""
    for name in {name for adapter in adapters for name in adapter.lora.modules}:
        layer, key = model.get_submodule(name), f"{name}.weight"
        if isinstance(layer, QuantisedLinear):
            layer.changed = partial(applied, name=key, adapters=adapters)
            continue
        assert isinstance(layer.weight, torch.Tensor)
        stored = source.read(key).to(device=layer.weight.device, dtype=layer.weight.dtype)
        layer.weight.copy_(applied(stored, key, adapters))


def _encode(
    base: BaseFolder, texts: set[str], read: TextSettings, place: _Place, tell: Tell
) -> dict[str, TextFeatures]:
    """The features of each text; `tell` hears of those that a token limit cuts."""
    ordered = sorted(texts)
    gemma = load_gemma(base.text_encoder, dtype=place.dtype, device=place.device, quantise=place.precision.gemma)
    feats = []
    for text in ordered:
        # An empty prompt blanks both encoders, system prompt included.
        whole = gemma_text(text, read.system_prompt_tags, read.system_prompt_xml) if text.strip() else ""
        features = gemma.encode([whole], max_tokens=read.max_gemma_tokens)
        if features.truncated[0]:
            tell(f"prompt cut at {read.max_gemma_tokens} tokens for Gemma: {text[:100]}…")
        feats.append(features.hidden[0, : int(features.mask[0].sum())])
    del gemma
    jina = load_jina(base.clip_model, dtype=place.dtype, device=place.device)
    pooled = []
    for text in ordered:
        summary = jina.encode([text], max_tokens=read.max_jina_tokens)
        pooled.append(summary.pooled[0])
        if summary.truncated[0]:
            tell(f"prompt cut at {read.max_jina_tokens} tokens for Jina: {text[:100]}…")
    return {text: TextFeatures(cap_feats=f, pooled=p) for text, f, p in zip(ordered, feats, pooled, strict=True)}
