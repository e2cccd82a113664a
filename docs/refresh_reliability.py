"""Writes the tables of docs/reliability.md anew: python docs/refresh_reliability.py

From docs/reliability.toml (the promises), the names of the tests, and build/test-figures.json (what they measured
last). A figure that the build lacks stays as the page has it, with its date.
"""

import json
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "reliability.md"
PROMISES = ROOT / "docs" / "reliability.toml"
FIGURES = ROOT / "build" / "test-figures.json"
TESTS = ROOT / "tests"

BEGIN, END = "<!-- tables: python docs/refresh_reliability.py -->", "<!-- end of tables -->"
NONE = "not measured yet"
# What `--slow` measures beside the figure of every run of the tests, under the same name and this.
LONG = ", long form"
_FIGURE = re.compile(r"(\d[^|<>]*?|not measured yet) <!-- ([^>]+) -->")
_NUMBERED = re.compile(r"^ *(?:async )?def (test_(\d\d(?:_\d\d)*)_\w+)\(", re.MULTILINE)


def promises() -> dict[str, Any]:
    return tomllib.loads(PROMISES.read_text(encoding="utf-8"))


def measured(figures: Path, page: str) -> dict[str, str]:
    """The last figure of each name, as the page shows it: the build's, else the page's own."""
    shown = {name: text for text, name in _FIGURE.findall(page)}
    try:
        fresh = json.loads(figures.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        fresh = {}
    return shown | {
        name: f"{found['value']} ({found['date']})" for name, found in fresh.items() if isinstance(found, dict)
    }


def numbered_tests() -> dict[str, list[str]]:
    """Number of a requirement -> its tests, as "file::function" below tests/."""
    found: dict[str, list[str]] = {}
    for file in sorted(TESTS.rglob("test_*.py")):
        for name, numbers in _NUMBERED.findall(file.read_text(encoding="utf-8")):
            for number in numbers.split("_"):
                found.setdefault(number, []).append(f"{file.relative_to(TESTS).as_posix()}::{name}")
    return found


def tables(told: Mapping[str, Any], figures: Mapping[str, str], numbered: Mapping[str, list[str]]) -> str:
    """Both tables as Markdown."""
    return "\n".join([*_promises(told["promise"], figures), "", *_requirements(told["requirements"], numbered)])


def _promises(rows: list[dict[str, Any]], figures: Mapping[str, str]) -> Iterator[str]:
    yield "| promise | how it is tested (below `tests/`) | last figure |"
    yield "|---|---|---|"
    for row in rows:
        yield f"| {row['text']} | {_cell(row['tests'])} | {_figures(row['figure'], figures)} |"


def _figures(name: str, figures: Mapping[str, str]) -> str:
    told = f"{figures.get(name, NONE)} <!-- {name} -->"
    long = name + LONG
    return f"{told}<br>long form: {figures[long]} <!-- {long} -->" if long in figures else told


def _requirements(texts: Mapping[str, str], numbered: Mapping[str, list[str]]) -> Iterator[str]:
    yield "| number | requirement | tests of its number |"
    yield "|---|---|---|"
    for number, text in sorted(texts.items()):
        files = sorted({test.split("::")[0] for test in numbered.get(number, [])})
        yield f"| {int(number)} | {text} | {_cell(files)} |"


def _cell(tests: list[str]) -> str:
    return "<br>".join(f"`{test}`" for test in tests) or "not yet"


def refreshed(page: str, figures: Path = FIGURES) -> str:
    """The page with its tables made anew; what stands around them stays."""
    before, _, rest = page.partition(BEGIN)
    _, found, after = rest.partition(END)
    assert found, f"{PAGE} has lost its markers"
    made = tables(promises(), measured(figures, page), numbered_tests())
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


def main() -> int:
    page = PAGE.read_text(encoding="utf-8")
    new = refreshed(page)
    PAGE.write_text(new, encoding="utf-8", newline="\n")
    print(f"{PAGE}: {'changed' if new != page else 'unchanged'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
