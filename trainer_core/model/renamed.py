"""A view of open weight files under other names; nothing is read before it is asked for."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from trainer_core.model.weights import Closing, OpenFiles


class RenamedTensors(Closing):
    """`files` under new names; a tensor stored in parts is put together when it is read. A context manager."""

    def __init__(self, files: OpenFiles, parts: Mapping[str, Sequence[str]], ones: Mapping[str, str]) -> None:
        """parts: new name -> stored names, to be joined on rows. ones: a tensor of ones -> its twin in shape."""
        self._files = files
        self._parts = dict(parts)
        self._ones = dict(ones)

    @property
    def location(self) -> str:
        return self._files.location

    def names(self) -> Sequence[str]:
        return sorted([*self._parts, *self._ones])

    def shape(self, name: str) -> tuple[int, ...]:
        name = self._ones.get(name, name)
        shapes = [self._files.shape(stored) for stored in self._parts[name]]
        odd = next((shape for shape in shapes if not shape or shape[1:] != shapes[0][1:]), None)
        if odd is not None or len(shapes) == 1:
            return shapes[0] if odd is None else odd  # parts that cannot be joined fit nothing, and are reported so
        return (sum(shape[0] for shape in shapes), *shapes[0][1:])

    def dtype(self, name: str) -> torch.dtype:
        return self._files.dtype(self._parts[self._ones.get(name, name)][0])

    def read(self, name: str) -> Tensor:
        if name in self._ones:
            return torch.ones(self.shape(name), dtype=self.dtype(name))
        stored = self._parts[name]
        return self._files.read(stored[0]) if len(stored) == 1 else torch.cat([self._files.read(n) for n in stored])

    def close(self) -> None:
        self._files.close()
