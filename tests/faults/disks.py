"""A small disk of its own, which can be filled to the last page and emptied again."""

import os
import shutil
import subprocess
from pathlib import Path

MIB = 2**20


class SmallDisk:
    """A tmpfs at ``root``; `take` leaves so many bytes free, `give_back` frees what was taken."""

    def __init__(self, root: Path, mib: int) -> None:
        self.root = root
        root.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={mib}m", "tmpfs", str(root)], capture_output=True, text=True
        )
        self.problem = done.stderr.strip() if done.returncode else ""
        # Beside what is tested, never inside.
        self._filler = root / "filler" / "taken"
        self._filler.parent.mkdir(exist_ok=True)

    def free(self) -> int:
        return shutil.disk_usage(self.root).free

    def take(self, left: int) -> None:
        with open(self._filler, "ab") as file:
            end = file.seek(0, os.SEEK_END)
            os.posix_fallocate(file.fileno(), end, max(self.free() - left, 1))

    def give_back(self) -> None:
        self._filler.unlink(missing_ok=True)

    def close(self) -> None:
        if not self.problem:
            # Lazily: a process that is just ending may still have a file open.
            subprocess.run(["umount", "-l", str(self.root)], check=True)
