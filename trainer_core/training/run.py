"""One run from config to exports: check, prepare, cache, load, train, and an end that is always written down."""

import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from trainer_core.contracts.checkpoints import complete_checkpoints, step_of
from trainer_core.contracts.config import Change, TrainConfig
from trainer_core.contracts.errors import UserError, is_gpu_memory
from trainer_core.contracts.events import EventLog, failure_since
from trainer_core.contracts.phase_names import CHECKING_DATA, LOADING, LOADING_TRANSFORMER, PREPARING
from trainer_core.contracts.rundir import RunDir
from trainer_core.dataset.captions import CaptionRules, tags_of
from trainer_core.jobs.ranks import rank_of
from trainer_core.model.folder import BaseFolder
from trainer_core.model.lora_files import read_lora
from trainer_core.planning.adapter import adapter_shape
from trainer_core.planning.hardware import detect
from trainer_core.planning.reached import missing_samples
from trainer_core.planning.schedule import Due
from trainer_core.planning.speed import pace_settings
from trainer_core.training.adapters import load_weights, start_weights
from trainer_core.training.advising import Advisor
from trainer_core.training.building import load_base, make_trainable
from trainer_core.training.checkpoint import Checkpoint, load_checkpoint, newest_checkpoint, optimizer_kind
from trainer_core.training.checks import adapted, base_of, check_early, kernel_notes
from trainer_core.training.device import pick_device
from trainer_core.training.distributed import World
from trainer_core.training.export import TrainingFacts
from trainer_core.training.failures import failure_elsewhere, training_problem, write_failure
from trainer_core.training.loop import Trainer
from trainer_core.training.memory import Phases, release_memory
from trainer_core.training.out_of_memory import apply_rung, next_rung, recovery_message, with_rung
from trainer_core.training.preparation import Preparation, PreparedData
from trainer_core.training.reporting import EventSink, FailureReporter, Reporter
from trainer_core.training.resume import (
    EarlierSteps,
    check_rerun,
    earlier_steps,
    go_back_to,
    keeping_config,
    kept_notes,
    rate_warnings,
    require_base,
    require_begun_base,
    resumed_config,
    validation_warnings,
    warnings_of,
)
from trainer_core.training.session import Session
from trainer_core.training.steps import Schedule
from trainer_core.training.stopping import StopRequested, StopSignal
from trainer_core.training.tensorboard import Board
from trainer_core.training.validation import Validator


def run_training(config: TrainConfig) -> str:
    """Train or continue the run `output_dir/output_name`; returns finished, stopped or "already finished".

    Started as one of several processes (accelerate launch, torchrun, jobs/ranks.py) it takes part in their common run.
    Raises UserError for anything the user can mend: before anything is written where that can be known, else
    state.json and events.jsonl say so too.
    """
    since = time.time()
    run = RunDir.of(config)
    run.require_place()
    own, config = config, resumed_config(run, config)
    device = pick_device(config.device)
    base = base_of(config)
    carried_out, notes = adapted(config, device)
    check_early(carried_out, base, device)
    world = _joined(run, config, device, since)
    with ExitStack() as stack:
        stack.push(world.leave)
        changed = world.on_main(lambda: _open(run, config, stack))
        events: EventSink = (
            Reporter(EventLog(run.events_file), run.log_file)
            if world.main
            else FailureReporter(run.events_file, world.rank)
        )
        stack.callback(events.close)
        attempts: _Attempts | None = None
        try:
            with StopSignal(run, main=world.main) as stop:
                for message in [*warnings_of(changed), *kept_notes(own, config), *notes, *kernel_notes(device)]:
                    events.emit("warning", message=message)
                attempts = _Attempts(config, carried_out, run, world, events)
                return attempts.until_it_fits(lambda now: _Run(now, base, run, world, events=events, stop=stop))
        except StopRequested:
            # Asked by who ends the others of a process that failed.
            if world.size > 1 and (cause := failure_elsewhere(run, since)):
                raise cause from None
            if world.main:
                run.write_state("stopped")
            step = run.read_state().get("step", 0)
            events.emit("stopped", step=step, message="stopped before training began; what was encoded is kept")
            return "stopped"
        except Exception as error:
            problem = training_problem(error, attempts.carried_out if attempts else carried_out)
            if world.size > 1 and (cause := failure_elsewhere(run, since)):
                raise cause from error
            if problem.code == "internal":
                events.traceback()
            write_failure(run, events, problem, place=attempts.place if attempts else "")
            if problem is error:
                raise
            raise problem from error


