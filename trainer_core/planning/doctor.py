"""One page about this installation, machine, config or run, to paste into a bug report.

It describes things that are broken, so each section may fail by itself: that becomes a line of the page.
"""

import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import psutil

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.repository import REPOSITORY
from trainer_core.planning.doctor_subject import DataCount, Lines, config_lines, run_lines
from trainer_core.planning.hardware import Machine, detect
from trainer_core.planning.presets import choose, load_presets
from trainer_core.planning.privacy import environment_value, home_folder, scrubbed, user_names

PACKAGES = (
    "torch", "diffusers", "transformers", "peft", "accelerate", "bitsandbytes", "safetensors", "tokenizers",
    "numpy", "pillow", "psutil", "nvidia-ml-py", "gradio", "flash-attn", "xformers", "triton",
)  # fmt: skip
VARIABLES = (
    "CUDA", "HF_", "HUGGINGFACE", "NCCL", "NEWBIE", "NVIDIA", "OMP_", "PYTHON", "PYTORCH", "TORCH", "TRANSFORMERS",
    "TRITON", "VIRTUAL_ENV", "CONDA_PREFIX", "HTTP_PROXY", "HTTPS_PROXY",
)  # fmt: skip
_PROBE_SECONDS = 120
# Whatever a broken installation may throw; each is reported in the place where its section would stand.
_FAILURES = (
    ArithmeticError, AssertionError, AttributeError, EOFError, ImportError, LookupError, MemoryError, OSError,
    PackageNotFoundError, RuntimeError, SyntaxError, TypeError, ValueError, UserError, psutil.Error,
    subprocess.SubprocessError,
)  # fmt: skip

# Runs in a process of its own: a torch that crashes, hangs or prints takes the page down with it otherwise.
_PROBE = """
import json
told = {}
def ask(name, function):
    try:
        told[name] = str(function())
    except BaseException as error:
        told[name] = f"{type(error).__name__}: {error}"[:300]
def module(name):
    return lambda: getattr(__import__(name), "__version__", "loads")
ask("torch", module("torch"))
try:
    import torch
    ask("CUDA of this build", lambda: torch.version.cuda or "none, a CPU build")
    ask("GPU usable", torch.cuda.is_available)
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        ask("GPUs", lambda: [torch.cuda.get_device_name(i) for i in range(count)])
        ask("kernels for", torch.cuda.get_arch_list)
        ask("bf16 in hardware", lambda: torch.cuda.is_bf16_supported(including_emulation=False))
        ones = lambda: torch.ones(8, 8, device="cuda")
        ask("a product on the GPU", lambda: (ones() @ ones()).sum().item())
except BaseException:
    pass
ask("bitsandbytes", module("bitsandbytes"))
ask("flash-attn", module("flash_attn"))
print("\\n" + json.dumps(told))
"""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """How torch is asked: the interpreter, and the seconds it may take."""

    python: str = sys.executable
    seconds: float = _PROBE_SECONDS
    code: str = _PROBE


def page(
    subject: Path | None,
    *,
    count: Callable[[TrainConfig], DataCount],
    probe: Probe | None = None,
    environment: Mapping[str, str] | None = None,
) -> str:
    """The page. Never raises for what it finds.

    Args:
        subject: a config file or a run folder to look into as well.
        count: counts a config's images; may raise UserError.
    """
    variables = os.environ if environment is None else environment
    machine = _machine(variables)
    parts: list[tuple[str, Callable[[], Lines]]] = [
        ("Program", _program),
        ("Packages", _packages),
        ("PyTorch", lambda: _torch(probe or Probe())),
        ("Hardware", lambda: _hardware(machine)),
        ("Environment", lambda: _environment(variables)),
        ("Preset", lambda: list(choose(machine, load_presets()).sentences)),
    ]
    if subject is not None:
        what = "Run" if subject.is_dir() else "Config"
        lines = run_lines if subject.is_dir() else config_lines
        parts.append((f"{what} {subject}", lambda: lines(subject, machine, count)))
    text = "\n\n".join(_section(title, make) for title, make in parts) + "\n"
    home = home_folder()
    return scrubbed(text, home=home, names=user_names(home))


