"""What the doctor says about one config file or one run folder."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from trainer_core.contracts.base_part import BASE_OPTIONS
from trainer_core.contracts.config import TrainConfig, load_with_notes, options
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.events import read_events
from trainer_core.contracts.fsutil import tail
from trainer_core.contracts.rundir import RunDir
from trainer_core.planning.advice import speed_hints
from trainer_core.planning.base_check import PartReport, check_base
from trainer_core.planning.flat_loss import flat_loss_hints, is_flat, progress_of
from trainer_core.planning.hardware import Machine
from trainer_core.planning.ladder import ladder_hints

Lines: TypeAlias = list[str]

_ENDS = ("started", "finished", "stopped", "failed")
_LAST_EVENTS = 8
_LOG_LINES = 20
_LOG_BYTES = 64 * 1024


@dataclass(frozen=True, kw_only=True)
class DataCount:
    """What a data set holds: image files, those without a caption, and a line that says it."""

    images: int
    captionless: int
    line: str


Count: TypeAlias = Callable[[TrainConfig], DataCount]


def config_lines(file: Path, machine: Machine, count: Count) -> Lines:
    """Valid or not and why, the base's parts, the data, and the settings that are not the defaults."""
    try:
        loaded = load_with_notes(file)
    except UserError as error:
        return [str(error), *error.hints]
    config = loaded.config
    return ["valid", *loaded.notes, *_base_lines(config), _counted(config, count)[0], *_settings(config)]


def run_lines(folder: Path, machine: Machine, count: Count) -> Lines:
    """Status, the last events, the error with what helps against it, and the config."""
    run = RunDir(folder)
    if not run.state_file.exists() and not run.config_file.exists():
        return ["this is no run folder: it has neither state.json nor config.toml"]
    state = run.read_state()
    died = " (its process is gone without a word)" if run.interrupted() else ""
    events = read_events(run.events_file)
    lines = [f"status: {run.status()}{died}, step {state.get('step', '?')} of {state.get('total_steps', '?')}"]
    lines += _event_lines(events)
    try:
        config = load_with_notes(run.config_file).config
    except UserError as error:
        return [*lines, *_log_lines(run), str(error)]
    data, counted = _counted(config, count)
    lines += _advice_lines(run, config, events, machine, counted)
    return [*lines, "config:", *(f"  {line}" for line in (*_base_lines(config), data, *_settings(config)))]


def _base_lines(config: TrainConfig) -> Lines:
    report = check_base({name: getattr(config, name) for name in BASE_OPTIONS})
    whole = [f"base: {report.error}"] if report.error else [f"base: layout {report.layout}"]
    return [*whole, *(f"{part.part}: {_described(part)}" for part in report.parts)]


def _described(part: PartReport) -> str:
    reason = f": {part.error}" if part.error else ""
    if part.state in ("missing", "hub"):
        return f"{part.path} is the id of a model on the hub" if part.state == "hub" else f"NOT THERE{reason}"
    facts = [part.path, f"{part.size / 2**20:.0f} MiB", *([part.dtype] if part.dtype else [])]
    return ", ".join([*facts, *([f"{part.state}{reason}"] if part.state != "good" else [])])


def _counted(config: TrainConfig, count: Count) -> tuple[str, DataCount | None]:
    try:
        counted = count(config)
    except (OSError, UserError) as error:
        return f"data: {error}", None
    return f"data: {counted.line}", counted


def _settings(config: TrainConfig) -> Lines:
    """Prompts are the user's own business: only that there are some."""
    changed = [
        f"{spec.name} = {_short(getattr(config, spec.name))}"
        for spec in options()
        if getattr(config, spec.name) != spec.default and "prompt" not in spec.name
    ]
    return [*changed, f"sample_prompts: {len(config.sample_prompts)}"]


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 160 else text[:157] + "..."


def _event_lines(events: Sequence[Mapping[str, Any]]) -> Lines:
    told = [event for event in events if event.get("event") != "step"][-_LAST_EVENTS:]
    steps = [event for event in events if event.get("event") == "step"][-1:]
    return [_event_line(event) for event in (*told, *steps)]


def _event_line(event: Mapping[str, Any]) -> str:
    try:
        clock = time.strftime("%m-%d %H:%M:%S", time.localtime(event.get("time")))
    except (OSError, OverflowError, TypeError, ValueError):
        clock = "?"
    details = {key: value for key, value in event.items() if key not in ("event", "time", "prompt", "hints")}
    return f"{clock} {event.get('event')}: " + ", ".join(f"{key} {_short(value)}" for key, value in details.items())


def _advice_lines(
    run: RunDir, config: TrainConfig, events: Sequence[Mapping[str, Any]], machine: Machine, data: DataCount | None
) -> Lines:
    last = _newest(events, _ENDS)
    if last.get("event") == "failed":
        if last.get("code") == "out_of_memory":
            return ["against running out of memory, in this order:", *_listed(ladder_hints(config))]
        hints = last.get("hints")
        return [*_listed(hints if isinstance(hints, list) else []), *_log_lines(run)]
    if run.interrupted():
        return _log_lines(run)
    steps = [event for event in events if event.get("event") == "step"]
    losses = [event["loss"] for event in steps if isinstance(event.get("loss"), float)]
    lines = []
    if is_flat(losses, progress_of(_newest(events, ("step",)))):
        images, captionless = (data.images, data.captionless) if data else (0, 0)
        hints = flat_loss_hints(config, images=images, captionless=captionless, steps=len(steps))
        lines += ["the loss does not fall:", *_listed(hints)]
    if run.status() == "running" and steps:
        device = "cuda" if str(_newest(events, ("started",)).get("device")).startswith("cuda") else "cpu"
        seconds = [e["seconds_per_step"] for e in steps if isinstance(e.get("seconds_per_step"), float)]
        lines += ["speed:", *_listed(speed_hints(config, machine, device=device, step_seconds=seconds))]
    return lines


def _newest(events: Sequence[Mapping[str, Any]], kinds: Sequence[str]) -> Mapping[str, Any]:
    nothing: Mapping[str, Any] = {}
    return next((event for event in reversed(events) if event.get("event") in kinds), nothing)


def _listed(hints: Sequence[object]) -> Lines:
    return [f"- {hint}" for hint in hints]


def _log_lines(run: RunDir) -> Lines:
    """The end of train.log: what was not foreseen has its traceback there."""
    try:
        text = tail(run.log_file, _LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    return ["train.log ends:", *(f"| {line}" for line in text.splitlines()[-_LOG_LINES:])]
