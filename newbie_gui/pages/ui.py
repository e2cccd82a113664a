"""What every tab is given, and the few ways in which all handlers behave alike."""

import functools
import json
import time
from collections.abc import Callable, Mapping
from typing import Any

import gradio as gr
from gradio.context import Context
from markupsafe import Markup

from newbie_gui.pages.html import digest
from newbie_gui.services import Services
from newbie_gui.texts import Lang, Texts
from newbie_gui.translate import hints, say, translate
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.jobdir import Kind
from trainer_core.jobs.queue import Entry


class Ui:
    """One language's view of the services; given to every tab's ``build``."""

    def __init__(self, lang: Lang, services: Services) -> None:
        self.lang = lang
        self.t = Texts(lang)
        self.services = services
        self.workspace = services.workspace
        self.remember = services.remember
        self.machine = services.machine
        self.queue = services.queue
        self.runs = services.runs
        self.health = services.health
        self.draft = services.draft
        self.datasets = services.datasets

    def say(self, error: UserError | OSError) -> str:
        """The error as one readable text in this page's language."""
        if isinstance(error, UserError):
            return " ".join((say(error, self.lang), *hints(error, self.lang)))
        return self.t("frame.error.disk", reason=self.translate(error.strerror or str(error)))

    def translate(self, text: str) -> str:
        """What the engine says, in this page's language."""
        return translate(text, self.lang)

    def newest(self, *kinds: Kind) -> Entry | None:
        """The job of these kinds that was asked for last, whatever became of it; an active one goes first."""
        mine = [entry for entry in self.queue.entries() if entry.job.kind in kinds]
        active = [entry for entry in mine if entry.active]
        return max(active or mine, key=lambda entry: entry.job.created, default=None)

    def guarded(self, handler: Callable[..., Any]) -> Callable[..., Any]:
        """``handler``, whose UserError or OSError becomes a toast and leaves every output as it is.

        Only for handlers that go through Gradio's queue: without it toasts do not arrive.
        """

        @functools.wraps(handler)
        def safe(*args: Any, **kwargs: Any) -> Any:
            try:
                return handler(*args, **kwargs)
            except (UserError, OSError) as error:
                gr.Warning(self.say(error))
                return gr.skip()

        return safe


def current_page() -> gr.Blocks:
    """The page that is being built."""
    assert Context.root_block is not None, "there is one inside of a gr.Blocks only"
    return Context.root_block


def hidden(elem_id: str | None = None) -> gr.Textbox:
    """A box that nobody sees: what the page holds for the next handler."""
    return gr.Textbox("", visible="hidden", show_label=False, elem_id=elem_id)


def held(text: object) -> Any:
    """The JSON in a hidden box; None where it cannot be read."""
    try:
        return json.loads(text) if isinstance(text, str) else None
    except (ValueError, RecursionError):
        return None


def said(event: gr.EventData, name: str) -> str:
    """A text that came with an event; whatever else came counts as none."""
    value = event._data.get(name) if isinstance(event._data, dict) else None
    return value if isinstance(value, str) else ""


# How an event is wired. `QUIET`: ticks and loads, answered at once. `ACTION`: what a person clicks, with toasts.
QUIET: dict[str, Any] = {"queue": False, "show_progress": "hidden", "api_visibility": "private"}
ACTION: dict[str, Any] = {"show_progress": "minimal", "api_visibility": "private", "concurrency_limit": None}


def stamp_of(entry: Entry | None) -> str:
    """What a page that shows this job has seen of it."""
    return "" if entry is None else f"{entry.job.id} {entry.status} {entry.phase} {entry.done}"


def news(seen: str | None, *views: Markup) -> tuple[Any, ...]:
    """Each view that the browser does not have by its stamp ``seen``, then the stamp of all; the rest is skipped."""
    known, stamps = (seen or "").split(), [digest(view) for view in views]
    if known == stamps:
        return tuple(gr.skip() for _ in (*views, stamps))
    known += [""] * len(stamps)
    changed = (str(view) if old != new else gr.skip() for view, old, new in zip(views, known, stamps, strict=False))
    return *changed, " ".join(stamps)


def on_news(timer: gr.Timer, handler: Callable[..., Any], inputs: Any, outputs: Any) -> None:
    """At each tick let ``handler`` update ``outputs``, at little cost where it has nothing new to tell.

    Gradio makes every output anew for every answer, also for one that says `gr.skip()`: about a millisecond each. So
    a tick only rings a bell, one output, and the bell fetches the rest. ``handler`` is called twice for each news.
    """
    bell = hidden()

    def look(*values: Any) -> Any:
        return str(time.monotonic_ns()) if has_news(handler(*values)) else gr.skip()

    timer.tick(look, inputs, bell, **QUIET)
    bell.change(handler, inputs, outputs, **QUIET)


def has_news(answer: Any) -> bool:
    """False for an answer that leaves every output as it is."""
    if _skips(answer):
        return False
    if isinstance(answer, Mapping):
        return not all(map(_skips, answer.values()))
    if isinstance(answer, tuple | list):
        return not all(map(_skips, answer))
    return True


def _skips(update: Any) -> bool:
    # The type first: a table of figures would compare each of its cells.
    return isinstance(update, dict) and update == gr.skip()
