"""Main memory under the limits of containers, in a made-up folder of cgroups."""

from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from trainer_core.planning.main_memory import MainMemory, main_memory

GIB = 2**30
HOST = SimpleNamespace(total=256 * GIB, available=200 * GIB)
V1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
V2 = ("memory.max", "memory.current", "inactive_file")


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(psutil, "virtual_memory", lambda: HOST)


def cgroup(folder: Path, names: tuple[str, str, str], limit: int | str, used: int, reclaimable: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / names[0]).write_text(f"{limit}\n")
    (folder / names[1]).write_text(f"{used}\n")
    (folder / "memory.stat").write_text(f"anon 1\n{names[2]} {reclaimable}\n")


def asked(folder: Path, listing: str) -> MainMemory:
    (folder / "listing").write_text(listing)
    return main_memory(folder / "listing", folder)


@pytest.mark.parametrize(("listing", "below", "names"), [("0::/\n", ".", V2), ("0::/a/b\n", "a/b", V2),
                                                         ("0::/\n9:memory:/docker/x\n", "memory", V1),
                                                         ("3:cpu:/\n9:memory:/y\n", "memory/y", V1)])  # fmt: skip
def test_the_limit_counts_and_what_can_be_reclaimed_is_free(
    tmp_path: Path, listing: str, below: str, names: tuple[str, str, str]
) -> None:
    cgroup(tmp_path / below, names, limit=16 * GIB, used=10 * GIB, reclaimable=4 * GIB)
    assert asked(tmp_path, listing) == MainMemory(total=16 * GIB, free=10 * GIB)


def test_the_tightest_of_all_the_way_up_counts(tmp_path: Path) -> None:
    cgroup(tmp_path / "a" / "b", V2, limit="max", used=1 * GIB)
    cgroup(tmp_path / "a", V2, limit=32 * GIB, used=33 * GIB)
    assert asked(tmp_path, "0::/a/b\n") == MainMemory(total=32 * GIB, free=0)


def test_without_a_limit_it_is_the_machines(tmp_path: Path) -> None:
    cgroup(tmp_path / "memory", V1, limit=9223372036854771712, used=GIB)
    whole = MainMemory(total=HOST.total, free=HOST.available)
    assert asked(tmp_path, "4:memory:/\n0::/\n") == whole == main_memory(tmp_path / "none", tmp_path)
