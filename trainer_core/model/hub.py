"""A part of a base model by path or by hub id; only the files that are needed are fetched.

Promises: what is already in the local hub cache is used without a word to the network, and no message ever holds
a token.
"""

import os
import re
from pathlib import Path
from typing import NoReturn

import httpx2
from huggingface_hub import constants, get_cached_repo_tree, get_token, snapshot_download
from huggingface_hub.errors import (
    CachedRepoTreeNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    XetDownloadError,
)
from huggingface_hub.hf_api import HfApi

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.fsutil import is_disk_full
from trainer_core.contracts.user_path import user_path
from trainer_core.model.hub_files import Choice, choose, is_whole
from trainer_core.planning.hub_place import HubPlace, parse_place

# Visible ASCII: anything else in a request's header ends in an error that quotes the token.
TOKEN = re.compile(r"^[!-~]+$")
ANSWER_WITHIN_S = 30.0
TOKEN_HINT = (
    "Give a token that may read it: in the environment variable HF_TOKEN, in the page's token field, or to convert "
    "with --token (convert_newbie_to_diffusers.py: --hf_token)."
)


def resolve_part(text: str, kind: str, token: str | None = None) -> Path:
    """The local path of a part (kind: transformer, gemma, clip or vae) that is given by path or by hub id.

    Raises UserError: "home_unknown", "part_missing" (neither path nor id), "hub_token", "hub_gated", "hub_not_found",
    "hub_unfit" (the repository holds no such part), "hub_offline", "hub_unreachable", "disk_full".
    """
    if found := cached_part(text, kind):
        return found
    place = parse_place(text)
    if place is None:
        raise UserError(
            "part_missing",
            f"'{text}' is neither an existing path nor a hub id.",
            ["Allowed: a file, a folder, org/name, org/name/folder, or the address of a page on huggingface.co."],
        )
    return _fetched(place, kind, token)


def cached_part(text: str, kind: str) -> Path | None:
    """`resolve_part` without the network: an existing path, or the files of an earlier download; else None."""
    path = user_path(text)
    if text.strip() and path.exists():
        return path
    place = parse_place(text)
    return None if place is None else _in_cache(place, kind)


def _in_cache(place: HubPlace, kind: str) -> Path | None:
    """From the files of an earlier download, where all that are needed are there."""
    try:
        folder = Path(snapshot_download(place.repo, revision=place.revision, allow_patterns=[], local_files_only=True))
        choice = choose(_cached_names(place, folder), kind, place.inside)
    except (LocalEntryNotFoundError, HFValidationError, UserError):
        return None
    whole = is_whole(choice, kind) and all((folder / file).is_file() for file in choice.files)
    return folder / choice.path if whole else None


def _cached_names(place: HubPlace, folder: Path) -> list[str]:
    """All names of the repository as remembered; older versions of the hub's client remember only what they fetched."""
    try:
        return [file.path for file in get_cached_repo_tree(place.repo, revision=place.revision)]
    except CachedRepoTreeNotFoundError:
        return [file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file()]


def _fetched(place: HubPlace, kind: str, token: str | None) -> Path:
    try:
        given = usable_token(token)
        choice = _chosen(place, kind, given)
        folder = snapshot_download(
            place.repo, revision=place.revision, allow_patterns=choice.patterns, token=given or False
        )
    except (httpx2.HTTPError, XetDownloadError, HFValidationError, OSError, RuntimeError) as error:
        refuse(place, error, has_token=bool(token or get_token()))
    return Path(folder) / choice.path


def usable_token(token: str | None) -> str | None:
    """The token given, or the one this computer is logged in with. Raises UserError("hub_token")."""
    given = (token or get_token() or "").strip()
    if given and not TOKEN.match(given):
        raise UserError(
            "hub_token",
            "The hub token holds characters that no token has (blanks, line breaks or letters beyond ASCII).",
            ["Copy it again from https://huggingface.co/settings/tokens; it starts with hf_."],
        )
    return given or None


def _chosen(place: HubPlace, kind: str, token: str | None) -> Choice:
    info = HfApi(token=token or False).model_info(place.repo, revision=place.revision, timeout=ANSWER_WITHIN_S)
    return choose([sibling.rfilename for sibling in info.siblings or []], kind, place.inside, repo=place.repo)


def refuse(place: HubPlace, error: Exception, *, has_token: bool, into: Path | None = None) -> NoReturn:
    """The error as something to act on. `from None`: a library's own text might quote what was sent.

    into: the folder that is written, where it is not the hub's own cache.
    """
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
    if isinstance(error, GatedRepoError):
        raise _gated(place, has_token=has_token) from None
    if isinstance(error, RevisionNotFoundError):
        raise UserError("hub_not_found", f"{place.repo} has no branch or commit '{place.revision}'.") from None
    if status == 403 or (status == 401 and (has_token or not isinstance(error, RepositoryNotFoundError))):
        raise _refused(place, has_token=has_token) from None
    if isinstance(error, RepositoryNotFoundError | HFValidationError) or status == 404:
        raise _not_found(place, has_token=has_token) from None
    if isinstance(error, OfflineModeIsEnabled) or constants.is_offline_mode():
        raise UserError(
            "hub_offline",
            f"{place.repo} is not on this computer yet, and nothing is fetched here.",
            ["Download, convert and a training fetch it, unless HF_HUB_OFFLINE=1 is set; or give a local path."],
        ) from None
    if is_disk_full(error) or "No space left" in str(error):
        raise UserError(
            "disk_full",
            f"The disk filled up while {place.repo} was fetched into {into or constants.HF_HUB_CACHE}.",
            [
                "Free some space and repeat: finished files are kept.",
                *([] if into else ["HF_HOME=<folder> puts the cache on another disk."]),
            ],
        ) from None
    if isinstance(error, PermissionError | FileExistsError | NotADirectoryError):
        raise UserError(
            "hub_cache",
            f"{into or f'The hub cache {constants.HF_HUB_CACHE}'} cannot be written ({os.strerror(error.errno or 0)}).",
            ["Choose another folder."] if into else ["HF_HOME=<folder> puts it elsewhere."],
        ) from None
    answer = f" It answered {status}." if status else ""
    raise UserError(
        "hub_unreachable",
        f"The hub could not be reached, or broke off, while {place.repo} was fetched.{answer}",
        [
            "Check the network connection (proxy, firewall), then repeat: finished files are kept.",
            "HF_ENDPOINT=<address> uses another server.",
        ],
    ) from None


def _gated(place: HubPlace, *, has_token: bool) -> UserError:
    return UserError(
        "hub_gated",
        f"{place.repo} is given only to those who accepted its licence"
        + (", and the account of your token has not been granted access." if has_token else "; no token was sent."),
        [f"Open {place.page}, log in and accept the licence there.", TOKEN_HINT],
    )


def _refused(place: HubPlace, *, has_token: bool) -> UserError:
    if not has_token:
        return UserError("hub_token", f"The hub asks for a token before it gives {place.repo}.", [TOKEN_HINT])
    return UserError(
        "hub_token",
        f"The hub refused the token for {place.repo}: it is wrong, expired, or lacks the right to read it.",
        ["See https://huggingface.co/settings/tokens; a fine-grained token needs read access to gated repositories."],
    )


def _not_found(place: HubPlace, *, has_token: bool) -> UserError:
    private = "" if has_token else " Private ones are shown only to a token."
    return UserError(
        "hub_not_found",
        f"There is no path '{place.repo}' here and no repository of that name on the hub.{private}",
        ["Check the spelling; a local path must exist.", TOKEN_HINT],
    )
