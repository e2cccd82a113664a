"""What the config.json of a text encoder or VAE states; shared by the loaders and the check of a base."""

from pathlib import Path
from typing import Any

from trainer_core.contracts.errors import UserError
from trainer_core.planning.headers import read_config
from trainer_core.planning.vae_constants import vae_constants


def stated_gemma_config(folder: Path) -> dict[str, Any]:
    """The language model's part of a multimodal or text-only config.json.

    Raises UserError: "config_unreadable", "wrong_model".
    """
    values = read_config(folder)
    kind = values.get("model_type")
    if kind not in {"gemma3", "gemma3_text"}:
        raise UserError(
            "wrong_model",
            f"{folder / 'config.json'} describes a '{kind}' model; NewBie's text encoder is a 'gemma3'.",
            ["Check that text_encoder/ holds Gemma3 (google/gemma-3-4b-it)."],
        )
    text: dict[str, Any] = values.get("text_config", values)
    return text


def stated_vae_config(path: Path) -> dict[str, Any] | None:
    """config.json of a folder; for a single file the one beside it, if it is a VAE's, else None.

    Raises UserError: "config_unreadable", "wrong_model", "vae_constants_missing".
    """
    folder = path.parent if path.is_file() else path
    if path.is_file():
        config = read_config(folder) if (folder / "config.json").is_file() else {}
        if config.get("_class_name") != "AutoencoderKL":
            return None
    else:
        config = read_config(folder)
    kind = config.get("_class_name", "AutoencoderKL")
    if kind != "AutoencoderKL":
        raise UserError(
            "wrong_model",
            f"{folder / 'config.json'} describes a '{kind}'; NewBie's vae/ is an 'AutoencoderKL'.",
            ["Use the vae folder of FLUX.1 or of NewBie-image-Exp0.1."],
        )
    vae_constants(config, folder / "config.json")
    return config
