"""What the names and shapes of tensors tell of a model's sizes, and how they are refused; nothing is read."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from trainer_core.contracts.errors import UserError
from trainer_core.planning.headers import StoredTensor
from trainer_core.planning.tensor_names import shorten

INCOMPLETE = "Likely cause: an incomplete download or a damaged file; fetch the weights again."
EXTRA_PARTS = "Likely cause: a variant of the model with extra parts, or a config.json of a smaller model."


class ShapeSource(Protocol):
    """Named tensors that can be asked for their shape."""

    @property
    def location(self) -> str:
        """Where the tensors come from, for messages."""

    def names(self) -> Sequence[str]:
        """All names, in a stable order."""

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of one tensor, without reading it."""


class HeaderShapes:
    """The tensors of files of which only the headers were read."""

    def __init__(self, header: Mapping[str, StoredTensor], location: Path) -> None:
        self._header = header
        self._location = location

    @property
    def location(self) -> str:
        return str(self._location)

    def names(self) -> Sequence[str]:
        return sorted(self._header)

    def shape(self, name: str) -> tuple[int, ...]:
        return self._header[name].shape


class RenamedShapes:
    """`source` under new names; a tensor stored in parts has the shape of what they are together."""

    def __init__(self, source: ShapeSource, parts: Mapping[str, Sequence[str]], ones: Mapping[str, str]) -> None:
        """parts: new name -> stored names, to be joined on rows. ones: a tensor of ones -> its twin in shape."""
        self._source = source
        self._parts = dict(parts)
        self._ones = dict(ones)

    @property
    def location(self) -> str:
        return self._source.location

    def names(self) -> Sequence[str]:
        return sorted([*self._parts, *self._ones])

    def shape(self, name: str) -> tuple[int, ...]:
        name = self._ones.get(name, name)
        shapes = [self._source.shape(stored) for stored in self._parts[name]]
        odd = next((shape for shape in shapes if not shape or shape[1:] != shapes[0][1:]), None)
        if odd is not None or len(shapes) == 1:
            return shapes[0] if odd is None else odd  # parts that cannot be joined fit nothing, and are reported so
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])


def mismatch(
    what: str,
    location: str,
    *,
    missing: Sequence[str] = (),
    unexpected: Sequence[str] = (),
    misshapen: Sequence[str] = (),
) -> UserError:
    """The error for weights that do not fit, with up to eight names of each kind and the likely cause."""
    parts = [f"The weights in {location} do not fit the {what}."]
    for title, names in (("missing", missing), ("unexpected", unexpected), ("wrong shape", misshapen)):
        if names:
            parts.append(f"{len(names)} {title}: {shorten(names)}.")
    return UserError("weights_mismatch", " ".join(parts), [_likely_cause(missing, unexpected)])


def length_of(source: ShapeSource, name: str, what: str) -> int:
    """First dimension of a tensor that tells a size. Raises UserError("weights_mismatch"): absent, or without one."""
    if name not in source.names():
        raise mismatch(what, source.location, missing=[name])
    shape = source.shape(name)
    if not shape or not shape[0]:
        raise mismatch(what, source.location, misshapen=[f"{name} {list(shape)}"])
    return shape[0]


def count_of(source: ShapeSource, pattern: str, what: str) -> int:
    """How many numbered parts there are; `pattern` matches the start of their names, its last group is the number.

    Raises UserError("weights_mismatch") where numbers are left out: no model has gaps.
    """
    starts = {int(found[1]): found[0] for name in source.names() if (found := re.match(pattern, name))}
    for number, wanted in enumerate(sorted(starts)):
        if number != wanted:
            raise mismatch(what, source.location, missing=[starts[wanted].replace(str(wanted), str(number), 1) + "*"])
    return len(starts)


def _likely_cause(missing: Sequence[str], unexpected: Sequence[str]) -> str:
    for name in missing:
        for other in unexpected:
            if other.endswith("." + name):
                return f"Likely cause: the names carry an unknown prefix, '{other.removesuffix(name)}'."
            if name.endswith("." + other):
                return f"Likely cause: the names lack the prefix '{name.removesuffix(other)}'."
    if missing and unexpected:
        return "Likely cause: this is the wrong folder, or the weights of another model."
    if missing:
        return INCOMPLETE
    if unexpected:
        return EXTRA_PARTS
    return "Likely cause: another size of the model, or a config.json that does not belong to these weights."
