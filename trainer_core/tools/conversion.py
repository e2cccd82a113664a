"""One conversion as people ask for it: a source in any layout or a hub id, other parts, and what it shall become."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from trainer_core.contracts.base_part import BY_KIND
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.forms import BASE_SOURCES
from trainer_core.contracts.phase_names import Report
from trainer_core.contracts.user_path import user_path
from trainer_core.model.folder import find_base, find_transformer, transformer_dimensions
from trainer_core.model.writing import DTYPE_OF
from trainer_core.planning.hub_place import parse_place
from trainer_core.tools.convert import to_comfyui, to_official
from trainer_core.tools.outputs import require_folder_name, require_new


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """source and parts (by kind): paths or hub ids; form: one of `BASE_FORMS`; dtype: one of `DTYPES`."""

    source: str
    output: Path
    form: str = "official"
    dtype: str = "keep"
    parts: Mapping[str, str] = field(default_factory=dict)


def convert(wanted: Conversion, resolve: Callable[[str, str], Path], report: Report) -> Path:
    """Carries it out; `resolve(text, kind)` gives the path of a part.

    Raises UserError: "home_unknown", "base_missing" for a source that is neither path nor hub id, and what
    `find_base`, `resolve`, `to_official` and `to_comfyui` raise.
    """
    official = wanted.form == "official"
    if official:
        require_folder_name(wanted.output)
    require_new(wanted.output, folder=official)  # before anything is fetched
    dtype = DTYPE_OF[wanted.dtype]
    kinds = list(BY_KIND) if official else ["transformer"]
    given = {kind: wanted.parts[kind] for kind in kinds if wanted.parts.get(kind)}
    root: Path | None = user_path(wanted.source)
    if root is not None and not root.exists():
        if not parse_place(wanted.source):
            raise UserError("base_missing", f"SOURCE: {wanted.source} does not exist. Allowed: {BASE_SOURCES}.")
        given = dict.fromkeys(kinds, wanted.source) | given
        root = None
    if root is not None and "transformer" not in given:
        # A wrong file should not be found out after gigabytes of encoders were fetched.
        transformer_dimensions(find_transformer(root))
    paths = {kind: resolve(given[kind], kind) for kind in BY_KIND if kind in given}
    if official:
        return to_official(find_base(root, **paths), wanted.output, dtype=dtype, report=report)
    transformer = paths.get("transformer") or (find_transformer(root) if root else None)
    assert transformer is not None
    return to_comfyui(transformer, wanted.output, dtype=dtype, report=report)
