"""Reading a job's spec: whoever wrote job.json, nothing in it is believed."""

import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.user_path import user_path


class Spec:
    """Values by name. Every method raises UserError `job_invalid` for what is absent or not allowed."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = values

    def text(self, name: str, default: str | None = None) -> str:
        value = self._values.get(name, default)
        if not isinstance(value, str):
            raise self._wrong(name, "a text")
        return value

    def path(self, name: str) -> Path:
        """Not empty. Raises also UserError `home_unknown`."""
        value = self.text(name)
        if not value.strip() or "\0" in value:
            raise self._wrong(name, "a path")
        return user_path(value)

    def optional_path(self, name: str) -> Path | None:
        return self.path(name) if self._values.get(name) else None

    def choice(self, name: str, allowed: Collection[str], default: str) -> str:
        value = self.text(name, default)
        if value not in allowed:
            raise self._wrong(name, f"one of {', '.join(allowed)}")
        return value

    def whole(self, name: str, low: int, high: int, default: int | None = None) -> int:
        value = self._values.get(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self._wrong(name, f"a whole number from {low} to {high}")
        return value

    def number(self, name: str, low: float, high: float, default: float | None = None) -> float:
        return self._number(name, self._values.get(name, default), low, high)

    def numbers(self, name: str, low: float, high: float, default: tuple[float, ...]) -> tuple[float, ...]:
        """A list of 1 to 16 numbers."""
        values = self._values.get(name, default)
        if not isinstance(values, list | tuple) or not 1 <= len(values) <= 16:
            raise self._wrong(name, "a list of 1 to 16 numbers")
        return tuple(self._number(name, value, low, high) for value in values)

    def texts(self, name: str, most: int) -> tuple[str, ...]:
        values = self._values.get(name)
        if not isinstance(values, list) or not 1 <= len(values) <= most or not all(isinstance(v, str) for v in values):
            raise self._wrong(name, f"a list of 1 to {most} texts")
        return tuple(values)

    def named_texts(self, name: str, keys: Collection[str]) -> dict[str, str]:
        """{key: text} for some of ``keys``; absent is none, and what is empty is left out."""
        values = self._values.get(name) or {}
        if not isinstance(values, Mapping) or not all(k in keys and isinstance(v, str) for k, v in values.items()):
            raise self._wrong(name, f"texts by the names {', '.join(keys)}")
        return {key: text for key, text in values.items() if text}

    def flag(self, name: str) -> bool:
        """False where it is absent."""
        value = self._values.get(name, False)
        if not isinstance(value, bool):
            raise self._wrong(name, "true or false")
        return value

    def loras(self) -> list[tuple[Path, float]]:
        """Of "loras": [{path, strength}, ...], at least one; the strength's default is 1."""
        entries = self._values.get("loras")
        if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
            raise self._wrong("loras", "a list of LoRAs, at least one")
        specs = [Spec(entry) for entry in entries]
        return [(spec.path("path"), spec.number("strength", -100, 100, 1.0)) for spec in specs]

    def _number(self, name: str, value: object, low: float, high: float) -> float:
        # NaN is in no range.
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise self._wrong(name, f"a number from {low:g} to {high:g}")
        return float(value) if math.isfinite(value) else value

    def _wrong(self, name: str, expected: str) -> UserError:
        found = repr(self._values.get(name))
        return UserError("job_invalid", f"{name} = {found[:80]}: expected is {expected}. Nothing was done.")
