"""Engine terms of a forecast in the page's language."""

from collections.abc import Iterable

from newbie_gui.formatting import GIB, gib
from newbie_gui.texts import Texts
from trainer_core.planning.phases import Component

# Bytes: less would read 0.00 GiB and is not worth naming.
WORTH_NAMING = GIB // 200


def part_name(name: str, t: Texts) -> str:
    """A component of the forecast."""
    key = f"config.part.{name}"
    return t(key) if key in t else name


def parts_text(components: Iterable[Component], t: Texts) -> str:
    """ "weights 6.5, adapter 0.1" in GiB; what is next to nothing is left out."""
    named = (part for part in components if part.bytes >= WORTH_NAMING)
    return t.joined(f"{part_name(part.name, t)} {gib(part.bytes)}" for part in named)
