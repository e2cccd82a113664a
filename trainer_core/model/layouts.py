"""Opening a weight file or a folder of them by what it holds, whatever it is called.

Promises: nothing but headers is read until a tensor is asked for, and nothing in a file is ever run.
"""

from collections.abc import Sequence
from pathlib import Path

from trainer_core.contracts.errors import UserError
from trainer_core.model.pickles import PickleFile
from trainer_core.model.renamed import RenamedTensors
from trainer_core.model.weights import OpenFiles, SafetensorsFiles, refuse_quantised
from trainer_core.planning.tensor_names import bare_names
from trainer_core.planning.transformer_names import official_parts
from trainer_core.planning.weight_files import is_pickle, refuse_stand_in, transformer_files


def open_transformer(path: Path) -> RenamedTensors:
    """NewBie's transformer in any layout, under its official names; to be closed.

    Layouts: the official folder (one file or shards), a single safetensors file with any prefix, an all-in-one
    file, a training dump (.pth, .pt, .ckpt) or its folder, diffusers' Lumina2 naming.

    Raises UserError: "weights_missing", "weights_broken", "weights_ambiguous", "weights_mismatch",
    "weights_quantised", "weights_unsafe", "weights_sharded" (model parallel), "wrong_model".
    """
    files = open_weights(path)
    try:
        refuse_quantised(files, bare_names(files.names(), files.location))
        return RenamedTensors(files, *official_parts(files.names(), files.location))
    except BaseException:
        files.close()
        raise


def open_weights(path: Path) -> OpenFiles:
    """The tensors of a file, or of the one model in a folder, under their stored names; to be closed."""
    if path.is_file():
        return _open_file(path)
    if not path.is_dir():
        raise UserError("weights_missing", f"{path} does not exist; a weight file or its folder is expected there.")
    files = transformer_files(path, _names)
    return _open_file(files[0]) if len(files) == 1 else SafetensorsFiles(files, path)


def _open_file(file: Path) -> OpenFiles:
    refuse_stand_in(file)
    return PickleFile(file) if is_pickle(file) else SafetensorsFiles([file], file)


def _names(file: Path) -> Sequence[str]:
    files = _open_file(file)
    try:
        return files.names()
    finally:
        files.close()
