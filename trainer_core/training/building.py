"""The transformer with its adapter, as a config asks for it: of a training, and of whatever tries its steps."""

from collections.abc import Callable

import torch
from torch import nn

from trainer_core.contracts.config import TrainConfig
from trainer_core.model.compiled import compile_blocks
from trainer_core.model.folder import BaseFolder, load_transformer
from trainer_core.model.nextdit import NextDiT
from trainer_core.planning.adapter import adapter_shape
from trainer_core.training.adapters import add_adapter


def load_base(
    config: TrainConfig,
    base: BaseFolder,
    device: torch.device,
    *,
    warn: Callable[[str], None] = lambda sentence: None,
) -> NextDiT:
    """The frozen transformer in the number format of training. Raises UserError as `load_transformer` does."""
    dtype = torch.float32 if config.mixed_precision == "no" else torch.bfloat16
    return load_transformer(
        base.transformer, dtype=dtype, device=device, quantise=config.quantize_base, swap=config.swap_blocks, warn=warn
    )


def make_trainable(
    model: NextDiT, config: TrainConfig, *, warn: Callable[[str], None] = lambda sentence: None
) -> dict[str, nn.Parameter]:
    """Put a fresh adapter into the model and set how its blocks compute; returns the adapter's parameters by name."""
    model.attention_backend = config.attention_backend
    model.gradient_checkpointing = config.gradient_checkpointing
    model.checkpoint_skip_every = config.checkpoint_skip_every
    if config.compile_blocks:
        compile_blocks(model, warn)
    return add_adapter(
        model, adapter_shape(config), targets=config.lora_target_modules, alpha=config.lora_alpha,
        dropout=config.lora_dropout, seed=config.seed,
    )  # fmt: skip
