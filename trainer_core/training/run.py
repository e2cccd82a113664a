"""One run from config to exports: check, prepare, cache, load, train, and an end that is always written down."""

import os
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.events import EventLog, truncate_after_step
from trainer_core.contracts.rundir import RunDir
from trainer_core.dataset.captions import spaced, tags_of
from trainer_core.dataset.scan import scan_dataset
from trainer_core.model.attention import check_backend
from trainer_core.model.folder import BaseFolder, find_base, load_transformer, transformer_config
from trainer_core.model.nextdit import NextDiT
from trainer_core.training.adapters import add_lora, load_weights, matching_modules, read_lora
from trainer_core.training.cache import FeatureCache, folder_id, key_of
from trainer_core.training.checkpoint import Checkpoint, newest_checkpoint
from trainer_core.training.export import TrainingFacts
from trainer_core.training.features import FeatureStore, Sample
from trainer_core.training.loop import Schedule, Trainer
from trainer_core.training.optim import check_optimizer
from trainer_core.training.reporting import Reporter
from trainer_core.training.rerun import check_rerun, warnings_of
from trainer_core.training.session import Session
from trainer_core.training.stopping import StopRequested, StopSignal

OUT_OF_MEMORY_HINTS = (
    "train_batch_size = 1",
    "gradient_checkpointing = true",
    'optimizer_type = "AdamW8bit"',
    "resolution = 768, then 512",
    "lora_rank = 16",
)


