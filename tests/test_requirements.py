"""requirements.txt pins everything that its packages need, for each Python and system that is supported."""

from importlib.metadata import requires
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
SYSTEMS = ({"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix"},
           {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt"})  # fmt: skip


def pins(machine: dict[str, str]) -> set[str]:
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    return {canonicalize_name(pin.name) for pin in wanted([line for line in lines if line[:1] not in "#"], machine)}


def wanted(lines: list[str], machine: dict[str, str]) -> list[Requirement]:
    """The requirements that count on such a machine, optional ones left out."""
    found = [Requirement(line) for line in lines]
    return [one for one in found if one.marker is None or one.marker.evaluate({**machine, "extra": ""})]


@pytest.mark.parametrize("system", SYSTEMS, ids=lambda system: system["sys_platform"])
@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_what_a_pinned_package_needs_is_pinned_too(python: str, system: dict[str, str]):
    machine = {**system, "python_version": python, "python_full_version": f"{python}.0"}
    pinned = pins(machine)
    here = pinned - {"torch", "colorama", "audioop-lts"}  # torch pins its own; the others are not on every machine
    needed = {canonicalize_name(one.name): name for name in here for one in wanted(requires(name) or [], machine)}
    assert {name: by for name, by in needed.items() if name not in pinned} == {}
