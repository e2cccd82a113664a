"""Sample pictures: Euler steps on ComfyUI's "simple" schedule with a constant shift, classifier-free guidance.

sigma = 1 - t runs from 1 (noise) to 0. diffusers' own `set_timesteps(N)` gives ComfyUI's "normal" schedule, which
is another one; here the sigmas come from a table of 1,000 as "simple" takes them.
"""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from torch import Tensor

from trainer_core.contracts.fsutil import whole_file
from trainer_core.contracts.text_settings import TextSettings
from trainer_core.model.nextdit import NextDiT
from trainer_core.model.vae import LatentCodec, tensor_to_image

TABLE = 1000


@dataclass(frozen=True, kw_only=True)
class TextFeatures:
    """One caption as both encoders see it: cap_feats [L, D], pooled [P]; no padding."""

    cap_feats: Tensor
    pooled: Tensor


@dataclass(frozen=True, kw_only=True)
class SampleSettings:
    """What a sample picture was made with; written into its PNG. Sides in pixels, multiples of 16."""

    prompt: str
    negative_prompt: str
    width: int
    height: int
    steps: int
    cfg: float
    shift: float
    seed: int
    text: TextSettings = field(default_factory=TextSettings.default)


def simple_sigmas(steps: int, shift: float) -> list[float]:
    """`steps` + 1 sigmas, 1 to 0: every (1000 / steps)-th entry from the top of shift * u / (1 + (shift - 1) * u)."""
    table = [shift * u / (1 + (shift - 1) * u) for u in ((i + 1) / TABLE for i in range(TABLE))]
    # The division first, as ComfyUI does it: 1000 / 38 * 19 is a little less than 500.
    return [table[-(1 + int(i * (TABLE / steps)))] for i in range(steps)] + [0.0]


def guided_velocity(
    model: NextDiT,
    x: Tensor,
    t: float,
    conditions: tuple[TextFeatures, TextFeatures],
    cfg: float,
) -> Tensor:
    """Velocity at x [C, H, W]: unconditional + cfg * (conditional - unconditional).

    `conditions` = (positive, negative). The negative pass is left out at cfg = 1.
    """

    def velocity(features: TextFeatures) -> Tensor:
        feats, pooled = features.cap_feats[None].to(x), features.pooled[None].to(x)
        return model(x[None], torch.tensor([t], device=x.device), feats, (feats.shape[1],), pooled)[0].float()

    positive = velocity(conditions[0])
    if cfg == 1.0:
        return positive
    negative = velocity(conditions[1])
    return negative + cfg * (positive - negative)


@torch.no_grad()
def sample_latents(
    model: NextDiT,
    settings: SampleSettings,
    conditions: tuple[TextFeatures, TextFeatures],
    *,
    dtype: torch.dtype,
    interrupted: Callable[[], bool] = lambda: False,
) -> Tensor | None:
    """Latents [C, H/8, W/8] fp32, or None when `interrupted()` turned true. The noise is drawn on the CPU."""
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(settings.seed)
    shape = (model.in_channels, settings.height // 8, settings.width // 8)
    x = torch.randn(shape, generator=generator).to(device)
    sigmas = simple_sigmas(settings.steps, settings.shift)
    with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
        for sigma, following in zip(sigmas, sigmas[1:], strict=False):
            if interrupted():
                return None
            velocity = guided_velocity(model, x, 1 - sigma, conditions, settings.cfg)
            x = x + (sigma - following) * velocity
    return x


@torch.no_grad()
def decode(codec: LatentCodec, latents: Tensor) -> Image.Image:
    """Latents [C, H, W] -> picture."""
    return tensor_to_image(codec.decode(latents[None])[0])


def save_png(image: Image.Image, file: Path, settings: SampleSettings, **extra: object) -> None:
    """Write atomically, with the settings as JSON in the text chunk `newbie` and as A1111-style `parameters`."""
    info = PngInfo()
    values = asdict(settings)
    values |= values.pop("text")
    info.add_itxt("newbie", json.dumps({**values, **extra}, ensure_ascii=False))
    info.add_itxt(
        "parameters",
        f"{settings.prompt}\nNegative prompt: {settings.negative_prompt}\nSteps: {settings.steps}, Sampler: Euler, "
        f"Schedule type: Simple, CFG scale: {settings.cfg}, Seed: {settings.seed}, "
        f"Size: {settings.width}x{settings.height}, Shift: {settings.shift}",
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(file) as temporary:
        image.save(temporary, format="PNG", pnginfo=info)
