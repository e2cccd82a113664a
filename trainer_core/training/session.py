"""The run around the loop: events, checkpoints, exports, samples, and requests to stop, save or sample."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.phase_names import DRAWING, TRAINING, VALIDATING
from trainer_core.contracts.rundir import RunDir, Status
from trainer_core.contracts.text_settings import TextSettings
from trainer_core.model.folder import BaseFolder
from trainer_core.model.vae import load_vae
from trainer_core.planning.reached import missing_samples
from trainer_core.planning.schedule import Due
from trainer_core.training.advising import Advisor
from trainer_core.training.checkpoint import Checkpoint, optimizer_state
from trainer_core.training.distributed import World
from trainer_core.training.export import TrainingFacts
from trainer_core.training.features import FeatureStore
from trainer_core.training.loop import LaunchedStep, Meter, Trainer
from trainer_core.training.memory import Phases
from trainer_core.training.overflow import OverflowWatch
from trainer_core.training.reporting import EventSink
from trainer_core.training.sampling import SampleSettings, decode, sample_latents, save_png
from trainer_core.training.saving import Saver
from trainer_core.training.stopping import StopRequested, StopSignal
from trainer_core.training.validation import ValidationResult, Validator, mark_best, record_validation

VERSIONED = ("torch", "diffusers", "transformers", "peft", "accelerate")


class Session:
    """Runs the steps of a training and everything that happens between two of them.

    All processes step together; only the main one writes, samples and tells.
    """

    def __init__(  # noqa: PLR0913 - the parts of a run, by name
        self,
        config: TrainConfig,
        base: BaseFolder,
        run: RunDir,
        trainer: Trainer,
        *,
        world: World,
        store: FeatureStore,
        validator: Validator,
        advisor: Advisor,
        events: EventSink,
        phases: Phases,
        stop: StopSignal,
        facts: TrainingFacts,
        state: dict[str, Any],
    ) -> None:
        self._config = config
        self._base = base
        self._run = run
        self._trainer = trainer
        self._world = world
        self._store = store
        self._validator = validator
        self._held_out = validator.held_out
        self._advisor = advisor
        self._events = events
        self._phases = phases
        self._stop = stop
        self._facts = facts
        self._state = state
        total = trainer.schedule.total_steps
        self._due = Due(config, trainer.schedule.steps_per_epoch, total)
        self._meter = Meter(total, occasions_left=self._due.left, device=trainer.accelerator.device)
        self._saved = -1
        self._state_written = 0.0
        self._saver = Saver(run, config)
        self._overflow = OverflowWatch(trainer.loss_scale)
        self._versions = {name: version(name) for name in VERSIONED}
        self._under_way: LaunchedStep | None = None
        self._ahead = trainer.accelerator.device.type == "cuda"
        self.place = TRAINING

    def train(self, state: Mapping[str, Any]) -> str:
        """Returns "finished" or "stopped". state: of the checkpoint that it goes on from; empty at the beginning."""
        schedule = self._trainer.schedule
        first, total = state.get("step", 0), schedule.total_steps
        self._meter.smoothed = state.get("loss_smoothed")
        self._saved = first if first else -1
        try:
            if not self._begin(first, total, measured=state.get("validation_loss") is not None):
                return "stopped"
            for step in range(first, total):
                self._went_on(self._trainer.launch(step))
                if not self._between(step + 1, total):
                    return "stopped"
            self._tell_saved(wait=True)
        except BaseException:
            # The error that ended it is the one to tell of, whatever becomes of the save.
            with suppress(Exception):
                self._tell_saved(wait=True)
            raise
        finally:
            self._saver.close()
        self._phases.enter("")
        self._write_state("finished", step=total, total_steps=total, epoch=schedule.epoch_of(total - 1) + 1)
        self._events.emit("finished", step=total, message=f"{total} steps done")
        return "finished"

    def _begin(self, first: int, total: int, *, measured: bool) -> bool:
        """What is due before step `first`; False: it was asked to stop. Raises StopRequested before the very first."""
        ended = self._trainer.schedule.ended_epochs(first)
        if first == 0:
            self._validate(0)
            if any(self._world.any([self._stop.wanted()])):
                raise StopRequested
        elif not measured and self._due.validation(first, ended):
            self._measure_late(first)
        if self._due.sample(first, ended) and not self._sample(first, again=first == 0):
            if first == 0:
                raise StopRequested
            self._end_stopped(first, total, None)
            return False
        self._phases.at(TRAINING, first, total)
        self._meter.pause()
        return True

    def _went_on(self, launched: LaunchedStep) -> None:
        """A card is given its next step before the one before is told of, and need not wait for us.

        Several cards do: they agree after each step on what was asked of them.
        """
        before, self._under_way = self._under_way, launched
        if before:
            self._tell(before)
        if not self._ahead:
            self._catch_up()

    def _catch_up(self) -> None:
        """Wait for the step under way, and tell of it. Raises UserError `non_finite`."""
        if self._under_way:
            launched, self._under_way = self._under_way, None
            self._tell(launched)

    def _tell(self, launched: LaunchedStep) -> None:
        result, done, schedule = launched.result(), launched.step + 1, self._trainer.schedule
        if warning := self._overflow.step(launched, result):
            self._events.emit("warning", message=warning)
        told = {"step": done, "total_steps": schedule.total_steps, "epoch": schedule.epoch_of(launched.step) + 1}
        fields = self._meter.fields(done, result)
        self._events.emit("step", **told, **fields)
        self._write_progress(**told)
        if self._world.main:
            ends = schedule.ended_epochs(done) > 0
            self._advisor.watch(done, result.loss, fields["seconds_per_step"], epoch_ends=ends)

    def _between(self, done: int, total: int) -> bool:
        """Whatever is due after `done` steps; False: it was asked to stop, and has saved."""
        self._tell_saved(wait=False)
        stop, save, sample = self._requests()
        # At the last step everything that belongs to its end is done, rather than said to be left.
        stop = stop and done < total
        ended = self._trainer.schedule.ended_epochs(done)
        save = save or self._due.save(done, ended)
        sample = sample or self._due.sample(done, ended)
        validate = save or self._due.validation(done, ended)
        if not (stop or sample or validate):
            return True
        self._catch_up()
        if stop:
            self._end_stopped(done, total, None)
            return False
        validated = self._validate(done) if validate else None
        if save:
            self._save(done, validated)
        if sample or done == total:
            # Training waits anyway.
            self._tell_saved(wait=True)
        if sample and not self._sample(done):
            # Here, and not after another step: the run goes on with the pictures that are left.
            self._end_stopped(done, total, validated)
            return False
        self._phases.at(TRAINING, done, total)
        self._meter.pause()
        return True

    def _end_stopped(self, done: int, total: int, validated: ValidationResult | None) -> None:
        self._save(done, validated)
        self._tell_saved(wait=True)
        epoch = self._trainer.schedule.epoch_of(done - 1) + 1
        self._write_state("stopped", step=done, total_steps=total, epoch=epoch)
        self._events.emit("stopped", step=done, message=f"stopped after step {done} of {total}; saved")

    def _requests(self) -> list[bool]:
        """Stop, save, sample: asked of any process, done by all."""
        requests = self._stop.requests()
        return self._world.any(verb in requests for verb in ("stop", "save", "sample"))

    def _write_state(self, status: Status, **fields: int) -> None:
        if self._world.main:
            self._run.write_state(status, **fields)

    def _write_progress(self, **fields: int) -> None:
        """state.json is replaced and fsynced: once a second is enough, the events tell of every step."""
        if time.monotonic() - self._state_written >= 1.0:
            self._write_state("running", **fields)
            self._state_written = time.monotonic()

    def _validate(self, done: int) -> ValidationResult | None:
        if not self._validator.active:
            return None
        started = time.monotonic()
        with self._at(VALIDATING) as tell, self._meter.pausing("validation"):
            result = self._validator.measure(self._trainer.model, tell)
        seconds = time.monotonic() - started
        if self._world.main:
            record_validation(self._run, done, result, self._held_out)
        self._events.emit(
            "validation", step=done, loss=result.loss, bands=result.bands, images=result.images, seconds=seconds
        )
        return result

    def _measure_late(self, done: int) -> None:
        """The measurement that a stop left out: without it this checkpoint could never be the best."""
        validated = self._validate(done)
        if validated:
            self._saved = -1
            self._save(done, validated)

    def _save(self, done: int, validated: ValidationResult | None) -> None:
        if self._saved == done:
            return
        self._saved = done
        if self._world.main:
            with self._meter.pausing("checkpoint"):
                self._tell_saved(wait=True)
                checkpoint = self._checkpoint(done, validated)
                facts = replace(self._facts, step=done, epoch=checkpoint.state["epoch"])
                self._saver.begin(checkpoint, facts)

    def _tell_saved(self, *, wait: bool) -> None:
        """Tell of a save that has become whole. Raises what kept it from it."""
        saved = self._saver.collect(wait=wait)
        if saved is None:
            return
        best = mark_best(self._run) if self._validator.active else None
        self._events.emit("export", step=saved.step, path=self._relative(saved.export))
        path = self._relative(saved.checkpoint)
        self._events.emit("checkpoint", step=saved.step, path=path, best=best == saved.step)

    def _checkpoint(self, done: int, validated: ValidationResult | None) -> Checkpoint:
        """As training has it in memory."""
        state = {
            **self._state,
            **self._trainer.schedule.state(done),
            "step": done,
            "loss_smoothed": self._meter.smoothed,
            "scaler": self._trainer.scaler_state(),
            "world_size": self._world.size,
            "validation_loss": validated.recorded_loss if validated else None,
            "held_out": self._held_out,
            # For whoever looks into a checkpoint of long ago; nothing reads it.
            "versions": self._versions,
        }
        return Checkpoint(
            adapter=dict(self._trainer.parameters), optimizer=optimizer_state(self._trainer.optimizer), state=state
        )

    def _sample(self, done: int, *, again: bool = True) -> bool:
        """A picture of every prompt; with `again` false of those that have none. False: a stop left some of them."""
        if not self._config.sample_prompts:
            return True
        every = list(range(len(self._config.sample_prompts)))
        numbers = every if again else missing_samples(self._run, self._config, done)
        cut = False
        if self._world.main and numbers:
            with self._at(DRAWING) as tell, self._meter.pausing("sample"):
                cut = not self._generate(done, numbers, tell)
        return not self._world.any([cut])[0]

    @contextmanager
    def _at(self, place: str) -> Iterator[Callable[[int, int], None]]:
        """`place` says where it is; after an error it stays. Gives what tells how much is done, of how much."""
        self.place = place
        self._phases.enter(place)
        yield partial(self._phases.at, place)
        self.place = TRAINING
        self._phases.enter(self.place)

    @torch.no_grad()
    def _generate(self, done: int, numbers: Sequence[int], tell: Callable[[int, int], None]) -> bool:
        """Make pictures of these prompts; False: a stop came in between."""
        started = time.monotonic()
        tell(0, len(numbers))
        model = self._trainer.model
        model.eval()
        device = self._trainer.accelerator.device
        dtype = torch.float32 if self._config.mixed_precision == "no" else torch.bfloat16
        codec = load_vae(self._base.vae, dtype=self._store.encoding.vae_dtype, device=device)
        negative = self._store.prompt(self._config.sample_negative_prompt)
        for count, number in enumerate(numbers, 1):
            prompt = self._config.sample_prompts[number]
            settings = self._settings(prompt, self._config.sample_seed + number)
            latents = sample_latents(
                model,
                settings,
                (self._store.prompt(prompt), negative),
                dtype=dtype,
                interrupted=self._stop.wanted,
            )
            if latents is None:
                return False
            file = self._run.sample(done, number)
            save_png(decode(codec, latents), file, settings, step=done)
            seconds = time.monotonic() - started
            self._events.emit(
                "sample", step=done, number=number, prompt=prompt, path=self._relative(file), seconds=seconds
            )
            tell(count, len(numbers))
        return True

    def _settings(self, prompt: str, seed: int) -> SampleSettings:
        config = self._config
        return SampleSettings(
            prompt=prompt,
            negative_prompt=config.sample_negative_prompt,
            width=config.sample_width or config.resolution,
            height=config.sample_height or config.resolution,
            steps=config.sample_steps,
            cfg=config.sample_cfg,
            shift=config.sample_shift,
            seed=seed,
            text=TextSettings.of(config),
        )

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._run.path).as_posix()
