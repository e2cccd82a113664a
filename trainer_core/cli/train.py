"""`train`: train a LoRA, or continue the run that a config names."""

import argparse
import os
from pathlib import Path

from trainer_core.cli.shared import PATHS, Commands, config_of, last_word, stay_offline
from trainer_core.cli.together import train_together
from trainer_core.contracts.base_part import is_elsewhere
from trainer_core.contracts.config import TrainConfig, named_parts
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.rundir import RunDir
from trainer_core.contracts.user_path import user_path
from trainer_core.jobs.ranks import child_environment, is_launched, told_to_use_cpu
from trainer_core.planning.gpu_choice import chosen_gpus
from trainer_core.planning.hardware import detect


def add(commands: Commands) -> None:
    text = (
        "Train a LoRA, or continue the run that the config names, on all GPUs or those that its `gpus` names. "
        "Stop with Ctrl+C: it saves first."
    )
    command = commands.add_parser("train", help="train a LoRA from a TOML config", description=f"{text} {PATHS}")
    command.add_argument("config", type=user_path, help="TOML config (see config_template.toml), or a run folder")
    command.add_argument(
        "--check",
        action="store_true",
        help="list each image's bucket, what is cropped and all that would stop the training; train nothing",
    )
    command.set_defaults(run=_train, online=True)


def _train(options: argparse.Namespace) -> int:
    return train(options.config, check=options.check)


def train(path: Path, *, check: bool = False) -> int:
    """Train by a TOML config or run folder, in a process for each GPU; returns the exit code.

    With `check` nothing is trained: what becomes of each image is printed, and what would stop the training. Raises
    UserError; where there are several processes, each of them prints its own error instead.
    """
    config, notes = config_of(path)
    launched = is_launched(os.environ)
    count = 1 if launched or check else gpu_count(config)
    if count > 1:
        return train_together(path, RunDir.of(config), count)
    main_process = os.environ.get("RANK", "0") == "0"
    for note in notes if main_process else ():
        print(f"note: {note}")
    if not any(is_elsewhere(text) for text in named_parts(config).values()):
        stay_offline()
    if check:
        from trainer_core.cli.checking import check as check_all

        return check_all(config)
    from trainer_core.training.run import run_training

    outcome = run_training(config)
    if main_process:
        last_word(outcome)
    return 0


def gpu_count(config: TrainConfig) -> int:
    """How many GPUs this training uses; from here on CUDA sees no others. 0 without any.

    Raises UserError `device_unavailable`.
    """
    if config.device == "cpu" or (config.device == "auto" and told_to_use_cpu(os.environ)):
        return 0
    meant_for_cpu = os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1")
    # Before torch is loaded: it reads these variables once.
    os.environ.update(child_environment(os.environ, _numbers(config)))
    import torch

    from trainer_core.training.device import CHOOSE_CPU, cuda_usable

    # NVML counts for torch, also the cards that it cannot use.
    count = torch.cuda.device_count() if cuda_usable() else 0
    asked = 0 if config.gpus == "all" else len(config.gpus.split(","))
    if asked > count and (count or config.device == "cuda" or not meant_for_cpu or _has_cards()):
        hints = ["nvidia-smi lists the GPUs with their numbers.", 'Set gpus = "all" to use every one.']
        raise UserError(
            "device_unavailable",
            f'gpus = "{config.gpus}" names {asked} GPUs; PyTorch finds {count} of them.',
            hints if count else [*hints, CHOOSE_CPU],
        )
    if count > 1 and not (torch.distributed.is_available() and torch.distributed.is_nccl_available()):
        print(f"note: PyTorch cannot join GPUs on this system (it has no NCCL), so one of {count} is used.")
        return 1
    return count


def _numbers(config: TrainConfig) -> str:
    """The option `gpus`; where GPUs cannot be joined, "all" means the one that the plan was made for."""
    machine = detect(Path())
    if config.gpus != "all" or machine.joins_gpus or len(machine.gpus) < 2:
        return config.gpus
    return str(chosen_gpus(config, machine)[0].index)


def _has_cards() -> bool:
    machine = detect(Path())
    return bool(machine.gpus or machine.hidden)
