"""What a VAE's latents are shifted and scaled by: stated by its config.json only, no tensor tells it."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trainer_core.contracts.errors import UserError

# Of FLUX.1's autoencoder, which NewBie uses.
SCALING_FACTOR = 0.3611
SHIFT_FACTOR = 0.1159
LATENT_CHANNELS = 16


def vae_constants(config: Mapping[str, Any], file: Path) -> tuple[float, float]:
    """(scaling, shift) of the config in ``file``. A guess would train on latents that the base has never seen.

    A VAE of another width is refused for that, wherever it meets a transformer; SDXL's rightly states no shift.

    Raises UserError "vae_constants_missing" unless both are stated.
    """
    if config.get("latent_channels", LATENT_CHANNELS) != LATENT_CHANNELS:
        return 1.0, 0.0
    named = {"scaling_factor": config.get("scaling_factor"), "shift_factor": config.get("shift_factor")}
    lacking = [name for name, value in named.items() if not _is_number(value) or (name, value) == ("scaling_factor", 0)]
    if lacking:
        raise UserError(
            "vae_constants_missing",
            f"{file} does not state {', '.join(lacking)}: latents would be made on another scale than the base's.",
            [
                f"For the VAE of FLUX.1, which NewBie uses, write into it: "
                f'"scaling_factor": {SCALING_FACTOR}, "shift_factor": {SHIFT_FACTOR}',
                "For another VAE take both from the place where it came from.",
            ],
        )
    return float(config["scaling_factor"]), float(config["shift_factor"])


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
