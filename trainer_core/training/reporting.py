"""What a run tells: each event goes to events.jsonl and, as a sentence, to the console and train.log."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from trainer_core.contracts.events import EventLog
from trainer_core.training.tensorboard import Board

LOGGER = "trainer_core.run"


class EventSink(Protocol):
    """Who a run tells what happens."""

    def emit(self, kind: str, **fields: object) -> None: ...

    def traceback(self) -> None: ...

    def close(self) -> None: ...


class Reporter:
    """Writes events and their sentences; `close` releases train.log."""

    def __init__(self, events: EventLog, log_file: Path) -> None:
        self._events = events
        self._board: Board | None = None
        self._step_told = 0.0
        self._logger = logging.getLogger(LOGGER)
        self._logger.setLevel(logging.INFO)
        self._logger.propagate = False
        form = logging.Formatter("%(asctime)s %(message)s", datefmt="%H:%M:%S")
        console = logging.StreamHandler()
        # Whoever started the run prints its error; said twice it would read like two.
        console.addFilter(lambda record: record.levelno < logging.ERROR)
        self._handlers: list[logging.Handler] = [console, logging.FileHandler(log_file, encoding="utf-8")]
        for handler in self._handlers:
            handler.setFormatter(form)
            self._logger.addHandler(handler)

    def emit(self, kind: str, **fields: object) -> None:
        self._events.emit(kind, **fields)
        sentence = "" if kind == "step" and self._too_soon(fields) else _sentence(kind, fields)
        if sentence:
            self._logger.log(logging.ERROR if kind == "failed" else logging.INFO, sentence)
        if self._board is not None:
            self._board.add(kind, fields)

    def add_board(self, board: Board) -> None:
        """From here on TensorBoard is told as well; one of an earlier attempt is closed."""
        if self._board is not None:
            self._board.close()
        self._board = board

    def _too_soon(self, fields: Mapping[str, object]) -> bool:
        """Fast steps are told once a second, the last one always; events.jsonl has them all."""
        now = time.monotonic()
        if fields["step"] != fields["total_steps"] and now - self._step_told < 1.0:
            return True
        self._step_told = now
        return False

    def traceback(self) -> None:
        """Keep the exception being handled, in full, in train.log."""
        self._logger.exception("an unexpected error")

    def close(self) -> None:
        if self._board is not None:
            self._board.close()
        for handler in self._handlers:
            self._logger.removeHandler(handler)
            handler.close()


class FailureReporter:
    """The other processes of a run: silent, but for a failure, which may be why the main one dies without a word."""

    def __init__(self, events_file: Path, rank: int) -> None:
        self._events_file = events_file
        self._rank = rank

    def emit(self, kind: str, **fields: object) -> None:
        if kind == "failed":
            EventLog(self._events_file, mend=False).emit(kind, **fields, rank=self._rank)

    def traceback(self) -> None:
        logging.getLogger(LOGGER).exception("an unexpected error in process %d", self._rank)

    def close(self) -> None:
        """Nothing is held open."""


def _sentence(kind: str, fields: Mapping[str, object]) -> str:
    """One readable line; empty for phases in between, which only the GUI shows."""
    if kind == "phase":
        return f"{fields['phase']}: {fields['total']} to do" if fields["done"] == 0 else ""
    if kind == "memory":
        card = "" if fields["peak_gib"] is None else f"{fields['peak_gib']:.2f} GiB of the GPU at the peak, "
        return f"memory for {fields['phase']}: {card}{fields['process_gib']:.2f} GiB of main memory"
    if kind == "step":
        return (
            f"step {fields['step']}/{fields['total_steps']}  epoch {fields['epoch']}  loss {fields['loss']:.4f}  "
            f"smoothed {fields['loss_smoothed']:.4f}  lr {fields['lr']:.2e}  {fields['seconds_per_step']:.2f} s/step  "
            f"ETA {duration(fields['eta_seconds'])}"
        )
    if kind == "validation":
        return f"validation: loss {fields['loss']:.4f} on {fields['images']} held-out images"
    if kind in ("sample", "checkpoint", "export"):
        best = ", the best so far" if fields.get("best") else ""
        return f"{kind}: {fields['path']}{best}"
    if kind == "warning":
        return f"warning: {fields['message']}"
    if kind in ("failed", "advice"):
        hints = "".join(f"\n  - {hint}" for hint in fields.get("hints", ()))  # type: ignore[attr-defined]
        return f"{kind}: {fields['message']}{hints}"
    return f"{kind}: {fields.get('message', '')}"


def duration(seconds: object) -> str:
    """1:02:03 or 2:03."""
    minutes, rest = divmod(round(float(seconds)), 60)  # type: ignore[arg-type]
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
