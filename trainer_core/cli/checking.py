"""`train --check`: what becomes of each image, and everything that would stop the training. Nothing is written."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from trainer_core.cli.shared import note, tell
from trainer_core.contracts.config import TrainConfig, named_parts
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.rundir import RunDir
from trainer_core.dataset.buckets import BucketPlan
from trainer_core.dataset.facts import placed, placing_notes
from trainer_core.dataset.holdout import divide, share_note
from trainer_core.dataset.images import ImageProblem, load_rgb
from trainer_core.dataset.scan import ImageItem, Scan, none_readable, refused_by_strict_data, scan_dataset
from trainer_core.jobs.ranks import is_launched
from trainer_core.planning.data_advice import unmeasured


def check(config: TrainConfig) -> int:
    """Print it all; returns the exit code: 1 if the training would not start, or would stop over its images."""
    rank = "lora_rank" if config.adapter_type == "lora" else "lokr_rank"
    scale = config.lora_alpha / config.adapter_rank if config.adapter_rank else 1.0
    if not 0.25 <= scale <= 2:
        note(f"lora_alpha / {rank} = {scale:g}; 0.25 to 2 is usual, and lora_alpha = 0 takes {rank}.")
    if told := unmeasured(config):
        note(told)
    stops = [*_settings(config), *_images(config, "train_data_dir")]
    if config.validation_data_dir:
        stops += _images(config, "validation_data_dir")
    # A folder that is not there is found twice.
    for error in {str(error): error for error in stops}.values():
        tell(error)
    return 1 if stops else 0


def _settings(config: TrainConfig) -> Iterator[UserError]:
    """What the run would say before it writes anything; it says one thing at a time."""
    from trainer_core.cli.train import gpu_count
    from trainer_core.model.hub import cached_part
    from trainer_core.planning.hub_place import parse_place
    from trainer_core.training.checks import adapted, base_of, check_early, kernel_notes
    from trainer_core.training.device import pick_device
    from trainer_core.training.resume import check_rerun, kept_notes, resumed_config

    run = RunDir.of(config)
    try:
        if not is_launched(os.environ):
            # From here on PyTorch sees the cards that the training would.
            gpu_count(config)
        run.require_place()
        own, config = config, resumed_config(run, config)
        device = pick_device(config.device)
        carried_out, notes = adapted(config, device)
        for sentence in [*kept_notes(own, config), *notes, *kernel_notes(device)]:
            note(sentence)
        parts = named_parts(config).items()
        absent = [text for kind, text in parts if parse_place(text) and cached_part(text, kind) is None]
        for text in absent:
            note(f"{text} is fetched when the training starts; the base was not looked at.")
        if not absent:
            check_early(carried_out, base_of(config), device)
        check_rerun(run, config)
    except UserError as error:
        yield error


def _images(config: TrainConfig, option: str) -> Iterator[UserError]:
    folder = Path(getattr(config, option))
    try:
        scan = scan_dataset(folder, strict=False, option=option)
    except UserError as error:
        yield error
        return
    usable, broken = _listed(scan, config)
    for told in placing_notes(placed(scan.items, config)):
        note(told)
    held_out = 0
    if option == "train_data_dir":
        try:
            division = divide(scan.items, config)
        except UserError as error:
            yield error
            return
        if told := share_note(len(division.held_out), len(scan.items), config.validation_split):
            note(told)
        trained = {item.relative for item in division.trained}
        held_out = sum(item.relative not in trained for item in usable)
        usable = [item for item in usable if item.relative in trained]
    severe = [problem.message for problem in scan.problems if problem.severe]
    for message in [*(problem.message for problem in scan.problems), *(f"left out: {message}" for message in broken)]:
        print(f"warning: {message}")
    shown = sum(item.repeats for item in usable)
    held = f"{held_out} more held out for validation, " if held_out else ""
    what = f"{shown} an epoch with repeats" if option == "train_data_dir" else "to validate with"
    found, warnings = len(usable), len(scan.problems) + len(broken)
    print(f"{found} image{'s' * (found != 1)}, {what}, {held}{warnings} warning{'s' * (warnings != 1)}")
    if config.strict_data and (severe or broken):
        yield refused_by_strict_data([*severe, *broken])
    elif not usable and option == "train_data_dir":
        yield none_readable(folder)


def _listed(scan: Scan, config: TrainConfig) -> tuple[list[ImageItem], list[str]]:
    """Decode and print one image after the other; returns those that can be used and what is wrong with the rest."""
    from trainer_core.training.features import DECODERS

    plan = BucketPlan.from_config(config)
    usable: list[ImageItem] = []
    broken: list[str] = []
    with ThreadPoolExecutor(DECODERS) as decoders:
        for item, problem in zip(scan.items, decoders.map(_problem_of, scan.items), strict=True):
            if problem:
                broken.append(problem)
                continue
            usable.append(item)
            goal = plan.assign(item.width, item.height)
            bucket = f"{goal.bucket[0]}x{goal.bucket[1]}"
            size = f"{item.width}x{item.height}"
            print(f"{bucket:>10}  cropped {goal.crop_loss:5.1%}  x{item.repeats}  {size:>10}  {item.relative}")
    return usable, broken


def _problem_of(item: ImageItem) -> str:
    """Why the run will not be able to decode an image; "" where it will."""
    try:
        load_rgb(item.path)
    except ImageProblem as problem:
        return problem.message
    return ""
