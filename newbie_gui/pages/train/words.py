"""Figures and states of a run in words."""

import time

from newbie_gui.texts import Texts


def duration(t: Texts, seconds: float) -> str:
    """In the two largest units: "3 h 20 min"."""
    whole = round(max(0.0, seconds))
    minutes, rest = divmod(whole, 60)
    hours, minutes_left = divmod(minutes, 60)
    days, hours_left = divmod(hours, 24)
    if days:
        return t("train.days", days=days, hours=hours_left)
    if hours:
        return t("train.hours", hours=hours, minutes=minutes_left)
    if minutes:
        return t("train.minutes", minutes=minutes, seconds=rest)
    return t("train.seconds", seconds=whole)


def date(stamp: float) -> str:
    """Local time to the minute; "" for none."""
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(stamp)) if stamp else ""


def figure(value: float | None) -> str:
    """Four digits; "" for none."""
    return "" if value is None else f"{value:.4g}"


def size(count: int) -> str:
    """Bytes as MiB or GiB."""
    mib = count / 2**20
    if mib >= 1024:
        return f"{mib / 1024:.2f} GiB"
    return f"{mib:.1f} MiB" if mib >= 0.1 else f"{count / 1024:.1f} KiB"


def phase(t: Texts, name: str) -> str:
    """A phase as the trainer names it; a name without words of its own stays as it is."""
    key = "train.phase." + "_".join("".join(c if c.isalnum() else " " for c in name.lower()).split())
    return t(key) if key in t else name
