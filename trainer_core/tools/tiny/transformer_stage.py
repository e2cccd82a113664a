"""Trains the toy transformer on drawings: tags or XML in, latents of the toy VAE out."""

import random
from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from trainer_core.contracts.config import SYSTEM_PROMPT_TAGS, SYSTEM_PROMPT_XML
from trainer_core.model.gemma import GemmaEncoder
from trainer_core.model.jina import JinaEncoder
from trainer_core.model.nextdit import NextDiT
from trainer_core.model.vae import image_to_tensor
from trainer_core.tools.tiny.encoders import WIDTH
from trainer_core.tools.tiny.stage import Stage, run_stage
from trainer_core.tools.tiny.world import Portrait, all_portraits, draw, is_held_out, tag_caption, xml_caption
from trainer_core.training.flow import interpolate, shift_mu, shift_time, velocity_loss

STAGE = Stage(name="transformer", steps=3000, learning_rate=2e-3, warmup=200, average=0.999)
BATCH = 32
XML_SHARE = 0.4
# The base drops Gemma's caption in a tenth of cases; half of those drop Jina's too, as an empty negative does.
DROP_GEMMA = 0.1
DROP_JINA = 0.5
CONFIG: dict[str, Any] = {
    "patch_size": 2,
    "in_channels": 16,
    "dim": 192,
    "n_layers": 6,
    "n_refiner_layers": 1,
    "n_heads": 4,
    "n_kv_heads": 2,
    "axes_dims": (16, 16, 16),
    "axes_lens": (1024, 256, 256),
    "qk_norm": True,
    "cap_feat_dim": WIDTH,
    "clip_text_dim": WIDTH,
}


def drawn_portraits() -> list[Portrait]:
    """The combinations that the transformer is trained on."""
    return [portrait for portrait in all_portraits() if not is_held_out(portrait)]


def train_transformer(seed: int, work: Path, *, vae: AutoencoderKL, gemma: GemmaEncoder, jina: JinaEncoder) -> NextDiT:
    """Train or resume; returns the model with its averaged weights."""
    torch.manual_seed(seed)
    model = NextDiT(**CONFIG)
    _initialise(model)
    portraits = drawn_portraits()
    latents = _latents_of(portraits, vae, work)
    mu = shift_mu(latents.shape[-1] * latents.shape[-2] // 4)

    def loss(step: int) -> Tensor:
        rng = random.Random(f"transformer:{seed}:{step}")
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        chosen = rng.sample(range(len(portraits)), BATCH)
        features = _text_features([portraits[i] for i in chosen], rng, gemma, jina)
        data = latents[chosen]
        noise = torch.randn(data.shape, generator=generator)
        # One t per equal slice of [0, 1): the same distribution with less noise in the gradient.
        even = (torch.arange(BATCH) + torch.rand(BATCH, generator=generator)) / BATCH
        t = shift_time(even, mu)
        with torch.autocast("cpu", torch.bfloat16):
            velocity = model(interpolate(data, noise, t), t, *features)
        return velocity_loss(velocity, data, noise).mean()

    model.load_state_dict(run_stage(STAGE, model, loss, work))
    return model.eval()


def _initialise(model: NextDiT) -> None:
    """Gates, modulation and output start at zero, so that every block starts as the identity."""
    for name, parameter in model.named_parameters():
        if "adaLN_modulation" in name or name.startswith("final_layer.linear"):
            torch.nn.init.zeros_(parameter)
        elif parameter.dim() == 2:
            torch.nn.init.xavier_uniform_(parameter)
        elif name.endswith("bias"):
            torch.nn.init.zeros_(parameter)


@torch.no_grad()
def _latents_of(portraits: list[Portrait], vae: AutoencoderKL, work: Path) -> Tensor:
    """[N, 16, 16, 16] scaled latents, one drawing of each combination; kept in the work folder."""
    file = work / "latents.pt"
    if file.exists():
        return torch.load(file, weights_only=True)
    parts = []
    for start in range(0, len(portraits), BATCH):
        images = [
            image_to_tensor(draw(portrait, start + i)) for i, portrait in enumerate(portraits[start : start + BATCH])
        ]
        raw = vae.encode(torch.stack(images)).latent_dist.mode()
        parts.append((raw - vae.config.shift_factor) * vae.config.scaling_factor)
    latents = torch.cat(parts).contiguous()
    torch.save(latents, file)
    return latents


def _text_features(
    portraits: list[Portrait], rng: random.Random, gemma: GemmaEncoder, jina: JinaEncoder
) -> tuple[Tensor, list[int], Tensor]:
    """cap_feats, their lengths and pooled vectors of freshly phrased captions."""
    texts, bare = [], []
    for portrait in portraits:
        as_xml = rng.random() < XML_SHARE
        caption = xml_caption(portrait) if as_xml else tag_caption(portrait, rng)
        prompt = SYSTEM_PROMPT_XML if as_xml else SYSTEM_PROMPT_TAGS
        dropped = rng.random() < DROP_GEMMA
        texts.append("" if dropped else prompt + caption)
        bare.append("" if dropped and rng.random() < DROP_JINA else caption)
    encoded = gemma.encode(texts)
    return encoded.hidden.float(), encoded.mask.sum(dim=1).tolist(), jina.encode(bare).pooled.float()
