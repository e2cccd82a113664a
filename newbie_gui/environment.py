"""Makes and repairs `.venv` inside the project folder. Standard library only.

Promises: nothing is written outside the project folder; a finished set-up is recognised in a fraction of a
second; a set-up that was killed half-way is rebuilt, one that failed (no network, say) is simply tried again.
"""

import errno
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Protocol

CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CUDA_INDEX = "https://download.pytorch.org/whl/cu130"
# For drivers and cards that are too old for the one above.
OLDER_INDEX = "https://download.pytorch.org/whl/cu126"
INDEX_VARIABLE = "NEWBIE_TORCH_INDEX"

# Variables that would send Python or pip to somebody else's packages or folders.
FOREIGN_VARIABLES = (
    "PYTHONPATH", "PYTHONHOME", "PYTHONSTARTUP", "VIRTUAL_ENV", "CONDA_PREFIX", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT",
)  # fmt: skip


class SetupError(Exception):
    """Set-up cannot go on; the text says what a person can do."""


@dataclass(frozen=True)
class Project:
    """The folders of one checkout; every path the set-up writes to lies below `root`."""

    root: Path

    @property
    def venv(self) -> Path:
        return self.root / ".venv"

    @property
    def python(self) -> Path:
        return self.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def stamp(self) -> Path:
        """Written last: its presence means that the set-up it describes is complete."""
        return self.venv / "newbie-setup.json"

    @property
    def marker(self) -> Path:
        """Present only while packages are being changed: left behind by a set-up that was killed."""
        return self.venv / "newbie-setup-running"

    @property
    def build(self) -> Path:
        return self.root / "build"

    @property
    def runtime_file(self) -> Path:
        return self.root / "requirements.txt"

    @property
    def dev_file(self) -> Path:
        return self.root / "requirements-dev.txt"


class Pip(Protocol):
    """A function that runs pip: arguments in, its text out ("" unless quiet), None where it failed."""

    def __call__(self, arguments: Sequence[str], *, quiet: bool = False) -> str | None: ...


@dataclass(frozen=True)
class Stamp:
    """What a finished set-up was made from. `dev` is empty while the test tools are not installed."""

    python: str
    runtime: str
    dev: str
    nvidia: bool
    torch_index: str


