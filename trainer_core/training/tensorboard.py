"""A run's events for TensorBoard, on request (`tensorboard = true`): tensorboard --logdir output."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

_STEP_SCALARS = ("loss", "loss_smoothed", "lr", "grad_norm", "images_per_second", "memory_gib")


class Board:
    """Writes scalars and samples below `folder`; what an interrupted run wrote after `step` is hidden."""

    def __init__(self, folder: Path, run: Path, *, step: int) -> None:
        # Only runs that ask for it pay for the import.
        from torch.utils.tensorboard import SummaryWriter

        self._run = run
        self._writer: Any = SummaryWriter(str(folder), purge_step=step + 1)

    def add(self, kind: str, fields: Mapping[str, Any]) -> None:
        """One event; kinds without a figure or a picture are passed over."""
        if kind == "step":
            for name in _STEP_SCALARS:
                self._writer.add_scalar(f"train/{name}", fields[name], fields["step"])
        elif kind == "validation":
            self._writer.add_scalar("validation/loss", fields["loss"], fields["step"])
            for band, loss in fields["bands"].items():
                self._writer.add_scalar(f"validation/t {band}", loss, fields["step"])
        elif kind == "sample":
            with Image.open(self._run / fields["path"]) as picture:
                pixels = np.asarray(picture.convert("RGB"))
            name = f"sample {fields['number']:02d}"
            self._writer.add_image(name, pixels, fields["step"], dataformats="HWC")
            self._writer.add_text(name, fields["prompt"], fields["step"])

    def close(self) -> None:
        self._writer.close()
