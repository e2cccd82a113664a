"""What is known of one option: type, range, help; and the check of one value against it.

An option is declared once, as a dataclass field made by `option` or `required`; reader, template, form and
help derive from the `OptionSpec` that `specs_of` makes of it.
"""

import math
import re
from dataclasses import MISSING, dataclass, field, fields
from functools import cache
from types import MappingProxyType
from typing import Any, Literal, TypedDict, TypeVar, Unpack, cast

Level = Literal["basic", "advanced"]
Rerun = Literal["continue", "warn", "refuse"]
TextRule = Literal["any", "path", "name", "gpus"]

T = TypeVar("T")

_TYPE_NAMES = {int: "int", float: "float", bool: "bool", str: "str", list[str]: "list"}
_TEXT_RULES = MappingProxyType(
    {
        "any": "text",
        "path": "a path",
        "name": "a plain file name",
        "gpus": '"all", or GPU numbers as nvidia-smi counts them, such as "0" or "0,2"',
    }
)
_GPUS = re.compile(r"all|(0|[1-9][0-9]{0,2})(,(0|[1-9][0-9]{0,2}))*")
_ESCAPES = str.maketrans({"\t": r"\t", "\n": r"\n", "\r": r"\r", "\b": r"\b", "\f": r"\f", "\x1b": r"\e"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_UNSAFE_IN_NAMES = re.compile(r'[\x00-\x1f\x7f/\\:*?"<>|]')
# With any suffix.
RESERVED_ON_WINDOWS = re.compile(r"(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?", re.IGNORECASE)


class Traits(TypedDict, total=False):
    """Everything of an option beside default and help; the meanings are `OptionSpec`'s."""

    group: str
    unit: str
    minimum: float
    maximum: float
    above: float
    below: float
    multiple_of: int
    zero: str
    choices: tuple[str, ...]
    rule: TextRule
    nonempty: bool
    note: str
    level: Level
    rerun: Rerun


@dataclass(frozen=True, kw_only=True)
class OptionSpec:
    """One option as the reader, the template, the form and the help see it.

    Attributes:
        type: "int", "float", "bool", "str" or "list" (of texts).
        fixed_default: the default value, a list as a tuple: specs are shared. Read `default` instead.
        group: heading under which the option stands.
        minimum, maximum: inclusive bounds; ``above`` and ``below`` are the exclusive ones. In ``unit``.
        zero: what 0 means, where 0 is allowed besides the range.
        choices: the allowed texts; empty = any.
        rule: "path" (no control characters), "name" (one safe path component) or "gpus" ("all" or numbers).
        nonempty: an empty list or text is refused.
        note: a reason worth knowing when a value is refused.
        rerun: what a changed value does to a run that has begun: it continues, continues with a warning, or
            is refused.
    """

    name: str
    type: str
    required: bool
    help: str
    fixed_default: object = None
    group: str = ""
    unit: str = ""
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None
    multiple_of: int | None = None
    zero: str = ""
    choices: tuple[str, ...] = ()
    rule: TextRule = "any"
    nonempty: bool = False
    note: str = ""
    level: Level = "advanced"
    rerun: Rerun = "warn"

    @property
    def default(self) -> object:
        """The default value, each time a new list where it is one; ``None`` where ``required``."""
        return list(self.fixed_default) if isinstance(self.fixed_default, tuple) else self.fixed_default

    def allowed(self) -> str:
        """The allowed values, as the end of the sentence "must be ..."."""
        if self.type == "bool":
            return "true or false"
        if self.choices:
            return "one of " + ", ".join(f'"{choice}"' for choice in self.choices)
        if self.type == "list":
            return "a list of texts" + (" with at least one entry" if self.nonempty else "")
        if self.type == "str":
            return _TEXT_RULES[self.rule]
        words = ["a whole number" if self.type == "int" else "a number", *self._range_words()]
        if self.multiple_of:
            words.append(f"in multiples of {self.multiple_of}")
        return " ".join(words) + (f", or 0 ({self.zero})" if self.zero else "")

    def _range_words(self) -> list[str]:
        unit = f" {self.unit}" if self.unit else ""
        if self.minimum is not None and self.maximum is not None:
            return [f"from {self.minimum} to {self.maximum}{unit}"]
        bounds = (
            ("above", self.above),
            ("at least", self.minimum),
            ("below", self.below),
            ("at most", self.maximum),
        )
        present = [f"{word} {bound}{unit}" for word, bound in bounds if bound is not None]
        return [" and ".join(present)] if present else []


def option(default: T, help: str, **traits: Unpack[Traits]) -> T:
    """A dataclass field that is an option. Returns the field, typed as its value for the type checker."""
    metadata = {"help": help, **traits}
    if isinstance(default, list):
        made: Any = field(default_factory=default.copy, metadata=metadata)
    else:
        made = field(default=default, metadata=metadata)
    return cast(T, made)


def required(help: str, **traits: Unpack[Traits]) -> Any:
    """Like `option`, for an option without a default."""
    return field(metadata={"help": help, **traits})


def side(help: str, *, zero: str, rerun: Rerun = "warn") -> int:
    """An option that is a side of pictures in pixels; 0 has a meaning of its own."""
    return option(0, help, unit="px", minimum=64, maximum=4096, multiple_of=16, zero=zero, rerun=rerun)


@cache
def specs_of(config_class: type) -> tuple[OptionSpec, ...]:
    """The options of a dataclass in their order; a ``group`` holds until the next option that names one.

    Made once: every configuration that is read or built asks for them, and they cannot change.
    """
    specs = []
    group = ""
    for item in fields(config_class):
        traits = dict(item.metadata)
        group = traits.pop("group", group)
        default = item.default_factory() if item.default_factory is not MISSING else item.default
        missing = default is MISSING
        specs.append(
            OptionSpec(
                name=item.name,
                type=_TYPE_NAMES[item.type],  # type: ignore[index]
                fixed_default=None if missing else tuple(default) if isinstance(default, list) else default,
                required=missing,
                group=group,
                **traits,
            )
        )
    return tuple(specs)


def checked(spec: OptionSpec, value: object) -> object:
    """``value`` as the option's own type (an int becomes a float where a float is asked; lists are copied).

    Raises:
        ValueError: the text says what is wrong and what is allowed.
    """
    if spec.type in ("int", "float"):
        return _checked_number(spec, value)
    if spec.type == "bool":
        if not isinstance(value, bool):
            raise _wrong_type(spec, value)
        return value
    if spec.type == "str":
        if not isinstance(value, str):
            raise _wrong_type(spec, value)
        return _checked_text(spec, value)
    return _checked_list(spec, value)


def _checked_number(spec: OptionSpec, value: object) -> float:
    # bool is a subclass of int: `resolution = true` must not become 1.
    accepted = (int,) if spec.type == "int" else (int, float)
    if isinstance(value, bool) or not isinstance(value, accepted):
        raise _wrong_type(spec, value)
    assert isinstance(value, int | float)
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"must be {spec.allowed()}, not infinite or NaN")
    if not (spec.zero and value == 0) and not _within(spec, value):
        raise ValueError(f"must be {spec.allowed()}" + (f" ({spec.note})" if spec.note else ""))
    return value if spec.type == "int" else number


def _within(spec: OptionSpec, value: float) -> bool:
    return (
        (spec.minimum is None or value >= spec.minimum)
        and (spec.maximum is None or value <= spec.maximum)
        and (spec.above is None or value > spec.above)
        and (spec.below is None or value < spec.below)
        and (spec.multiple_of is None or value % spec.multiple_of == 0)
    )


def _checked_text(spec: OptionSpec, value: str) -> str:
    _require_unicode(value)
    if spec.choices and value not in spec.choices:
        raise ValueError(f"must be {spec.allowed()}")
    if (spec.required or spec.nonempty) and not value.strip():
        raise ValueError(f"must be set. {spec.help}")
    if spec.rule == "path":
        _require_path(value)
    elif spec.rule == "name":
        _require_name(value)
    elif spec.rule == "gpus" and not _is_gpu_list(value):
        raise ValueError(f"must be {spec.allowed()}, each once")
    return value


def _checked_list(spec: OptionSpec, value: object) -> list[str]:
    if not isinstance(value, list | tuple):
        raise _wrong_type(spec, value)
    for entry in value:
        if not isinstance(entry, str):
            raise ValueError(f"must be a list of texts, but holds {_type_in_words(entry)}: {entry!r}")
        if not entry.strip():
            raise ValueError("holds an empty text; remove it")
        _require_unicode(entry)
    if spec.nonempty and not value:
        raise ValueError(f"must be {spec.allowed()}")
    return list(value)


def _require_unicode(value: str) -> None:
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise ValueError("holds bytes that are not valid Unicode text; rename the file or type the text anew")


def _require_path(value: str) -> None:
    if _CONTROL.search(value):
        meant = value.translate(_ESCAPES)
        slashed = meant.replace("\\", "/")
        raise ValueError(
            "holds control characters: between double quotes TOML reads a backslash as an escape "
            f"(\\t becomes a tab). Write \"{slashed}\" or, between single quotes, '{meant}'"
        )
    if value.startswith("~"):
        raise ValueError("must be written in full: ~ is not replaced by the home folder")


def _require_name(value: str) -> None:
    if not value.strip():
        raise ValueError("must not be empty")
    if len(value.encode()) > 120:
        raise ValueError("must be at most 120 bytes long")
    bad = sorted(set(_UNSAFE_IN_NAMES.findall(value)))
    if bad:
        raise ValueError(f"must be a plain file name without {' '.join(map(repr, bad))}")
    if value.startswith(".") or value.strip() != value or value.endswith("."):
        raise ValueError("must not begin with a dot or a space, nor end with one")
    if RESERVED_ON_WINDOWS.fullmatch(value):
        raise ValueError("is a reserved name on Windows; choose another")


def _is_gpu_list(value: str) -> bool:
    numbers = value.split(",")
    return _GPUS.fullmatch(value) is not None and len(set(numbers)) == len(numbers)


def _wrong_type(spec: OptionSpec, value: object) -> ValueError:
    advice = ""
    if isinstance(value, str) and spec.type != "str":
        advice = "; write it without quotes"
        if spec.type in ("list", "bool"):
            advice = '; write it as ["..."]' if spec.type == "list" else "; write it as true or false, without quotes"
    elif spec.type == "str":
        advice = "; write it between quotes"
    return ValueError(f"must be {spec.allowed()}, not {_type_in_words(value)}{advice}")


def _type_in_words(value: object) -> str:
    words: dict[type, str] = {
        bool: "true/false",
        int: "a whole number",
        float: "a number with a decimal point",
        str: "text",
        list: "a list",
        dict: "a section",
    }
    return words.get(type(value), f"a {type(value).__name__}")