def child_environment(project: Project, inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the variables for every child process: caches inside the folder, nobody else's packages."""
    cache = project.build / "cache"
    kept = {name: value for name, value in inherited.items() if name not in FOREIGN_VARIABLES}
    return kept | {
        "PYTHONNOUSERSITE": "1",
        "PYTHONUTF8": "1",
        "XDG_CACHE_HOME": str(cache),
        "PIP_CACHE_DIR": str(cache / "pip"),
        "HF_HOME": str(cache / "huggingface"),
        "TORCH_HOME": str(cache / "torch"),
        "TORCHINDUCTOR_CACHE_DIR": str(cache / "inductor"),
        "TRITON_CACHE_DIR": str(cache / "triton"),
        "CUDA_CACHE_PATH": str(cache / "cuda"),
        "RUFF_CACHE_DIR": str(cache / "ruff"),
        "MYPY_CACHE_DIR": str(cache / "mypy"),
    }


def pip_environment(project: Project, inherited: Mapping[str, str]) -> dict[str, str]:
    """Like `child_environment`, for pip: its temporary files (gigabytes for CUDA) stay in the folder too."""
    temporary = str(project.build / "tmp")
    return child_environment(project, inherited) | {
        "TMPDIR": temporary,
        "TEMP": temporary,
        "TMP": temporary,
        "PIP_USER": "0",
        # pip asks `rustc --version` for its user agent, and rustup's rustc makes this folder in HOME.
        "RUSTUP_HOME": str(project.build / "cache" / "rustup"),
        "PIP_NO_INPUT": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def has_nvidia() -> bool:
    """True where an NVIDIA driver is installed (the card itself is only asked by torch, later)."""
    return shutil.which("nvidia-smi") is not None or Path("/proc/driver/nvidia/version").exists()


def torch_index(asked: str, *, nvidia: bool, system: str) -> str:
    """Return the index for the torch line, or "" for pip's ordinary one.

    `asked` is the person's own choice and always wins. PyPI's Linux build brings gigabytes of CUDA libraries
    along, which a machine without NVIDIA card has no use for; its Windows and macOS builds are CPU builds.
    """
    if asked:
        return asked
    if nvidia:
        return CUDA_INDEX
    return CPU_INDEX if system == "Linux" else ""


def flavour(index: str) -> str:
    """Return which of torch's builds an index holds (".../whl/cu130": "cu130"), "" where its name does not say."""
    last = index.rstrip("/").rpartition("/")[2]
    return last if re.fullmatch(r"cpu|xpu|cu\d+|rocm[\d.]+", last) else ""


def installed_torch(project: Project) -> str:
    """Return the version of `.venv`'s torch, its build included ("2.13.0+cu130"); "" where there is none.

    Read from torch's own file: PyPI's wheels do not name their build in what pip knows of them.
    """
    for folder in ("Lib", "lib/python*"):
        for file in project.venv.glob(f"{folder}/site-packages/torch/version.py"):
            if found := re.search(r"^__version__ = '([^']+)'", file.read_text(encoding="utf-8"), re.MULTILINE):
                return found.group(1)
    return ""


def fits(torch: str, index: str) -> bool:
    """Whether an installed torch is of the build that `index` holds; any does for the CPU."""
    build = flavour(index)
    return build in ("", "cpu") or torch.endswith(f"+{build}")


def digest(file: Path) -> str:
    """SHA-256 of a requirements file, line endings apart (git may turn them)."""
    return hashlib.sha256(file.read_bytes().replace(b"\r\n", b"\n")).hexdigest()


def read_stamp(project: Project) -> Stamp | None:
    """Return what the last finished set-up recorded, None where there is none or it is not readable."""
    try:
        return Stamp(**json.loads(project.stamp.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def venv_version(project: Project) -> str:
    """Return the version of `.venv`'s Python, "" where it does not run (not made, or its base is gone)."""
    command = [str(project.python), "-c", "import pip, platform; print(platform.python_version())"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=child_environment(project, os.environ))
    except OSError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""


def wanted_stamp(project: Project, *, dev: bool, version: str, nvidia: bool, asked: str, old: Stamp | None) -> Stamp:
    """Return the stamp that a complete set-up would have now.

    An index asked for once keeps counting when the variable is gone at the next start; test tools once
    installed (from the same file) may stay.
    """
    keep_index = old.torch_index if old is not None and old.nvidia == nvidia else ""
    dev_digest = digest(project.dev_file)
    keep_dev = old is not None and old.dev == dev_digest
    return Stamp(
        python=version,
        runtime=digest(project.runtime_file),
        dev=dev_digest if dev or keep_dev else "",
        nvidia=nvidia,
        torch_index=torch_index(asked or keep_index, nvidia=nvidia, system=platform.system()),
    )


def ensure(project: Project, *, dev: bool) -> None:
    """Make `.venv` complete for the present requirements; returns at once where it already is.

    Where the wanted build of torch could not be had, the next start tries again.
    dev: the test tools of requirements-dev.txt as well. Raises SetupError with what a person can do.
    """
    project.build.mkdir(exist_ok=True)
    asked = os.environ.get(INDEX_VARIABLE, "").strip()
    with setup_lock(project) as lock:
        version, old = venv_version(project), read_stamp(project)
        wanted = wanted_stamp(project, dev=dev, version=version, nvidia=has_nvidia(), asked=asked, old=old)
        torch_fits = fits(installed_torch(project), wanted.torch_index)
        if version and old == wanted and torch_fits:
            return
        (project.build / "tmp").mkdir(exist_ok=True)
        if not version or project.marker.exists():
            old = None
            make_venv(project)
            version = venv_version(project)
        project.stamp.unlink(missing_ok=True)
        project.marker.touch()
        try:
            install(project, replace(wanted, python=version), old if torch_fits else None, lock)
            project.marker.unlink(missing_ok=True)
            # pip's downloads (gigabytes for CUDA); where it failed they shorten the next try.
            shutil.rmtree(project.build / "cache" / "pip", ignore_errors=True)
        except (SetupError, OSError):
            # Only a kill and Ctrl+C (which ends pip too) leave the marker: they alone leave half-written packages.
            project.marker.unlink(missing_ok=True)
            raise
        finally:
            shutil.rmtree(project.build / "tmp", ignore_errors=True)


@contextmanager
def setup_lock(project: Project) -> Iterator[IO[str]]:
    """Let one start at a time change `.venv`; the lock dies with its process (and its pip)."""
    with (project.build / "setup.lock").open("a") as handle:
        if not try_lock(handle):
            say("another start is setting up this folder, waiting for it ...")
            while not try_lock(handle):
                time.sleep(0.5)
        yield handle


def try_lock(handle: IO[str]) -> bool:
    """Take the lock on an open file without waiting; False where another process has it.

    True as well where the file system has no locks (some network folders): waiting would never end there.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as problem:
        return problem.errno not in (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
    return True


def make_venv(project: Project) -> None:
    """Make a new, empty `.venv`, throwing away what was there."""
    say(f"making .venv with Python {platform.python_version()}")
    # The interpreter may itself be the .venv that is about to be removed (an activated shell).
    base = getattr(sys, "_base_executable", None) or sys.executable
    shutil.rmtree(project.venv, ignore_errors=True)
    command = [base, "-m", "venv", str(project.venv)]
    if subprocess.run(command, env=pip_environment(project, os.environ)).returncode != 0 or not venv_version(project):
        problem = f"Could not make the virtual environment in {project.venv} (the reason is above)."
        if find_spec("ensurepip") is None:
            short = f"{sys.version_info[0]}.{sys.version_info[1]}"
            problem += f"\nOn Debian/Ubuntu a part of Python is missing: sudo apt install python{short}-venv"
        raise SetupError(problem)


def install(project: Project, wanted: Stamp, old: Stamp | None, lock: IO[str]) -> None:
    """Install what `wanted` says and stamp it. `old`: what was complete before, None for nothing."""

    def pip(arguments: Sequence[str], *, quiet: bool = False) -> str | None:
        return run_pip(project, arguments, lock, quiet=quiet)

    test_tools_only = old is not None and replace(old, dev=wanted.dev) == wanted
    if not test_tools_only:
        say("installing packages (minutes at the first start, seconds after that)")
        install_torch(torch_line(project.runtime_file), wanted, installed_torch(project), pip)
    files = [project.runtime_file, project.dev_file] if wanted.dev else [project.runtime_file]
    options = [part for file in files for part in ("-r", str(file))]
    if pip(["install", *options]) is None:
        raise SetupError(
            "Installing the packages failed (pip's reason is above). No connection? Disk full?\n"
            "Start again once that is solved."
        )
    check_torch(project, wanted)
    project.stamp.write_text(json.dumps(asdict(wanted), indent=1), encoding="utf-8")


def run_pip(project: Project, arguments: Sequence[str], lock: IO[str], *, quiet: bool) -> str | None:
    """Run pip in `.venv`; return what it printed ("" unless quiet), None where it failed."""
    done = subprocess.run(
        [str(project.python), "-m", "pip", *arguments],
        env=pip_environment(project, os.environ),
        capture_output=quiet,
        text=True,
        encoding="utf-8",
        errors="replace",
        # pip holds the lock as well: a start after a killed one waits until its orphaned pip has ended.
        pass_fds=() if os.name == "nt" else (lock.fileno(),),
    )
    return (done.stdout or "") if done.returncode == 0 else None


def torch_line(requirements: Path) -> str:
    """Return the `torch==...` line of a requirements file. Raises SetupError where it has none."""
    found = re.search(r"^torch==\S+", requirements.read_text(encoding="utf-8"), re.MULTILINE)
    if found is None:
        raise SetupError(f"{requirements} has no line torch==VERSION")
    return found.group()


def install_torch(line: str, wanted: Stamp, installed: str, pip: Pip) -> None:
    """Install the fitting torch build; where that cannot be had, leave torch to the ordinary index.

    installed: what `.venv` has, as `installed_torch` gives it. Without its dependencies: those come with the other
    pins, from the ordinary index. A machine's own find-links are asked first where any CPU build will do, the network
    index only after a short probe.
    """
    name, version = line.split("==")
    build = flavour(wanted.torch_index)
    if not wanted.torch_index or (build and installed == f"{version}+{build}"):
        return
    own_choice = wanted.torch_index not in (CPU_INDEX, CUDA_INDEX)
    local_will_do = not wanted.nvidia and not own_choice
    if local_will_do and pip(["install", "--no-deps", "--no-index", line], quiet=True) is not None:
        return
    # Exactly: pip lists and takes what the machine's find-links and further indexes have, too. Not every CPU build has
    # its name in its version.
    exact = version if build in ("", "cpu") else f"{version}+{build}"
    index = ["--index-url", wanted.torch_index]
    say(f"looking for {name} {exact} on {wanted.torch_index}")
    listed = pip(["index", "versions", name, *index, "--timeout", "10", "--retries", "2"], quiet=True)
    if re.search(rf"(?<![\w.]){re.escape(exact)}(?![\w.])", listed or "") is None:
        say("it could not be reached, or has none for this machine; taking the build of pip's ordinary index")
        return
    # pip counts an installed 2.13.0+cpu as good for torch==2.13.0, whichever index is asked.
    change = ["--force-reinstall"] if installed else []
    fetch = ["install", "--no-deps", *change, f"{name}=={exact}", *index, "--timeout", "60", "--retries", "2"]
    if pip(fetch) is None:
        say(f"{name} {exact} could not be fetched from {wanted.torch_index} (pip's reason is above)")


def check_torch(project: Project, wanted: Stamp) -> None:
    """Import torch once, so that a broken build is seen here and not in the middle of a training."""
    command = [str(project.python), "-c", "import torch; print(torch.__version__, int(torch.cuda.is_available()))"]
    done = subprocess.run(command, capture_output=True, text=True, env=child_environment(project, os.environ))
    if done.returncode != 0:
        raise SetupError(f"PyTorch was installed but does not load:\n{done.stderr.strip()[-2000:]}")
    version, cuda = done.stdout.split()
    say(f"ready: PyTorch {version}")
    for sentence in torch_advice(version, wanted, cuda=cuda == "1", windows=os.name == "nt"):
        say(sentence)


def torch_advice(version: str, wanted: Stamp, *, cuda: bool, windows: bool) -> Iterator[str]:
    """What to say of the installed build: not the wanted one, or (`cuda` False) one that cannot use the card."""
    if not fits(version, wanted.torch_index):
        yield (
            f"this is not the {flavour(wanted.torch_index)} build, which could not be had from {wanted.torch_index}. "
            "The next start tries again; until then it may be that no NVIDIA card can be used."
        )
    elif wanted.nvidia and not cuda and flavour(wanted.torch_index) != "cpu":
        yield (
            "an NVIDIA driver is here, but this build finds no card that it can use. A newer driver may help, or an "
            f"older CUDA build, asked for once with {asking_for(OLDER_INDEX, windows=windows)}"
        )


def asking_for(index: str, *, windows: bool) -> str:
    """What to type to have torch from `index`."""
    if windows:
        return f"set {INDEX_VARIABLE}={index} and then, in the same window, launch.bat"
    return f"{INDEX_VARIABLE}={index} ./launch.sh"


def say(text: str) -> None:
    """Print one line of progress at once."""
    print(f"[setup] {text}", flush=True)
