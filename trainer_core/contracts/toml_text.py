"""TOML in and out: reading a file with helpful errors; writing values and the commented template."""

import re
import textwrap
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from trainer_core.contracts.errors import ConfigError, Problem
from trainer_core.contracts.options import OptionSpec

_WIDTH = 100
# So much of a faulty line is shown: it may be a whole file of another kind.
_SHOWN = 200
_MAX_DOTS = 200
# TOML forbids these bare inside quotes: control characters (tab too, to keep it visible), quote, backslash.
_ESCAPED = re.compile(r'[\x00-\x1f\x7f"\\]')
_SHORT_ESCAPES = {"\t": r"\t", "\n": r"\n", "\r": r"\r", "\b": r"\b", "\f": r"\f", '"': r"\"", "\\": r"\\"}


def read_toml(path: Path) -> dict[str, Any]:
    """The values of a TOML file in UTF-8, with or without BOM.

    Raises:
        ConfigError: the file cannot be read, is not UTF-8, or is not TOML; the latter two name the line.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise _file_error(path, f"cannot be read: {error.strerror}") from error
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise _file_error(path, f"line {line} is not UTF-8 text; save the file as UTF-8") from error
    for place, written in enumerate(text.splitlines(), start=1):
        # Parsing takes the square of the parts: ten seconds for 40 KB, minutes for what may be uploaded.
        if written.partition("=")[0].count(".") > _MAX_DOTS:
            raise _file_error(path, f"line {place} has a name of more than {_MAX_DOTS} parts; no config has such names")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # Nesting too deep for the parser ends in a RecursionError, an over-long number in a plain ValueError.
        raise _file_error(path, _syntax_message(text, str(error))) from error


def _file_error(path: Path, message: str) -> ConfigError:
    return ConfigError([Problem(field="", value=None, message=message)], str(path))


def _syntax_message(text: str, reason: str) -> str:
    lines = text.splitlines()
    found = re.search(r"\(at line (\d+), column \d+\)", reason)
    number = int(found.group(1)) if found else len(lines)
    line = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    shown = line if len(line) <= _SHOWN else line[:_SHOWN] + "..."
    message = f"is not valid TOML: {reason}; line {number} is: {shown}"
    if "\\" in line:
        message += (
            "\n    Between double quotes a backslash starts an escape. Write a Windows path between "
            "single quotes, 'D:\\data', or with forward slashes, \"D:/data\"."
        )
    return message


def toml_value(value: object) -> str:
    """``value`` (bool, int, finite float, str, or a list of these) as TOML; `tomllib` reads it back.

    Raises:
        TypeError: any other type.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        return f'"{_ESCAPED.sub(_escape, value)}"'
    if isinstance(value, list):
        entries = [toml_value(entry) for entry in value]
        line = f"[{', '.join(entries)}]"
        return line if len(line) <= _WIDTH else "[\n" + "".join(f"    {entry},\n" for entry in entries) + "]"
    raise TypeError(f"cannot write {type(value).__name__} as TOML")


def values_text(specs: Sequence[OptionSpec], values: Mapping[str, object]) -> str:
    """Every option with its value, one a line, under the headings of the groups."""
    lines: list[str] = []
    for spec, heading in _with_headings(specs):
        lines += heading
        lines.append(f"{spec.name} = {toml_value(values[spec.name])}")
    return "\n".join(lines).lstrip("\n") + "\n"


def template_text(specs: Sequence[OptionSpec], introduction: str) -> str:
    """Every option with help, allowed values and default as comments; required ones stand there empty."""
    lines = [*_comment(introduction)]
    for spec, heading in _with_headings(specs):
        lines += heading
        lines.append("")
        lines += _comment(_description(spec))
        lines.append(f"{spec.name} = {toml_value('' if spec.required else spec.default)}")
    return "\n".join(lines) + "\n"


def _with_headings(specs: Sequence[OptionSpec]) -> list[tuple[OptionSpec, list[str]]]:
    """Each option with the lines to write before it: a heading where a new group begins."""
    groups = [spec.group for spec in specs]
    previous = ["", *groups[:-1]]
    return [
        (spec, ["", f"# ---- {spec.group} ----"] if spec.group != before else [])
        for spec, before in zip(specs, previous, strict=True)
    ]


def _description(spec: OptionSpec) -> str:
    words = [spec.help, f"Allowed: {spec.allowed()}."]
    if spec.note:
        words.append(f"{spec.note[0].upper()}{spec.note[1:]}.")
    if spec.required:
        words.append("Required.")
    if spec.rerun == "refuse":
        words.append("Cannot be changed once a run has begun.")
    return " ".join(words)


def _comment(text: str) -> list[str]:
    return [
        f"# {line}".rstrip()
        for paragraph in text.splitlines()
        for line in textwrap.wrap(paragraph, _WIDTH - 2, break_long_words=False, break_on_hyphens=False) or [""]
    ]


def _escape(match: re.Match[str]) -> str:
    character = match.group()
    return _SHORT_ESCAPES.get(character) or f"\\u{ord(character):04X}"
