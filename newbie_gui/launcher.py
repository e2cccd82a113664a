"""The commands of launch.sh and launch.bat. Standard library only; the work runs in `.venv`'s Python."""

import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from newbie_gui import environment, folder_checks
from newbie_gui.environment import Project, SetupError

USAGE = """Newbie LoRA Trainer

  ./launch.sh [options]            open the trainer in the browser (Windows: double-click launch.bat);
                                   options: --port, --no-open, --lang, --workspace, --host (see app.py --help)
  ./launch.sh demo [options]       train a LoRA on the built-in tiny base model (minutes on a CPU)
  ./launch.sh test [--slow] [...]  lint, types and tests; further arguments go to pytest

On Windows: launch.bat. The first start installs everything into .venv inside this folder.
"""

CHECKS = (
    ("ruff check", ["ruff", "check", "."]),
    ("ruff format", ["ruff", "format", "--check", "."]),
    ("mypy", ["mypy"]),
)

# Two processes of one thread each: most tests wait for a browser or for a trainer's imports. Which ones stay together,
# and in which order they begin, tests/conftest.py says.
SIDE_BY_SIDE = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")


def main(root: str, arguments: Sequence[str]) -> int:
    """Run the command named by the first argument, without one the browser UI.

    Returns its exit code (1: set-up failed, 2: usage).
    """
    commands: dict[str, Callable[[Project, Sequence[str]], int]] = {"": browser, "demo": demo, "test": test}
    name = arguments[0] if arguments and not arguments[0].startswith("-") else ""
    asked_for_help = bool(arguments) and arguments[0] in ("help", "-h", "--help")
    if asked_for_help or name not in commands:
        print(USAGE, end="", file=sys.stdout if asked_for_help else sys.stderr)
        return 0 if asked_for_help else 2
    try:
        return commands[name](Project(Path(root)), arguments[1:] if name else arguments)
    except SetupError as problem:
        print(f"[setup] {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def browser(project: Project, arguments: Sequence[str]) -> int:
    """Serve the pages until the window is closed or Ctrl+C is pressed."""
    folder_checks.ensure(project, dev=False)
    return become(project, ["app.py", *arguments], {})


def demo(project: Project, arguments: Sequence[str]) -> int:
    """Show the whole way, from pictures to a trained LoRA."""
    folder_checks.ensure(project, dev=False)
    return become(project, ["-m", "trainer_core", "demo", *arguments], {})


def test(project: Project, arguments: Sequence[str]) -> int:
    """Run every check; pytest comes last, so that its figures and summary are the last lines."""
    folder_checks.ensure(project, dev=True)
    failed = [name for name, command in CHECKS if run(project, ["-m", *command]) != 0]
    if failed:
        print(
            f"[checks] FAILED: {', '.join(failed)}; the tests still run, the exit code will not be 0",
            flush=True,
        )
    # pytest itself turns this into its exit code (tests/conftest.py): nothing has to be printed after it.
    variables = {"NEWBIE_FAILED_CHECKS": ", ".join(failed), "OMP_NUM_THREADS": "1"}
    return become(project, ["-m", "pytest", *SIDE_BY_SIDE, *arguments], variables)


def run(project: Project, arguments: Sequence[str]) -> int:
    """Run `.venv`'s Python in the project folder, its output streaming through; return its exit code."""
    print(f"[checks] {' '.join(arguments[1:])}", flush=True)
    command = [str(project.python), *arguments]
    return subprocess.run(command, cwd=project.root, env=environment.child_environment(project, os.environ)).returncode


def become(project: Project, arguments: Sequence[str], extra: dict[str, str]) -> int:
    """Hand this process over to `.venv`'s Python, so that signals (Ctrl-C, a stop) reach it directly."""
    command = [str(project.python), *arguments]
    variables = environment.child_environment(project, os.environ) | extra
    os.chdir(project.root)
    sys.stdout.flush()
    if os.name != "nt":
        os.execve(command[0], command, variables)
    # Windows has no exec: a new process would leave the console before its work is done.
    return wait_for(subprocess.Popen(command, env=variables))


def wait_for(child: subprocess.Popen[bytes]) -> int:
    """Return the exit code of a child that gets the same Ctrl+C as this process, and may need time to save and tidy.

    (`subprocess.run` would kill it a quarter of a second later.)
    """
    while True:
        try:
            return child.wait()
        except KeyboardInterrupt:
            continue
