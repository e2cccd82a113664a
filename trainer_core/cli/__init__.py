"""The command line, one module a command; each has `add(commands)`, which declares it.

Nothing heavy is imported before the arguments are known to be good, so `--help` is quick.
"""

import argparse
import errno
import io
import logging
import os
import sys
import warnings
from collections.abc import Sequence

from trainer_core.cli import (
    cache,
    convert,
    convert_lora,
    demo,
    doctor,
    estimate,
    fit,
    importing,
    job,
    merge,
    presets,
    sample,
    tiny,
    train,
)
from trainer_core.cli.shared import PATHS, silence, stay_offline, tell
from trainer_core.contracts.errors import ConfigError, UserError, system_problem

COMMANDS = (
    train, presets, estimate, fit, importing, sample, merge, convert, convert_lora, cache, doctor, demo, tiny, job,
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit codes: 0 done or stopped on request, 1 something the user can mend, 2 a bad config or command line.

    `fit` has one of its own.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A console that cannot show a path's or title's letters must not end the work.
            stream.reconfigure(errors="replace")
    try:
        return _carried_out(_parser().parse_args(arguments))
    except UserError as error:
        return _told(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except (ImportError, MemoryError, OSError, RuntimeError) as error:
        if problem := system_problem(error):
            return _told(problem)
        if not isinstance(error, OSError):
            raise
        return _system_error(error)


def _carried_out(options: argparse.Namespace) -> int:
    # Nothing is reported home, and nothing is fetched but by a command that exists for it (`online`); even there a
    # user's own HF_HUB_OFFLINE=1 holds.
    for name in ("HF_HUB_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        os.environ.setdefault(name, "1")
    if not getattr(options, "online", False):
        stay_offline()
    _quieten()
    return int(options.run(options) or 0)


def _told(error: UserError) -> int:
    """Say it; returns the exit code."""
    tell(error)
    return 2 if isinstance(error, ConfigError) else 1


def _system_error(error: OSError) -> int:
    """The exit code for what any command can meet; another error is raised again."""
    if isinstance(error, BrokenPipeError):
        # Whoever read the output (`| head`) has seen enough; Python would complain again when it flushes at exit.
        silence()
        return 1
    if error.errno != errno.ENAMETOOLONG:
        raise error
    # Any look at such a path fails, the very first one too.
    print(f"error: A path is too long for this disk: {str(error.filename)[:80]}...", file=sys.stderr)
    print("  - A name may have about 255 characters, a whole path about 4,000.", file=sys.stderr)
    return 1


def _quieten() -> None:
    """Keep libraries' notes about things we do on purpose (a Jina tower of our own, no 4-bit kernels) off the page.

    Pillow's are about damaged metadata, which says nothing against a picture; damaged pixels raise by themselves.
    """
    warnings.filterwarnings("ignore", module=r"PIL\.")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)
    logging.getLogger("diffusers").setLevel(logging.ERROR)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m trainer_core", description=f"Train, try and merge LoRAs for NewBie-image. {PATHS}"
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return parser
