"""A view of open weight files under other names; nothing is read before it is asked for."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from trainer_core.model.weights import Closing, OpenFiles
from trainer_core.planning.tensor_shapes import RenamedShapes


class RenamedTensors(RenamedShapes, Closing):
    """`files` under new names; a tensor stored in parts is put together when it is read. A context manager."""

    def __init__(self, files: OpenFiles, parts: Mapping[str, Sequence[str]], ones: Mapping[str, str]) -> None:
        super().__init__(files, parts, ones)
        self._files = files

    def dtype(self, name: str) -> torch.dtype:
        return self._files.dtype(self._parts[self._ones.get(name, name)][0])

    def read(self, name: str) -> Tensor:
        if name in self._ones:
            return torch.ones(self.shape(name), dtype=self.dtype(name))
        stored = self._parts[name]
        return self._files.read(stored[0]) if len(stored) == 1 else torch.cat([self._files.read(n) for n in stored])

    def close(self) -> None:
        self._files.close()
