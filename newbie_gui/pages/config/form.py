"""The form of all settings as values by name: what its controls hold, and what that means. Pure; knows no page.

What a control holds: bool -> bool, choice -> its text (None where the value is no choice), int -> number or None,
float -> text (so that 1e-4 stays as it was typed), list -> one entry a line, path and text -> text.
"""

from collections.abc import Mapping
from typing import Any, Literal

from newbie_gui.texts import Texts
from newbie_gui.texts.allowed import allowed_zh, note_zh, zero_zh
from newbie_gui.texts.options import in_labels
from trainer_core.contracts.config import options
from trainer_core.contracts.options import OptionSpec
from trainer_core.contracts.workspace import Workspace

Control = Literal["checkbox", "choice", "number", "decimal", "lines", "text", "long_text"]

# Stands alone on a line between entries of which one has several lines itself (a prompt in XML).
SEPARATOR = "---"
_LONG_TEXTS = frozenset({"sample_negative_prompt", "gemma3_prompt", "system_prompt_tags", "system_prompt_xml"})


def control_of(spec: OptionSpec) -> Control:
    """Which kind of control an option gets."""
    if spec.choices:
        return "choice"
    kinds: Mapping[str, Control] = {"bool": "checkbox", "int": "number", "float": "decimal", "list": "lines"}
    return kinds.get(spec.type) or ("long_text" if spec.name in _LONG_TEXTS else "text")


def values_from(form: Mapping[str, Any]) -> dict[str, Any]:
    """The settings in a form, in their declared types. Never raises: what has no such type stays as it is, and the
    check of the settings names it. Names that are no settings are left out."""
    return {spec.name: _typed(spec, form[spec.name]) for spec in options() if spec.name in form}


def to_form(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the controls show for the settings among ``values``; bad values are shown as well as they can be."""
    return {spec.name: _shown(spec, values[spec.name]) for spec in options() if spec.name in values}


def unfit(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings among ``values`` whose control cannot hold what they have: `to_form` has something else for them."""
    shown = to_form(values)
    specs = [spec for spec in options() if spec.name in shown and values[spec.name] not in (None, "")]
    return {
        spec.name: values[spec.name]
        for spec in specs
        if shown[spec.name] is None or (spec.type == "bool" and not isinstance(values[spec.name], bool))
    }


def default_values(workspace: Workspace) -> dict[str, Any]:
    """A new form's values: the defaults, with runs and cache in the workspace."""
    values = {spec.name: "" if spec.required else spec.default for spec in options()}
    return {**values, "output_dir": str(workspace.output), "cache_dir": str(workspace.cache)}


def help_of(spec: OptionSpec, t: Texts) -> str:
    """The words beside a control."""
    text = t(f"options.{spec.name}.help")
    if spec.zero:
        zero = zero_zh(spec) if t.lang == "zh" else in_labels(spec.zero)
        text = t("config.help.zero", help=text, zero=zero)
    if spec.type == "list":
        text = t("config.help.lines", help=text, separator=SEPARATOR)
    return text


def problem_text(spec: OptionSpec, value: object, message: str, t: Texts) -> str:
    """A problem of one setting in the page's language, as a sentence for a person at a form; empty for those that the
    catalogue of translations knows.

    ``message`` is the engine's, written for people who edit a file.
    """
    allowed = _allowed(spec, t)
    if spec.type in ("int", "float") and (value is None or isinstance(value, str)):
        key = "config.problem.number" if str(value or "").strip() else "config.problem.empty"
        return t(key, allowed=allowed)
    if message.startswith("must be set"):
        return t("config.problem.unset", help=t(f"options.{spec.name}.help"))
    reasons = {
        f"must be {spec.allowed()}{english}": chinese if t.lang == "zh" else english for english, chinese in _rest(spec)
    }
    if message not in reasons:
        return ""
    stop = "。" if t.lang == "zh" else "."
    return t("config.problem.allowed", allowed=allowed) + reasons[message] + stop


def _allowed(spec: OptionSpec, t: Texts) -> str:
    if t.lang == "en":
        return spec.allowed()
    words = allowed_zh(spec)
    # It follows a Chinese character.
    return f" {words}" if words[0].isascii() else words


def _rest(spec: OptionSpec) -> tuple[tuple[str, str], ...]:
    """What may follow the allowed values in the engine's message, in English and Chinese."""
    return (
        ("", ""),
        (f" ({spec.note})", f"（{note_zh(spec)}）"),
        (", not infinite or NaN", "，不能是无穷大或 NaN"),
        (", each once", "，每个只写一次"),
    )


def _typed(spec: OptionSpec, value: Any) -> Any:
    if spec.type == "int":
        return _whole(value)
    if spec.type == "float":
        return _decimal(value)
    if spec.type == "list":
        return entries_of(value) if isinstance(value, str) else value
    if spec.type == "str" and value is None:
        return ""
    if spec.rule == "path" and isinstance(value, str):
        # Windows' "Copy as path" puts quotes around it.
        stripped = value.strip()
        return stripped[1:-1] if len(stripped) > 1 and stripped[0] == stripped[-1] == '"' else stripped
    if spec.rule in ("name", "gpus") and isinstance(value, str):
        return value.strip()
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            return value
    return value


def _decimal(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return float(value)
    except ValueError:
        return value


def entries_of(text: str) -> list[str]:
    """One entry a line; where a line is ``---``, what stands between such lines is an entry. Empty ones are none."""
    lines = text.replace("\r\n", "\n").split("\n")
    if SEPARATOR not in lines:
        return [line.strip() for line in lines if line.strip()]
    entries: list[list[str]] = [[]]
    for line in lines:
        if line == SEPARATOR:
            entries.append([])
        else:
            entries[-1].append(line)
    joined = ("\n".join(entry).strip() for entry in entries)
    return [entry for entry in joined if entry]


def lines_of(entries: list[str]) -> str:
    """The text that `entries_of` reads back."""
    if any("\n" in entry for entry in entries):
        return "".join(f"{entry}\n{SEPARATOR}\n" for entry in entries)
    return "\n".join(entries)


def _shown(spec: OptionSpec, value: Any) -> Any:
    control = control_of(spec)
    if control == "checkbox":
        return value if isinstance(value, bool) else bool(spec.default)
    if control == "choice":
        return value if value in spec.choices else None
    if control == "number":
        return value if isinstance(value, int | float) and not isinstance(value, bool) else None
    if control == "decimal":
        return decimal_text(value) if isinstance(value, int | float) else str("" if value is None else value)
    if control == "lines" and isinstance(value, list | tuple):
        return lines_of([str(entry) for entry in value])
    return str("" if value is None else value)


def decimal_text(value: float) -> str:
    """A number as people write it, exactly: 0.0001 and 1e-08, 32 and not 32.0."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    text = repr(value)
    # repr turns to exponents below 1e-4; three more digits are still read at a glance.
    return f"{value:.7f}".rstrip("0") if "e" in text and float(f"{value:.7f}") == value else text