def _joined(run: RunDir, config: TrainConfig, device: torch.device, since: float) -> World:
    """This process among the others of the run; a failure is written down by the first that can open the run."""
    try:
        return World(mixed_precision=config.mixed_precision, cpu=device.type == "cpu")
    except Exception as error:
        # The process that failed first knows why; to the others it is a connection that was lost.
        if failure := failure_since(run.events_file, since):
            raise UserError.of(failure) from error
        problem = training_problem(error, config)
        with suppress(UserError, OSError), ExitStack() as stack:
            _open(run, config, stack)
            write_failure(run, FailureReporter(run.events_file, rank_of(os.environ, "RANK")), problem)
        if problem is error:
            raise
        raise problem from error


def _open(run: RunDir, config: TrainConfig, stack: ExitStack) -> tuple[Change, ...]:
    """Take the run for this process until `stack` closes; returns what changed since it was last trained."""
    stack.enter_context(run.lock())
    changed = check_rerun(run, config)
    stack.push(keeping_config(run))
    run.create(config)
    run.remove_leftovers()
    # What is asked while the same launcher starts this run's processes again is meant for these.
    if not run.is_run_by(os.getppid()):
        run.forget_requests()
        if not run.has_begun():
            # Of an earlier life whose checkpoints are gone.
            run.recovered_file.unlink(missing_ok=True)
    try:
        run.keep_reserve()
        run.write_state("running")
    except OSError as error:
        run.free_reserve()
        raise training_problem(error, config) from error
    stack.callback(run.free_reserve)
    return changed


class _Attempts:
    """One run after the other, each with less need of memory, until one does not run out of it."""

    def __init__(
        self, config: TrainConfig, carried_out: TrainConfig, run: RunDir, world: World, events: EventSink
    ) -> None:
        self.carried_out = carried_out
        # Where memory ran out for good; "" as long as it did not.
        self.place = ""
        self._config = config
        self._run = run
        self._world = world
        self._events = events

    def until_it_fits(self, make: Callable[[TrainConfig], "_Run"]) -> str:
        """Raises the want of memory that only the user can help against, and whatever else ends a run."""
        while True:
            attempt = make(self.carried_out)
            try:
                return attempt.go()
            except RuntimeError as error:
                if not is_gpu_memory(error):
                    raise
                # The others of several processes wait for a gradient that never comes: who started them does it again.
                steps = [step_of(folder) for folder in complete_checkpoints(self._run.checkpoints)]
                place, begun = attempt.place, bool(steps)
                rung = next_rung(self.carried_out, place, begun=begun) if self._world.size == 1 else None
                if rung is None:
                    self.place = place
                    raise
            # Outside of the handler: the error holds the frames, and they the tensors.
            del attempt
            self._world.release()
            release_memory()
            self._config = apply_rung(self._run, self._config, rung)
            self.carried_out = with_rung(self.carried_out, rung)
            message = recovery_message(rung, place, max(steps, default=0))
            self._events.emit("warning", message=message, settings=rung.values)


