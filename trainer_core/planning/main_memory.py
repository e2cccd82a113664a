"""Main memory that this process can have: the machine's, or less where a container or a service limits it.

A cgroup's limit does not show in /proc/meminfo; a process that goes beyond it is killed without a word.
"""

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, kw_only=True)
class MainMemory:
    """In bytes."""

    total: int
    free: int


@dataclass(frozen=True, kw_only=True)
class _Names:
    """What the kernel calls the files of a cgroup, and the entry of memory.stat that it gives back when it must."""

    limit: str
    used: str
    reclaimable: str


_V1 = _Names(limit="memory.limit_in_bytes", used="memory.usage_in_bytes", reclaimable="total_inactive_file")
_V2 = _Names(limit="memory.max", used="memory.current", reclaimable="inactive_file")


def main_memory(listing: Path = Path("/proc/self/cgroup"), mount: Path = Path("/sys/fs/cgroup")) -> MainMemory:
    """What there is and what is free now: the least of the machine's and that of each cgroup this process is in.

    Args:
        listing: the kernel's list of those cgroups; where there is none, nothing is limited.
        mount: the folder below which they lie.
    """
    memory = psutil.virtual_memory()
    found = [MainMemory(total=memory.total, free=memory.available)]
    for folder, names in _cgroups(listing, mount):
        # Unreadable, or no number: "max" means no limit.
        with suppress(OSError, ValueError):
            found.append(_limited(folder, names))
    return MainMemory(total=min(each.total for each in found), free=min(each.free for each in found))


def _cgroups(listing: Path, mount: Path) -> Iterator[tuple[Path, _Names]]:
    """The folders that may limit this process, from its own up. A container sees its own at the mount itself."""
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, place = line.split(":", 2)
        if number == "0":
            root, names = mount, _V2
        elif "memory" in controllers.split(","):
            root, names = mount / "memory", _V1
        else:
            continue
        folder = root / place.lstrip("/")
        while folder != root:
            yield folder, names
            folder = folder.parent
        yield root, names


def _limited(folder: Path, names: _Names) -> MainMemory:
    """Raises OSError, and ValueError where there is no limit."""
    limit = int((folder / names.limit).read_text())
    used = int((folder / names.used).read_text())
    statistics = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    free = limit - used + int(statistics.get(names.reclaimable, 0))
    return MainMemory(total=limit, free=max(0, free))