def pick_device(name: str) -> torch.device:
    """auto = the first GPU, else the CPU. Raises UserError `device_unavailable`."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError(
            "device_unavailable",
            'device = "cuda", but PyTorch sees no NVIDIA GPU here.',
            ["Check the driver with nvidia-smi.", 'Set device = "auto" or "cpu".'],
        )
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(name)


def run_training(config: TrainConfig) -> str:
    """Train or continue the run `output_dir/output_name`; returns finished, stopped or "already finished".

    Raises UserError for anything the user can mend: before anything is written where that can be known, else
    state.json and events.jsonl say so too.
    """
    base = find_base(Path(config.base_model_path))
    device = pick_device(config.device)
    _check_early(config, base, device)
    run = RunDir(Path(config.output_dir) / config.output_name)
    with run.lock():
        changed = check_rerun(run, config)
        run.create(config)
        run.write_state("running")
        reporter = Reporter(EventLog(run.events_file), run.log_file)
        try:
            with StopSignal(run) as stop:
                for message in warnings_of(changed):
                    reporter.emit("warning", message=message)
                return _Run(config, base, run, device, reporter=reporter, stop=stop).go()
        except StopRequested:
            run.write_state("stopped")
            step = run.read_state().get("step", 0)
            reporter.emit("stopped", step=step, message="stopped before training began; what was encoded is kept")
            return "stopped"
        except Exception as error:
            problem = as_user_error(error)
            if problem.code == "internal":
                reporter.traceback()
            # On a full disk these two fail as well; the problem itself must still reach the user.
            with suppress(OSError):
                run.write_state("failed", code=problem.code, message=problem.message)
            with suppress(OSError):
                reporter.emit("failed", code=problem.code, message=problem.message, hints=problem.hints)
            if problem is error:
                raise
            raise problem from error
        finally:
            reporter.close()


def _check_early(config: TrainConfig, base: BaseFolder, device: torch.device) -> None:
    """What would stop the run after hours of encoding, asked before the first file is written."""
    check_backend(config.attention_backend, device)
    check_optimizer(config, device)
    if config.mixed_precision == "fp16" and device.type == "cpu":
        raise UserError(
            "device_unavailable",
            'mixed_precision = "fp16" needs a GPU; this run uses the CPU.',
            ['Set mixed_precision = "no" or "bf16".'],
        )
    with torch.device("meta"):
        model = NextDiT(**transformer_config(base.transformer))
    matching_modules(model, config.lora_target_modules)
    if config.resume_from_lora:
        read_lora(Path(config.resume_from_lora))


def as_user_error(error: Exception) -> UserError:
    """The error as something to act on; unknown ones keep their own text."""
    if isinstance(error, UserError):
        return error
    if isinstance(error, torch.OutOfMemoryError):
        return UserError("out_of_memory", f"The GPU ran out of memory. {error}", OUT_OF_MEMORY_HINTS)
    if isinstance(error, OSError) and error.errno == 28:
        return UserError(
            "disk_full",
            f"The disk is full: {error}.",
            ["Free some space, then start the run again: it continues from its last checkpoint."],
        )
    return UserError("internal", f"{type(error).__name__}: {error}", ["See train.log; please report this."])


@dataclass
class _Prepared:
    samples: list[Sample]
    store: FeatureStore
    schedule: Schedule
    base_hash: str
    data_hash: str


class _Run:
    def __init__(
        self,
        config: TrainConfig,
        base: BaseFolder,
        run: RunDir,
        device: torch.device,
        *,
        reporter: Reporter,
        stop: StopSignal,
    ) -> None:
        self.config = config
        self.base = base
        self.run = run
        self.device = device
        self.reporter = reporter
        self.stop = stop
        self._last_phase = 0.0

    def go(self) -> str:
        config = self.config
        self.reporter.emit("started", message=f"run {self.run.path}", pid=os.getpid(), device=str(self.device))
        prepared = self._prepare()
        checkpoint = self._restore_point(prepared)
        first = checkpoint.state["step"] if checkpoint else 0
        total = prepared.schedule.total_steps
        if checkpoint and first >= total:
            self.run.write_state("finished", step=first, total_steps=total)
            self.reporter.emit("finished", step=first, message=f"already finished: {first} of {total} steps are done")
            return "already finished"
        if config.lr_warmup_steps >= total and config.lr_scheduler != "constant":
            self._warn(f"lr_warmup_steps = {config.lr_warmup_steps} covers all {total} steps; the rate never peaks.")
        trainer = self._build_trainer(prepared, checkpoint)
        truncate_after_step(self.run.events_file, first)
        session = Session(
            config, self.base, self.run, trainer, store=prepared.store, reporter=self.reporter, stop=self.stop,
            facts=self._facts(prepared), state=self._constant_state(prepared),
        )  # fmt: skip
        return session.train(first, checkpoint.state.get("loss_smoothed") if checkpoint else None)

    def _prepare(self) -> _Prepared:
        config = self.config
        self._phase("checking data", 0, 1)
        for prompt in dict.fromkeys(config.system_prompts):
            if spaced(prompt) != prompt:
                self._warn(
                    f"This system prompt does not end in a space, as the base was trained with; one is added: {prompt}"
                )
        scan = scan_dataset(Path(config.train_data_dir), strict=config.strict_data)
        for problem in scan.problems:
            self._warn(problem.message)
        root = Path(config.cache_dir) if config.cache_dir else Path(config.output_dir) / ".cache"
        store = FeatureStore(config, self.base, FeatureCache(root), self.device)
        samples, captions = store.plan(scan.items)
        prompts = [*config.sample_prompts, config.sample_negative_prompt]
        store.encode_texts(captions, prompts, self._phase)
        for caption in store.truncated:
            self._warn(f"caption {caption}…")
        samples = self._encode_images(store, samples)
        base_hash = folder_id(self.base.transformer, store.cache.index)
        store.cache.index.save()
        data = [[str(s.item.relative), s.image_hash, s.item.caption, s.item.repeats, s.bucket] for s in samples]
        return _Prepared(samples, store, Schedule(config, samples), base_hash, key_of(data=data))

    def _encode_images(self, store: FeatureStore, samples: list[Sample]) -> list[Sample]:
        problems = store.encode_images(samples, self._phase)
        if problems and self.config.strict_data:
            listing = "; ".join(problem.message for problem in problems)
            raise UserError("dataset_problem", f"strict_data is on and images are broken: {listing}")
        for problem in problems:
            self._warn(f"left out: {problem.message}")
        whole = [sample for sample in samples if store.cache.has("latents", sample.latents)]
        if not whole:
            raise UserError("dataset_empty", f"No image in {self.config.train_data_dir} could be read.")
        return whole

    def _restore_point(self, prepared: _Prepared) -> Checkpoint | None:
        checkpoint, damaged = newest_checkpoint(self.run.checkpoints)
        for folder in damaged:
            self._warn(f"Checkpoint {folder.name} is damaged and was passed over.")
        if checkpoint is None:
            return None
        if checkpoint.state["base"] != self._base_id(prepared):
            raise UserError(
                "rerun_refused",
                f"The base model in {self.base.root} is not the one this run was trained on.",
                ["Choose another output_name, or restore the base model."],
            )
        if checkpoint.state["data"] != prepared.data_hash:
            self._warn("The data set (images, captions, repeats or buckets) differs from the one trained on so far.")
        return checkpoint

    def _build_trainer(self, prepared: _Prepared, checkpoint: Checkpoint | None) -> Trainer:
        config = self.config
        self._phase("loading the transformer", 0, 1)
        accelerator = Accelerator(mixed_precision=config.mixed_precision, cpu=self.device.type == "cpu")
        dtype = torch.float32 if config.mixed_precision == "no" else torch.bfloat16
        model = load_transformer(self.base.transformer, dtype=dtype, device=self.device)
        model.attention_backend = config.attention_backend
        model.gradient_checkpointing = config.gradient_checkpointing
        parameters = add_lora(
            model, targets=config.lora_target_modules, rank=config.lora_rank, alpha=config.lora_alpha,
            dropout=config.lora_dropout, seed=config.seed,
        )  # fmt: skip
        if checkpoint:
            load_weights(parameters, checkpoint.adapter, "The checkpoint")
        elif config.resume_from_lora:
            start = Path(config.resume_from_lora)
            load_weights(parameters, _rescaled(start, config), str(start))
        trainer = Trainer(
            config,
            model,
            parameters,
            store=prepared.store,
            schedule=prepared.schedule,
            accelerator=accelerator,
        )
        if checkpoint:
            trainer.restore(checkpoint.optimizer, checkpoint.state["scaler"])
        return trainer

    def _facts(self, prepared: _Prepared) -> TrainingFacts:
        frequency: dict[str, Counter[str]] = {}
        for sample in prepared.samples:
            folder = sample.item.path.parent.name
            frequency.setdefault(folder, Counter()).update(tags_of(sample.item.caption))
        buckets = Counter(f"{width}x{height}" for width, height in (s.bucket for s in prepared.samples))
        return TrainingFacts(
            step=0, epoch=0, images=len(prepared.samples), tag_frequency=frequency, buckets=buckets,
            base_hash=prepared.base_hash, started_at=time.time(),
        )  # fmt: skip

    def _constant_state(self, prepared: _Prepared) -> dict[str, Any]:
        return {"base": self._base_id(prepared), "data": prepared.data_hash}

    def _base_id(self, prepared: _Prepared) -> str:
        """Transformer and encoders: a run that goes on with another VAE would learn another thing."""
        encoding = prepared.store.encoding
        parts = {"vae": encoding.vae, "gemma": encoding.gemma, "jina": encoding.jina}
        return key_of(transformer=prepared.base_hash, **parts)

    def _phase(self, name: str, done: int, total: int) -> None:
        self.stop.check()
        now = time.monotonic()
        if done == 0 or now - self._last_phase > 0.5:
            self._last_phase = now
            self.reporter.emit("phase", phase=name, done=done, total=total)

    def _warn(self, message: str) -> None:
        self.reporter.emit("warning", message=message)


def _rescaled(path: Path, config: TrainConfig) -> dict[str, torch.Tensor]:
    """A LoRA's weights such that our alpha / rank gives them the strength that theirs gave."""
    weights, alphas = read_lora(path)
    ours = config.lora_alpha / config.lora_rank
    for name, value in weights.items():
        module, side = name.rsplit(".", 1)
        if side == "lora_B":
            weights[name] = value * (alphas[module] / value.shape[1] / ours)
    return weights
