"""A `.venv` whose folder was moved or copied: its commands are made to find it again. Standard library only."""

from pathlib import Path

from newbie_gui import environment
from newbie_gui.environment import Project

_LARGEST = 100_000


def mend(project: Project) -> None:
    """Name the present folder in `.venv`'s activate scripts and commands, which name the one they were made in.

    Its Python runs anyway; but `activate` would lead to the system's Python, or to the folder that this one was copied
    from. On Windows the commands are programs, which stay as they are: `python -m accelerate.commands...` works there.
    """
    settings = project.venv / "pyvenv.cfg"
    old = made_in(settings)
    if not old or Path(old).resolve() == project.venv.resolve():
        return
    environment.say(f"this folder was {Path(old).parent} before: telling .venv where it is now")
    for file in sorted(project.python.parent.iterdir()):
        if file.is_file() and not file.is_symlink() and file.stat().st_size < _LARGEST and file.suffix != ".exe":
            rename_in(file, old, str(project.venv))
    # Last: where anything before it fails, the next start tries again.
    rename_in(settings, old, str(project.venv))


def made_in(settings: Path) -> str:
    """The folder that pyvenv.cfg was written for, "" where it does not say."""
    try:
        lines = settings.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return ""
    commands = [line.partition(" -m venv ")[2] for line in lines if line.startswith("command = ")]
    return commands[0] if commands and Path(commands[0]).is_absolute() else ""


def rename_in(file: Path, old: str, new: str) -> None:
    """Write `new` for `old`, unless it was done before a killed start (`new` may contain `old`)."""
    content = file.read_bytes()
    if old.encode() in content and new.encode() not in content:
        file.write_bytes(content.replace(old.encode(), new.encode()))
