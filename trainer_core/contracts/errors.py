"""Errors that are meant for a person: what happened, where, what is allowed, what to do."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from trainer_core.contracts.fsutil import is_disk_full

_NO_MEMORY = re.compile("can't allocate memory|Cannot allocate memory|can't start new thread", re.IGNORECASE)
# As CUDA, its libraries (cuBLAS, cuDNN), NCCL and Triton say it, each of which allocates beside torch.
_NO_GPU_MEMORY = re.compile(
    r"\b(CUDA|Triton|Cuda failure) [^\n]*out of memory|cudaErrorMemoryAllocation"
    r"|CU\w+_STATUS_ALLOC_FAILED|DEVICE_ALLOCATION_FAILED"
)


class UserError(Exception):
    """A failure the user can act on.

    Args:
        code: stable snake_case identifier ("dataset_empty"); the browser side translates by it.
        message: what, where, what is allowed. ``str(error)`` is exactly this text.
        hints: things to try, one sentence each.
    """

    def __init__(self, code: str, message: str, hints: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.hints = tuple(hints)

    def __str__(self) -> str:
        return self.message

    def fields(self) -> dict[str, Any]:
        """It as the fields of a state or event."""
        return {"code": self.code, "message": self.message, "hints": list(self.hints)}

    @staticmethod
    def of(fields: Mapping[str, Any]) -> "UserError":
        """What a state or event tells by its `fields`, among others."""
        return UserError(fields.get("code", "internal"), fields.get("message", ""), fields.get("hints", ()))

    def __reduce__(self) -> tuple[type["UserError"], tuple[str, str, tuple[str, ...]]]:
        # Exception's own pickling would call the class with the message alone, which fails between processes.
        return UserError, (self.code, self.message, self.hints)


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing wrong with one option.

    Attributes:
        field: the option's name, or the key as written, or "" for the file as a whole.
        value: what was given (``None`` where nothing was).
        message: what is wrong and what is allowed.
    """

    field: str
    value: object
    message: str

    def __str__(self) -> str:
        if not self.field:
            return self.message
        if self.value is None:
            return f"{self.field}: {self.message}"
        return f"{self.field} = {_shortened(self.value)}: {self.message}"


class ConfigError(UserError):
    """The configuration cannot be used; ``problems`` holds every reason, not only the first."""

    def __init__(self, problems: Sequence[Problem], source: str = "") -> None:
        assert problems, "a ConfigError needs at least one problem"
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        where = f" in {source}" if source else ""
        lines = [f"The configuration is not valid: {count}{where}", *(f"  - {p}" for p in problems)]
        super().__init__("config_invalid", "\n".join(lines))
        self.problems = list(problems)
        self.source = source

    def __reduce__(self) -> tuple[type["ConfigError"], tuple[list[Problem], str]]:  # type: ignore[override]
        return ConfigError, (self.problems, self.source)


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def is_gpu_memory(error: BaseException) -> bool:
    """Whether the GPU's memory ran out, in torch's own allocator or in a library beside it. Needs no torch."""
    if type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and _NO_GPU_MEMORY.search(str(error)) is not None


def as_user_error(error: Exception, *, when_full: Sequence[str], internal: str) -> UserError:
    """The error as something to act on; unknown ones keep their own text.

    Args:
        when_full: hints for a full disk.
        internal: the hint for an unknown error.
    """
    if isinstance(error, UserError):
        return error
    if problem := system_problem(error):
        return problem
    if is_disk_full(error):
        return UserError("disk_full", f"The disk is full: {error}.", when_full)
    return UserError("internal", f"{type(error).__name__}: {error}", [internal])


def system_problem(error: BaseException) -> UserError | None:
    """What the machine or the installation refused, as something to act on; None for any other error."""
    if is_gpu_memory(error):
        return UserError(
            "gpu_memory_full",
            f"The GPU ran out of memory. {error}",
            ["Close other programs that use the GPU, or do it on the CPU."],
        )
    if isinstance(error, ImportError):
        return UserError(
            "package_missing",
            f"A Python package cannot be loaded: {error}",
            ["Close the program and start it with launch.sh or launch.bat: it installs what is missing."],
        )
    # torch has no class of its own for this; a thread needs memory for its stack.
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        return UserError(
            "memory_full",
            f"Main memory is full. {error}".strip(),
            [
                "Close other programs, or choose settings that need less main memory.",
                "Then start it again: a training goes on from its last checkpoint.",
            ],
        )
    return None
