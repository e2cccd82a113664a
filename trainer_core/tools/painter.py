"""Pictures from a base and any number of LoRAs, outside a run: `sample`, the demo and the exam use it."""

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from PIL import Image

from trainer_core.contracts.config import SYSTEM_PROMPT_TAGS, SYSTEM_PROMPT_XML
from trainer_core.dataset.captions import gemma_text
from trainer_core.model.folder import BaseFolder, find_base, load_transformer
from trainer_core.model.gemma import load_gemma
from trainer_core.model.jina import load_jina
from trainer_core.model.layouts import open_transformer
from trainer_core.model.nextdit import NextDiT
from trainer_core.model.vae import load_vae
from trainer_core.tools.lora_stack import Adapter, Tell, applied, load_adapters, require_fit
from trainer_core.training.sampling import SampleSettings, TextFeatures, decode, sample_latents

Painted = Callable[[int, SampleSettings, Image.Image], None]


def paint(
    base_path: Path,
    loras: Sequence[tuple[Path, float]],
    wanted: Sequence[SampleSettings],
    *,
    device: torch.device,
    painted: Painted,
    tell: Tell = lambda sentence: None,
) -> None:
    """Make each wanted picture and hand it to `painted(index, settings, picture)`; `tell` gets notes on the LoRAs.

    LoRAs are read first, then encoders are loaded, used and dropped before the transformer is read. Raises UserError
    as loading does.
    """
    base = find_base(base_path)
    adapters = load_adapters(loras, tell)
    with open_transformer(base.transformer) as source:
        require_fit(adapters, source)
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    texts = _encode(base, {text for s in wanted for text in (s.prompt, s.negative_prompt)}, dtype, device)
    model = load_transformer(base.transformer, dtype=dtype, device=device).eval()
    _apply(adapters, model)
    codec = load_vae(base.vae, dtype=dtype, device=device)
    for index, settings in enumerate(wanted):
        conditions = (texts[settings.prompt], texts[settings.negative_prompt])
        latents = sample_latents(model, settings, conditions, dtype=dtype)
        assert latents is not None
        painted(index, settings, decode(codec, latents))


@torch.no_grad()
def _apply(adapters: Sequence[Adapter], model: NextDiT) -> None:
    """Put the LoRAs into the model's weights, in place."""
    for name in {name for adapter in adapters for name in adapter.lora.modules}:
        weight = model.get_submodule(name).weight
        assert isinstance(weight, torch.Tensor)
        weight.copy_(applied(weight, f"{name}.weight", adapters))


def _encode(base: BaseFolder, texts: set[str], dtype: torch.dtype, device: torch.device) -> dict[str, TextFeatures]:
    ordered = sorted(texts)
    gemma = load_gemma(base.text_encoder, dtype=dtype, device=device)
    feats = []
    for text in ordered:
        # An empty prompt blanks both encoders, system prompt included.
        read = gemma_text(text, SYSTEM_PROMPT_TAGS, SYSTEM_PROMPT_XML) if text.strip() else ""
        features = gemma.encode([read])
        feats.append(features.hidden[0, : int(features.mask[0].sum())])
    del gemma
    jina = load_jina(base.clip_model, dtype=dtype, device=device)
    pooled = [jina.encode([text]).pooled[0] for text in ordered]
    return {text: TextFeatures(cap_feats=f, pooled=p) for text, f, p in zip(ordered, feats, pooled, strict=True)}
