"""All benchmarks: python -m bench [PART ...] [--quick]. Prints a table and writes build/bench-DATE.json.

Each part is a process of its own (python -m bench.PART --help tells its flags), so that none finds memory, threads or
caches as another left them. A part that fails is said, and the others go on. What only a card can tell is a command of
its own: python -m bench gpu --help.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any

from bench import gpu
from trainer_core.contracts.fsutil import write_json_atomic
from trainer_core.contracts.repository import REPOSITORY

# On any machine: the built-in base's size, on the CPU.
_STEP = (
    "--size", "tiny", "--set", 'device="cpu"', "--set", 'optimizer_type="AdamW"', "--set", "resolution=64",
    "--set", 'mixed_precision="no"',
)  # fmt: skip
# Part -> its flags, and those of the quick form.
PARTS: Mapping[str, tuple[Sequence[str], Sequence[str]]] = MappingProxyType(
    {
        "step": (_STEP, (*_STEP, "--steps", "2", "--warmup", "1")),
        "overhead": ((), ("--steps", "1")),
        "caching": ((), ("--images", "50")),
        "tiers": ((), ()),
        "preflight": ((), ("--steps", "2")),
        "startup": ((), ("--tries", "1")),
        "growth": ((), ("--steps", "400", "--images", "1000")),
    }
)


def run(part: str, *, quick: bool) -> dict[str, Any]:
    """A part's figures, or {"error": its last words}."""
    command = [sys.executable, "-m", f"bench.{part}", *PARTS[part][quick]]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"exit {done.returncode}"}
    try:
        figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        return {"error": "it ended without its line of figures"}
    return figures


def rows(figures: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Every single figure with its dotted name."""
    for name, value in figures.items():
        if isinstance(value, Mapping):
            yield from rows(value, f"{above}{name}.")
        else:
            yield f"{above}{name}", f"{value:.4g}" if isinstance(value, float) else str(value)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help="as little as shows that it works; the figures mean little"
    )
    given = sys.argv[1:] if arguments is None else arguments
    if given[:1] == ["gpu"]:
        return gpu.main(given[1:])
    options = parser.parse_args(given)
    if unknown := [part for part in options.parts if part not in PARTS]:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(PARTS)}")
    started = datetime.now(UTC)
    found: dict[str, Any] = {}
    for part in options.parts or PARTS:
        found[part] = run(part, quick=options.quick)
        for name, value in rows(found[part]):
            print(f"{part:9} {name:50} {value}", flush=True)
    file = REPOSITORY / "build" / f"bench-{started:%Y%m%d-%H%M%S}.json"
    file.parent.mkdir(exist_ok=True)
    write_json_atomic(file, {"date": started.isoformat(timespec="seconds"), "quick": options.quick, **found})
    print(f"written: {file}")
    return int(any("error" in figures for figures in found.values()))


if __name__ == "__main__":
    sys.exit(main())