class _Run:
    def __init__(
        self,
        config: TrainConfig,
        base: BaseFolder,
        run: RunDir,
        world: World,
        *,
        events: EventSink,
        stop: StopSignal,
    ) -> None:
        self.config = config
        self.base = base
        self.run = run
        self.world = world
        self.events = events
        self.stop = stop
        self._phases = Phases(events, world.accelerator.device)
        self._place = PREPARING
        self._session: Session | None = None

    @property
    def place(self) -> str:
        """What it is at, or was when it failed."""
        return self._session.place if self._session else self._place

    def go(self) -> str:
        config, world = self.config, self.world
        self.events.emit(
            "started", message=f"run {self.run.path}", pid=os.getpid(), device=str(world.accelerator.device),
            processes=world.size, settings=pace_settings(config),
        )  # fmt: skip
        self._phases.at(CHECKING_DATA, 0, 1)
        prepared = Preparation(
            config, self.base, world, stop=self.stop, report=self._work, warn=self._warn,
            accept=partial(require_begun_base, self.run, self.base.root),
        ).go()  # fmt: skip
        checkpoint = self._restore_point(prepared)
        first = 0
        if checkpoint:
            first = checkpoint.state["step"]
            prepared = replace(prepared, schedule=self._going_on(prepared, checkpoint))
        schedule, total = prepared.schedule, prepared.schedule.total_steps
        undrawn = world.on_main(lambda: self._samples_missing(schedule, first))
        if checkpoint and first >= total and not undrawn:
            return self._already_finished(first, total)
        if config.lr_warmup_steps >= total:
            self._warn(f"lr_warmup_steps = {config.lr_warmup_steps} covers all {total} steps; the rate never peaks.")
        if any(world.any([self.stop.wanted()])):
            raise StopRequested
        self._place = LOADING
        trainer = self._build_trainer(prepared, checkpoint)
        if world.main:
            # Without a checkpoint the run begins anew, with the pictures and the validation before its first step.
            kept = first if checkpoint else -1
            for message in go_back_to(self.run, kept):
                self._warn(message)
            if config.tensorboard and isinstance(self.events, Reporter):
                self.events.add_board(Board(self.run.board, self.run.path, step=kept))
        # Only the main process writes and gives advice.
        earlier = earlier_steps(self.run) if world.main else EarlierSteps()
        validator = Validator(config, prepared.validation, prepared.store, world)
        state = checkpoint.state if checkpoint else {}
        for message in [
            *rate_warnings(config, prepared.schedule, first, earlier.rate),
            *validation_warnings(state.get("held_out"), validator.held_out),
        ]:
            self._warn(message)
        advisor = Advisor(
            config, prepared.samples, self.events, device=world.accelerator.device.type,
            machine=lambda: detect(self.run.path), total_steps=total, losses=earlier.losses,
        )  # fmt: skip
        self._session = session = Session(
            config, self.base, self.run, trainer, world=world, store=prepared.store, validator=validator,
            advisor=advisor, events=self.events, phases=self._phases, stop=self.stop, facts=self._facts(prepared),
            state=self._constant_state(prepared),
        )  # fmt: skip
        try:
            return session.train(state)
        finally:
            trainer.close()

    def _restore_point(self, prepared: PreparedData) -> Checkpoint | None:
        """The newest checkpoint that loads; the main process finds it, the others read the same one."""
        found: list[Checkpoint | None] = [None]

        def search() -> tuple[int | None, list[str]]:
            found[0], damaged = newest_checkpoint(self.run.checkpoints)
            step = found[0].state["step"] if found[0] else None
            return step, [folder.name for folder in damaged]

        step, damaged = self.world.on_main(search)
        for folder in damaged:
            self._warn(f"Checkpoint {folder} is damaged and was passed over.")
        if step is None:
            return None
        checkpoint = found[0] or load_checkpoint(self.run.checkpoint(step))
        require_base(checkpoint.state, self.base.root, prepared.base_id)
        if checkpoint.state["data"] != prepared.data_hash:
            self._warn("The data set (images, captions, repeats or buckets) differs from the one trained on so far.")
        before = checkpoint.state.get("world_size", 1)
        if before != self.world.size:
            self._warn(
                f"Trained by {before} process(es) so far and by {self.world.size} now: a step holds other images."
            )
        return checkpoint

    def _already_finished(self, done: int, total: int) -> str:
        if self.world.main:
            self.run.write_state("finished", step=done, total_steps=done)
        option = "max_train_steps" if self.config.max_train_steps else "num_epochs"
        beyond = f"{done} steps are done, more than the {total} that {option} asks for now"
        told = beyond if done > total else f"{done} of {total} steps are done"
        self.events.emit("finished", step=done, message=f"already finished: {told}")
        return "already finished"

    def _samples_missing(self, schedule: Schedule, done: int) -> bool:
        """True where a stop came while the pictures of a run's very last step, `done`, were drawn."""
        due = Due(self.config, schedule.steps_per_epoch, schedule.total_steps)
        last = done == schedule.total_steps and due.sample(done, schedule.ended_epochs(done))
        return last and bool(missing_samples(self.run, self.config, done))

    def _going_on(self, prepared: PreparedData, checkpoint: Checkpoint) -> Schedule:
        """The schedule from the checkpoint on, which may have epochs of another length."""
        schedule = prepared.schedule.going_on(checkpoint.state)
        before, now = checkpoint.state.get("steps_per_epoch"), schedule.steps_per_epoch
        if before and before != now:
            left = max(0, schedule.total_steps - checkpoint.state["step"])
            self._warn(
                f"An epoch has {now} steps now instead of {before}: the run goes on as far into epoch "
                f"{checkpoint.state['epoch'] + 1} as it was, and {left} steps are left."
            )
        return schedule

    def _optimizer_of(self, checkpoint: Checkpoint | None) -> str:
        """The optimizer that goes on: what a checkpoint holds belongs to the kind that made it."""
        wanted = self.config.optimizer_type
        kept = optimizer_kind(checkpoint) if checkpoint else wanted
        if kept == "AdamW8bit" != wanted:
            raise UserError(
                "rerun_refused",
                "This run was trained with AdamW8bit on a GPU; its optimizer state cannot go on without one.",
                ["Continue it on a machine with an NVIDIA GPU, or choose another output_name for a new run."],
            )
        if kept != wanted:
            self._warn(f"This run was begun with {kept} and goes on with it; {wanted} cannot take over its state.")
        return str(kept)

    def _build_trainer(self, prepared: PreparedData, checkpoint: Checkpoint | None) -> Trainer:
        self.config = config = replace(self.config, optimizer_type=self._optimizer_of(checkpoint))
        self._phases.at(LOADING_TRANSFORMER, 0, 1)
        model = load_base(config, self.base, self.world.accelerator.device, warn=self._warn)
        parameters = make_trainable(model, config, warn=self._warn)
        if checkpoint:
            load_weights(parameters, checkpoint.adapter, "The checkpoint")
        elif config.resume_from_lora:
            start = Path(config.resume_from_lora)
            for note in read_lora(start).notes:
                self._warn(note)
            load_weights(parameters, start_weights(start, adapter_shape(config), config.lora_alpha), str(start))
        trainer = Trainer(
            config, model, parameters, store=prepared.store, schedule=prepared.schedule, world=self.world
        )  # fmt: skip
        if checkpoint:
            trainer.restore(checkpoint.optimizer, checkpoint.state["scaler"])
        return trainer

    def _facts(self, prepared: PreparedData) -> TrainingFacts:
        frequency: dict[str, Counter[str]] = {}
        rules = CaptionRules.of(self.config)
        for item in (sample.item for sample in prepared.samples):
            for text in rules.written(item.caption):
                frequency.setdefault(item.path.parent.name, Counter()).update(tags_of(text))
        # With repeats, as kohya's, whose keys these are.
        buckets: Counter[str] = Counter()
        for sample in prepared.samples:
            buckets["{}x{}".format(*sample.bucket)] += sample.item.repeats
        return TrainingFacts(
            step=0, epoch=0, images=buckets.total(), tag_frequency=frequency, buckets=buckets,
            base_hash=prepared.base_hash, started_at=time.time(), processes=self.world.size,
        )  # fmt: skip

    def _constant_state(self, prepared: PreparedData) -> dict[str, str]:
        return {
            "base": prepared.base_id,
            "data": prepared.data_hash,
            "optimizer": self.config.optimizer_type,
        }

    def _work(self, name: str, done: int, total: int) -> None:
        """Tell of a phase between two pieces of encoding: where a stop may come in."""
        self.stop.check()
        self._place = name
        self._phases.at(name, done, total)

    def _warn(self, message: str) -> None:
        self.events.emit("warning", message=message)
