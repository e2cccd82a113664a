"""`python -m trainer_core tiny build`: draws the world, trains VAE and transformer, writes the built-in base.

Takes about three quarters of an hour on two idle cores. Killed at any moment it goes on: progress is in `work`.
"""

import os
import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from trainer_core.model.gemma import load_gemma
from trainer_core.model.jina import load_jina
from trainer_core.planning.headers import read_config
from trainer_core.tools.convert_parts import model_index
from trainer_core.tools.tiny import transformer_stage
from trainer_core.tools.tiny.encoders import build_gemma, build_jina
from trainer_core.tools.tiny.exam import obedience
from trainer_core.tools.tiny.stage import write_json
from trainer_core.tools.tiny.transformer_stage import train_transformer
from trainer_core.tools.tiny.vae_stage import train_vae

SEED = 20261123
LICENSE_NOTE = "Trained from scratch on drawings made by this repository's own code. Apache-2.0, like the code.\n"


def build(output: Path, work: Path) -> None:
    """Build the whole base into `output` (replaced at the end, all at once) and print how well it obeys."""
    work.mkdir(parents=True, exist_ok=True)
    target = work / "base"
    if not (target / "clip_model" / "model.safetensors").exists():
        build_gemma(target / "text_encoder", SEED)
        build_jina(target / "clip_model", SEED)
    vae = train_vae(SEED, work)
    gemma = load_gemma(target / "text_encoder", dtype=torch.float32)
    jina = load_jina(target / "clip_model", dtype=torch.float32)
    model = train_transformer(SEED, work, vae=vae, gemma=gemma, jina=jina)
    vae.to(torch.bfloat16).save_pretrained(target / "vae")
    _write_transformer(target / "transformer", model.state_dict())
    write_json(target / "model_index.json", model_index(read_config(target / "text_encoder")))
    (target / "LICENSE.txt").write_text(LICENSE_NOTE, encoding="utf-8")
    result, _ = obedience(target, (), count=60, seed=SEED)
    print(f"obeys {result}", flush=True)
    _install(target, output)


def _write_transformer(folder: Path, weights: dict[str, Tensor]) -> None:
    folder.mkdir(exist_ok=True)
    stored = {name: value.to(torch.bfloat16).contiguous() for name, value in weights.items()}
    save_file(stored, folder / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    config = {"_class_name": "NextDiT_CLIP", "model_type": "nextdit_clip", **transformer_stage.CONFIG}
    write_json(folder / "config.json", config)


def _install(source: Path, output: Path) -> None:
    temporary = output.with_name(f".{output.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    shutil.copytree(source, temporary)
    shutil.rmtree(output, ignore_errors=True)
    os.replace(temporary, output)
