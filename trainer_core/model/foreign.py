"""Compressed weights are refused when files are opened for loading."""

from collections.abc import Mapping

from trainer_core.model.weights import OpenFiles
from trainer_core.planning import tensor_names


def refuse_quantised(files: OpenFiles, names: Mapping[str, str]) -> None:
    """Raises UserError("weights_quantised") where the names or the dtypes show it. `names`: shown -> stored."""
    tensor_names.refuse_quantised(files.location, names, lambda stored: str(files.dtype(stored)).removeprefix("torch."))
