"""The queue as HTML, from its entries: what runs and waits, and what has ended."""

from collections.abc import Sequence

from markupsafe import Markup

from newbie_gui.formatting import COUNTED_IN_BYTES, date
from newbie_gui.pages.html import bar, bullets, button, note
from newbie_gui.texts import Texts
from newbie_gui.translate import translate
from trainer_core.jobs.entries import Entry

# A page of ended ones; the list of runs has all trainings.
MOST_ENDED = 20


def render_now(t: Texts, entries: Sequence[Entry], paused: str) -> Markup:
    """Running jobs with their progress, waiting ones with their buttons, and the pause with its reason.

    Args:
        paused: as `Queue.paused` tells it.
    """
    running = [entry for entry in entries if entry.at_work]
    waiting = [entry for entry in entries if entry.status == "waiting"]
    parts = [Markup("<h3>{}</h3>").format(t("queue.heading")), _pause(t, paused, bool(running or waiting))]
    if not running and not waiting:
        parts.append(Markup('<p class="muted">{}</p>').format(t("queue.empty")))
    if running:
        rows = Markup("").join(_running(t, entry) for entry in running)
        parts.append(Markup("<h4>{}</h4><ul>{}</ul>").format(t("queue.running"), rows))
    if waiting:
        taken = {name for entry in running for name in entry.job.resources}
        rows = Markup("").join(_waiting(t, entry, len(waiting), taken, bool(paused)) for entry in waiting)
        parts.append(Markup("<h4>{}</h4><ol>{}</ol>").format(t("queue.waiting"), rows))
    return Markup('<div class="queue">{}</div>').format(Markup("").join(parts))


def render_ended(t: Texts, entries: Sequence[Entry]) -> Markup:
    """The newest jobs that ended, with why, and a button that removes each from the list."""
    ended = [entry for entry in entries if not entry.active and not _goes_without_saying(entry)]
    if not ended:
        return Markup('<p class="muted">{}</p>').format(t("queue.ended.none"))
    rows = Markup("").join(_ended(t, entry) for entry in ended[:MOST_ENDED])
    more = t("queue.ended.more", count=len(ended) - MOST_ENDED) if len(ended) > MOST_ENDED else ""
    return Markup('<div class="queue"><ul>{}</ul><p class="muted">{}</p></div>').format(rows, more)


def _goes_without_saying(entry: Entry) -> bool:
    """What the page queues by itself is shown while it runs and where it failed."""
    return entry.own and entry.status != "failed"


def _pause(t: Texts, paused: str, something: bool) -> Markup:
    if paused:
        return note("warning", t(f"queue.paused.{paused}"), _button(t, "continue", ""), role="status")
    if not something:
        return Markup("")
    return Markup("<p>{} <small>{}</small></p>").format(_button(t, "pause", ""), t("queue.pause.help"))


def _running(t: Texts, entry: Entry) -> Markup:
    status = t(f"queue.status.{entry.status}")
    drawn = bar(entry.done, entry.total, entry.job.title) if entry.total else ""
    # A training is stopped where it is shown: there the choice is whether it saves first.
    stops = entry.job.kind != "train" and entry.status == "running"
    return Markup('<li data-job="{}">{}<span class="queue-buttons">{}</span></li>').format(
        entry.job.id,
        _what(t, entry, Markup("{} · {}{}").format(status, _progress(t, entry), drawn)),
        _button(t, "stop", entry.job.id, entry.job.title) if stops else "",
    )


def _progress(t: Texts, entry: Entry) -> str:
    if entry.phase == "training":
        return t("queue.step", done=entry.done, total=entry.total)
    phase = t.phase(entry.phase)
    if entry.total > COUNTED_IN_BYTES:
        return t("queue.percent", phase=phase, percent=100 * entry.done // entry.total)
    return t("queue.phase", phase=phase, done=entry.done, total=entry.total) if entry.total > 1 else phase


def _waiting(t: Texts, entry: Entry, count: int, taken: set[str], paused: bool) -> Markup:
    job, first, last = entry.job, entry.position == 1, entry.position == count
    if paused and entry.held:
        reason = t("queue.held")
    else:
        busy = [_resource(t, name) for name in job.resources if name in taken]
        reason = t("queue.starts_when", what=t.joined(busy)) if busy else t("queue.starts_soon")
    words = Markup("{} · {}").format(t("queue.place", number=entry.position), reason)
    buttons = Markup("").join(
        (
            _button(t, "up", job.id, job.title, disabled=first),
            _button(t, "down", job.id, job.title, disabled=last),
            _button(t, "cancel", job.id, job.title),
        )
    )
    return Markup('<li data-job="{}">{}<span class="queue-buttons">{}</span></li>').format(
        job.id, _what(t, entry, words), buttons
    )


def _ended(t: Texts, entry: Entry) -> Markup:
    at = date(entry.ended or 0.0)
    words = Markup('<span class="queue-status">{}</span> · {}').format(t(f"queue.status.{entry.status}"), at)
    why = Markup("")
    if entry.message:
        hints = bullets(translate(hint, t.lang) for hint in entry.hints)
        why = Markup('<div class="queue-why">{}{}</div>').format(translate(entry.message, t.lang), hints)
    return Markup('<li data-job="{}">{}<span class="queue-buttons">{}</span>{}</li>').format(
        entry.job.id, _what(t, entry, words), _button(t, "forget", entry.job.id, entry.job.title), why
    )


def _what(t: Texts, entry: Entry, words: Markup) -> Markup:
    return Markup('<span class="queue-what"><strong>{}</strong> {}<br>{}</span>').format(
        entry.job.title, t(f"queue.kind.{entry.job.kind}"), words
    )


def _resource(t: Texts, name: str) -> str:
    kind, _, which = name.partition(":")
    if kind == "gpu":
        return t("queue.resource.gpu", number=which)
    if kind == "files":
        return t("queue.resource.files", name=which)
    key = f"queue.resource.{kind}"
    return t(key) if key in t else name


def _button(t: Texts, verb: str, job_id: str, title: str = "", *, disabled: bool = False) -> Markup:
    label = t(f"queue.{verb}.label", title=title) if job_id else ""
    return button(verb, job_id, t(f"queue.{verb}"), label, disabled=disabled)
