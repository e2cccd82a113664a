"""What can be known to go wrong before `.venv` is made in this folder. Standard library only."""

import os
import shutil
import sys
from collections.abc import Callable

from newbie_gui import environment, moved
from newbie_gui.environment import Project, SetupError

# A complete set-up was measured at 2.6 GB (CPU) and 5.4 GB (CUDA); until it is complete pip
# keeps its downloads beside that, 2.7 GB for CUDA on Linux.
ROOM_CPU_GB = 4
ROOM_CUDA_GB = 10
# The longest path below .venv has 190 characters there, and Windows takes 259 unless it is told otherwise.
LONGEST_ROOT = 60


def ensure(project: Project, *, dev: bool) -> None:
    """`environment.ensure`, refused before anything is written where it cannot end well. Raises SetupError."""
    try:
        # Once .venv is there it has taken its room, at least a part of it.
        if not project.venv.exists():
            check_path(str(project.root), windows=os.name == "nt", long_paths=long_paths_enabled)
            check_room(shutil.disk_usage(project.root).free, nvidia=environment.has_nvidia())
        moved.mend(project)
        environment.ensure(project, dev=dev)
    except OSError as problem:
        where = problem.filename or project.root
        raise SetupError(
            f"{where}: {problem.strerror}. Set-up must be able to read and write in {project.root}."
        ) from problem


def check_room(free: int, *, nvidia: bool) -> None:
    """Refuse a disk with fewer than the needed bytes `free`."""
    needed = ROOM_CUDA_GB if nvidia else ROOM_CPU_GB
    if free < needed * 10**9:
        raise SetupError(
            f"Set-up needs {needed} GB on the disk of this folder, and {free / 10**9:.1f} GB are free. "
            "Make room, or move the folder to another disk, and start again."
        )


def check_path(root: str, *, windows: bool, long_paths: Callable[[], bool]) -> None:
    """Refuse a folder whose files would have longer paths than Windows takes."""
    if windows and len(root) > LONGEST_ROOT and not long_paths():
        raise SetupError(
            f"The path of this folder has {len(root)} characters, and Windows could not write all files below it. "
            "Move the folder to C:\\newbie and start again."
        )


def long_paths_enabled() -> bool:
    """Whether this Windows takes paths of more than 259 characters."""
    if sys.platform != "win32":
        return True
    import winreg

    try:
        with winreg.OpenKey(winreg.HKEY_LOCAL_MACHINE, r"SYSTEM\CurrentControlSet\Control\FileSystem") as key:
            return winreg.QueryValueEx(key, "LongPathsEnabled")[0] == 1
    except OSError:
        return False
