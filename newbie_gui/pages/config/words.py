"""Figures and engine terms in the page's language, and the small pieces of HTML that several panels use."""

from collections.abc import Iterable

from markupsafe import Markup

from newbie_gui.texts import Texts
from trainer_core.planning.phases import Component

GIB = 2**30
# Bytes: less would read 0.00 GiB and is not worth naming.
WORTH_NAMING = GIB // 200


def gib(size: float) -> str:
    """GiB with as many digits as are worth reading."""
    if size >= 100 * GIB:
        return f"{size / GIB:,.0f}"
    return f"{size / GIB:.1f}" if size >= GIB / 2 else f"{size / GIB:.2f}"


def part_name(name: str, t: Texts) -> str:
    """A component or phase of the forecast."""
    key = f"config.part.{name}"
    return t(key) if key in t else name


def parts_text(components: Iterable[Component], t: Texts) -> str:
    """ "weights 6.5, adapter 0.1" in GiB; what is next to nothing is left out."""
    named = (part for part in components if part.bytes >= WORTH_NAMING)
    return joined((f"{part_name(part.name, t)} {gib(part.bytes)}" for part in named), t)


def joined(parts: Iterable[str], t: Texts) -> str:
    """A list within a sentence."""
    return ("、" if t.lang == "zh" else ", ").join(parts)


def duration(seconds: float, t: Texts) -> str:
    """1 h 05 min, 12 min, 40 s."""
    minutes = round(seconds / 60)
    if minutes >= 60:
        return t("config.time.hours", hours=f"{minutes // 60:,}", minutes=f"{minutes % 60:02d}")
    if minutes >= 1:
        return t("config.time.minutes", minutes=minutes)
    return t("config.time.seconds", seconds=round(seconds))


def bullets(sentences: Iterable[str], kind: str = "") -> Markup:
    """A list; `kind` is one more class."""
    items = Markup("").join(Markup("<li>{}</li>").format(sentence) for sentence in sentences)
    return Markup('<ul class="config-list {}">{}</ul>').format(kind, items) if items else Markup("")


def note(kind: str, *parts: str | Markup) -> Markup:
    """A framed remark: kind is "good", "warning", "error" or ""."""
    return Markup('<div class="note {}">{}</div>').format(kind, Markup(" ").join(parts))
