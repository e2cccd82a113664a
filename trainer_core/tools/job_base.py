"""Jobs that bring a base model here: converting one that is on this disk, and fetching one from the hub.

Only `download` talks to the network, and it is queued only when a person asked for it.
"""

import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from trainer_core.contracts.base_part import BY_FOLDER, BY_KIND
from trainer_core.contracts.disk import bytes_of, disk_space
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.forms import BASE_FORMS, DTYPES
from trainer_core.contracts.fsutil import install_folder, write_json_atomic
from trainer_core.jobs.context import JobContext
from trainer_core.model.hub import cached_part
from trainer_core.model.hub_download import BaseListing, RemoteFile, fetch, listing
from trainer_core.planning.base_check import check_base
from trainer_core.planning.hub_place import NEWBIE
from trainer_core.tools.job_spec import Spec
from trainer_core.tools.outputs import require_new, require_room, writing

LIST = "download.json"


def convert(spec: Mapping[str, Any], job: JobContext) -> Mapping[str, Any]:
    """Writes a base in another layout.

    spec: source (a path, or a hub id that was fetched before), output (new folder, or new .safetensors file), to
    ("official", "comfyui"), dtype ("keep", "bf16", "fp16", "fp32"), parts ({transformer, gemma, clip, vae: path}).
    Result: output, bytes, and paths: the settings that name the new base. Stopped, nothing of it stays.

    Raises UserError: "job_invalid", "hub_not_here", and what `conversion.convert` raises.
    """
    from trainer_core.tools.conversion import Conversion
    from trainer_core.tools.conversion import convert as carry_out

    values = Spec(spec)
    form = values.choice("to", BASE_FORMS, BASE_FORMS[0])
    wanted = Conversion(
        source=values.text("source"),
        output=values.path("output"),
        form=form,
        dtype=values.choice("dtype", DTYPES, "keep"),
        parts=values.named_texts("parts", tuple(BY_KIND)),
    )
    output = carry_out(wanted, _here, lambda _, done, total: job.progress("converting", done, total))
    paths = {"base_model_path" if form == "official" else "transformer_path": str(output)}
    return {"output": str(output), "bytes": bytes_of(output), "paths": paths}


def download(spec: Mapping[str, Any], job: JobContext) -> Mapping[str, Any]:
    """Fetches a base from the hub into a new folder in the official layout; parts that are single files in ComfyUI's.

    spec: output (new folder), repo (hub id of a whole base; `NEWBIE` where it is not given), parts ({transformer,
    gemma, clip, vae: hub id} that come from elsewhere), plan (true: only say what it takes).
    Result: output, files, bytes, have (bytes of them that are here already), free (bytes on that disk), and paths, the
    settings that name the new base (none for a plan). Stopped or cut, what was fetched stays, and the next
    download into the same folder continues with it.

    Raises UserError: "job_invalid", "output_exists", "disk_full", and what `listing` and `fetch` raise.
    """
    values = Spec(spec)
    output, plan_only = values.path("output"), values.flag("plan")
    parts = dict.fromkeys(BY_KIND, values.text("repo", "") or NEWBIE) | values.named_texts("parts", tuple(BY_KIND))
    require_new(output, folder=True)
    half = half_folder(output)
    job.progress("listing", 0, 1)
    wanted = _listed(half, parts)
    have, space = wanted.here(half), disk_space(output)
    free = space.free if space else 0
    told = {"output": str(output), "files": len(wanted.files), "bytes": wanted.size, "have": have, "free": free}
    if plan_only:
        return told | {"paths": {}}
    require_room(output, wanted.size - have)
    with writing(output):
        half.mkdir(parents=True, exist_ok=True)
        write_json_atomic(half / LIST, {"parts": parts, "listing": asdict(wanted)})
    fetch(wanted.files, half, job.progress)
    with writing(output):
        (half / LIST).unlink()
        install_folder(half, output)
    return told | {"paths": _paths(output, wanted.places)}


def half_folder(output: Path) -> Path:
    """Where a download lies until it is whole: beside its place, on the same disk."""
    return output.with_name(f".{output.name}.download")


def _listed(half: Path, parts: Mapping[str, str]) -> BaseListing:
    """The files as listed when this download was begun, of the same commits; asked of the hub where it is a new one."""
    try:
        begun = json.loads((half / LIST).read_bytes())
        if begun["parts"] == dict(parts):
            files = tuple(RemoteFile(**file) for file in begun["listing"]["files"])
            return BaseListing(files=files, places=begun["listing"]["places"])
    except (OSError, ValueError, TypeError, KeyError):
        pass
    if half.is_dir():
        # Of another download into the same place; its half files would be taken for ours.
        shutil.rmtree(half)
    return listing(parts)


def _here(text: str, kind: str) -> Path:
    path = cached_part(text, kind)
    if path is None:
        raise UserError("hub_not_here", f"{text} is not on this computer yet.", ["Download it first."])
    return path


def _paths(folder: Path, places: Mapping[str, str]) -> dict[str, str]:
    """The settings that name a downloaded base: its folder, or each part where two layouts are mixed."""
    whole = {"base_model_path": str(folder)}
    if check_base(whole).error is None:
        return whole
    return {BY_FOLDER[part].option: str(folder / place) for part, place in places.items()}
