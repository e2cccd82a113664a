"""Hub ids as people write them; nothing is asked of the network."""

import os
import re
from dataclasses import dataclass

from trainer_core.contracts.errors import UserError
from trainer_core.planning.weight_files import PICKLES, SAFETENSORS

# The whole base as its makers publish it: transformer, both encoders with their tokenizers, VAE.
NEWBIE = "NewBie-AI/NewBie-image-Exp0.1"
URL = re.compile(r"^(?:https?://)?(?:www\.)?(?:huggingface\.co|hf\.co|hf-mirror\.com)/", re.IGNORECASE)
NAME = r"[A-Za-z0-9][\w.-]*"
_WEIGHTS = (*SAFETENSORS, *PICKLES)
PLACE = re.compile(rf"^({NAME}/{NAME})(?:/(?:tree|blob|resolve)/([\w.-]+))?((?:/[\w. -]+)*)/?$")


@dataclass(frozen=True, kw_only=True)
class HubPlace:
    """A repository, a branch or commit of it (None: main), and a folder or file inside ("": the root)."""

    repo: str
    revision: str | None
    inside: str

    @property
    def page(self) -> str:
        return f"https://huggingface.co/{self.repo}"


def parse_place(text: str) -> HubPlace | None:
    """A hub id as people write it: org/name, org/name/folder, hf:org/name, a page's address; None for anything else.

    A weight file in a folder that is here, or in no folder of a repository, is a path that was mistyped.
    """
    bare = URL.sub("", text.strip().removeprefix("hf:").removeprefix("//"))
    found = PLACE.match(bare.partition("?")[0])
    if found is None or ".." in bare:
        return None
    if bare == text.strip() and bare.endswith(_WEIGHTS) and (not found[3] or os.path.isdir(found[1])):
        return None
    return HubPlace(repo=found[1], revision=found[2], inside=found[3].strip("/"))


def require_place(text: str) -> HubPlace:
    """Like `parse_place`, for what can be nothing but a hub id. Raises UserError "part_missing"."""
    if place := parse_place(text):
        return place
    raise UserError(
        "part_missing",
        f"'{text}' is not a hub id.",
        ["Allowed: org/name, org/name/folder, or the address of a page on huggingface.co."],
    )
