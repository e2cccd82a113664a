"""Sizes, times and other figures as people read them; the one place that words them."""

import time

from newbie_gui.texts import Texts
from trainer_core.planning.phases import GIB

__all__ = ["COUNTED_IN_BYTES", "GIB", "MIB", "cut", "date", "duration", "figure", "gib", "size_text"]

MIB = 2**20
# Nothing but bytes is counted this far.
COUNTED_IN_BYTES = 1_000_000


def gib(size: float) -> str:
    """Bytes in GiB, without the unit, with as many digits as are worth reading."""
    if size >= 100 * GIB:
        return f"{size / GIB:,.0f}"
    return f"{size / GIB:.1f}" if size >= GIB / 2 else f"{size / GIB:.2f}"


def size_text(count: int) -> str:
    """Bytes in the largest unit of which there is at least one, as rounded: "12.3 MiB"."""
    size = float(max(count, 0))
    for unit in ("B", "KiB", "MiB"):
        if round(size, 1) < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.2f} GiB"


def duration(seconds: float, t: Texts, *, roughly: bool = False) -> str:
    """In the two largest units: "3 h 05 min"; ``roughly`` leaves seconds away where there are minutes."""
    whole = round(max(0.0, seconds))
    if roughly and whole >= 60:
        whole = 60 * round(whole / 60)
    minutes, rest = divmod(whole, 60)
    hours, minutes_left = divmod(minutes, 60)
    days, hours_left = divmod(hours, 24)
    if days:
        return t("frame.time.days", days=f"{days:,}", hours=hours_left)
    if hours:
        return t("frame.time.hours", hours=hours, minutes=f"{minutes_left:02d}")
    if minutes and roughly:
        return t("frame.time.about_minutes", minutes=minutes)
    if minutes:
        return t("frame.time.minutes", minutes=minutes, seconds=rest)
    return t("frame.time.seconds", seconds=whole)


def date(stamp: float) -> str:
    """Local time to the minute; "" for none."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(stamp)) if stamp else ""


def figure(value: float | None) -> str:
    """Four digits; "" for none."""
    return "" if value is None else f"{value:.4g}"


def cut(text: str, most: int) -> str:
    """At most so many characters; the last one says that there is more."""
    return text if len(text) <= most else text[: most - 1] + "…"
