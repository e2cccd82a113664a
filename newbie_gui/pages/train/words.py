"""States of a run in words."""

from newbie_gui.texts import Texts


def phase(t: Texts, name: str) -> str:
    """A phase as the trainer names it; a name without words of its own stays as it is."""
    key = "train.phase." + "_".join("".join(c if c.isalnum() else " " for c in name.lower()).split())
    return t(key) if key in t else name