def _section(title: str, make: Callable[[], Lines]) -> str:
    try:
        lines = make()
    except _FAILURES as error:
        lines = [f"this part could not be made: {type(error).__name__}: {error}"]
    indented = [f"  {line}" for text in lines for line in (str(text).splitlines() or [""])]
    return "\n".join([f"== {title} ==", *(indented or ["  nothing"])])


def _machine(variables: Mapping[str, str]) -> Machine:
    try:
        return detect(Path("output"), environment=variables)
    except _FAILURES as error:
        return Machine(notes=(f"The hardware could not be listed: {type(error).__name__}: {error}",))


def _program() -> Lines:
    launcher = REPOSITORY / ".venv"
    inside = Path(sys.prefix).resolve() == launcher.resolve()
    return [
        f"Newbie LoRA Trainer, commit {_commit()}, in {REPOSITORY}",
        f"{platform.platform()}, {platform.machine()}",
        f"Python {platform.python_version()} ({platform.python_implementation()}), "
        + ("the launcher's .venv" if inside else f"not the launcher's .venv but {sys.prefix}"),
    ]


def _commit() -> str:
    """Short, with a mark for changed files; "unknown" for a folder that git does not know (a downloaded ZIP)."""
    git = shutil.which("git")
    if git is None or not (REPOSITORY / ".git").exists():
        return "unknown"
    command = [git, "-C", str(REPOSITORY), "describe", "--always", "--dirty=, with changed files"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    return done.stdout.strip() or "unknown"


def _packages() -> Lines:
    pinned = _pins()
    words = []
    for name in PACKAGES:
        try:
            found = version(name)
        except PackageNotFoundError:
            if name in pinned:
                words.append(f"{name} MISSING ({pinned[name]} wanted)")
            continue
        wanted = pinned.get(name, found)
        # torch's build carries a suffix (+cpu, +cu130) that the pin leaves open.
        words.append(f"{name} {found}" if found.split("+")[0] == wanted else f"{name} {found} ({wanted} wanted)")
    return [", ".join(words)]


def _pins() -> dict[str, str]:
    lines = (REPOSITORY / "requirements.txt").read_text(encoding="utf-8").splitlines()
    pins = (line.split(";")[0].split("==") for line in lines if "==" in line and not line.startswith("#"))
    return {name.strip().lower(): wanted.strip() for name, wanted in pins}


def _torch(probe: Probe) -> Lines:
    command = [probe.python, "-c", probe.code]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, encoding="utf-8", errors="replace", timeout=probe.seconds
        )
    except subprocess.TimeoutExpired:
        return [f"importing it took over {probe.seconds:g} s and was given up"]
    try:
        told = json.loads(done.stdout.strip().splitlines()[-1])
    except (ValueError, IndexError):
        tail = " ".join(done.stderr.split())[-600:]
        return [f"importing it ended the process with code {done.returncode}. {tail}"]
    return [f"{name}: {value}" for name, value in told.items()]


def _hardware(machine: Machine) -> Lines:
    lines = []
    for gpu in (*machine.gpus, *machine.hidden):
        capability = ".".join(map(str, gpu.compute_capability or ("?",)))
        at_work = "" if gpu.utilisation is None else f", {gpu.utilisation} % at work"
        hidden = ", hidden by CUDA_VISIBLE_DEVICES" if gpu in machine.hidden else ""
        lines.append(
            f"GPU {gpu.index} {gpu.name}: {gpu.free_mib} of {gpu.total_mib} MiB free, compute capability {capability}, "
            f"driver {gpu.driver or '?'}{at_work}{hidden}"
        )
    lines += machine.notes
    lines.append(f"memory: {machine.memory_free_mib / 1024:.1f} of {machine.memory_total_mib / 1024:.1f} GiB free")
    lines.append(f"CPUs: {machine.cpu_count}")
    lines.append(f"disk: {machine.disk_free_mib / 1024:.1f} of {machine.disk_total_mib / 1024:.1f} GiB free")
    return lines


def _environment(variables: Mapping[str, str]) -> Lines:
    names = sorted(name for name in variables if name.upper().startswith(VARIABLES))
    return [f"{name}={environment_value(name, variables[name])}" for name in names]
