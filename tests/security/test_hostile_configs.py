"""Configs made by chance: a valid one, or every problem by name, in both languages; never another exception."""

import math
import time
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from newbie_gui.translate import hints, say
from trainer_core.contracts.config import (
    IGNORED_KEYS,
    TrainConfig,
    config_template,
    load_config,
    options,
    parse_config,
    to_toml,
)
from trainer_core.contracts.errors import ConfigError, UserError
from trainer_core.contracts.foreign import FOREIGN_KEYS, translate
from trainer_core.contracts.options import OptionSpec, checked
from trainer_core.contracts.toml_text import toml_value
from trainer_core.contracts.validation import nearest

NEEDED = {"base_model_path": "base", "train_data_dir": "images"}
SPECS = {spec.name: spec for spec in options()}
CI, LONG = 100, 5000
# Derandomised: the examples are a function of the test alone, so a failure comes again.
FUZZ: Mapping[str, Any] = {
    "derandomize": True, "deadline": None, "database": None, "phases": (Phase.generate, Phase.shrink),
    "suppress_health_check": [HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
}  # fmt: skip

scalars = st.one_of(
    st.booleans(),
    st.integers(),
    st.integers(-3, 2000),
    st.floats(),
    st.text(max_size=40),
    st.sampled_from(
        ["", " ", "~", "a\0b", "..", "CON", "x/y", "\ud800", "bf16", "fp16", "cpu", "auto", "0,1", "1e400"]
    ),
    st.dates(),
)
values = st.one_of(
    scalars,
    st.lists(scalars, max_size=4),
    st.dictionaries(st.text(max_size=8), scalars, max_size=3),
    st.recursive(scalars, lambda inner: st.lists(inner, max_size=2), max_leaves=6),
)
names = st.one_of(st.sampled_from([*SPECS, *FOREIGN_KEYS]), st.text(max_size=20))


def fitting(spec: OptionSpec) -> st.SearchStrategy[Any]:
    """Values around those that an option takes."""
    if spec.choices:
        return st.sampled_from([*spec.choices, "other"])
    if spec.type in ("int", "float"):
        least = spec.minimum if spec.minimum is not None else (spec.above or 0)
        near = st.integers(int(least) - 1, int(min(spec.maximum or 2000, 10_000)) + 1)
        return near if spec.type == "int" else near.map(lambda number: number / 1.0)
    return {"bool": st.booleans(), "list": st.lists(st.text(max_size=9), max_size=3)}.get(
        spec.type, st.text(max_size=20)
    )


mostly_right = st.fixed_dictionaries({}, optional={name: fitting(spec) for name, spec in SPECS.items()})
wild = st.dictionaries(names, values, max_size=12)
anything = st.one_of(wild, mostly_right, st.tuples(mostly_right, wild).map(lambda pair: pair[0] | pair[1]))


def alone_bad(name: str, value: object) -> bool:
    if name not in SPECS:
        return name not in (*IGNORED_KEYS, "Model", "Optimization")
    try:
        checked(SPECS[name], value)
    except ValueError:
        return True
    return False


def check(given_values: Mapping[str, object]) -> None:
    whole = {**NEEDED, **given_values}
    bad = {name for name, value in whole.items() if alone_bad(name, value)}
    try:
        cfg = parse_config(whole)
    except ConfigError as error:
        told = {problem.field for problem in error.problems}
        assert {name for name in bad if not {name, f"[{name}]"} & told} == set(), "a problem was not reported"
        require_words(error)
    else:
        assert not bad, f"accepted: {bad}"
        assert parse_config(tomllib.loads(to_toml(cfg))) == cfg


def require_words(error: UserError) -> None:
    for lang in ("en", "zh"):
        assert all((say(error, lang).strip(), *hints(error, lang)))
    # What a terminal or a log in UTF-8 cannot hold would be the next exception.
    str(error).encode("utf-8", "backslashreplace")


def test_any_values_are_a_config_or_all_their_problems(right):
    given(anything)(settings(max_examples=CI, **FUZZ)(check))()
    right.add(CI)


@pytest.mark.slow
def test_any_values_at_length(record_figure: Callable[[str, str], None]):
    given(anything)(settings(max_examples=LONG, **FUZZ)(check))()
    record_figure("hostile: configs, long form", f"{TRIED + LONG} / {TRIED + LONG}")


ODD: tuple[object, ...] = (
    None, True, -1, 0, 10**400, math.nan, math.inf, -0.0, 1e-320, "", "x", "\0", "\ud800", "9" * 5000, [], [[]], ["a"],
    [None], {}, {"a": 1}, b"x", 3 + 4j, {1, 2}, range(3), object(),
)  # fmt: skip


@pytest.mark.parametrize("name", SPECS)
def test_31_each_option_with_each_wrong_value_is_refused_by_name(name: str, right):
    """Out of range, of another type, of no type that TOML has: an option is taken or named, and nothing else is."""
    for value in ODD:
        try:
            parse_config({**NEEDED, name: value})
        except ConfigError as error:
            fields = {problem.field for problem in error.problems}
            assert name in fields or not alone_bad(name, value), (value, fields)
            require_words(error)
        else:
            assert not alone_bad(name, value), value
    right.add(len(ODD))


def as_toml(given_values: Mapping[str, object]) -> str:
    """A file of those values that TOML can hold."""
    lines = []
    for name, value in given_values.items():
        try:
            lines.append(f"{toml_value(name)} = {toml_value(value)}")
        except TypeError:
            continue
    return "\n".join(lines).encode("utf-8", "ignore").decode()


lines_of_template = st.lists(st.sampled_from(config_template().splitlines()), min_size=1, max_size=30)
torn = st.tuples(lines_of_template, st.integers(0, 400), st.text(max_size=6)).map(
    lambda made: (text := "\n".join(made[0]))[: made[1]] + made[2] + text[made[1] :]
)
files = st.one_of(
    st.binary(max_size=300),
    torn.map(lambda text: text.encode("utf-8", "replace")),
    wild.map(lambda found: as_toml(found).encode("utf-8", "replace")),
    st.text(max_size=200).map(lambda text: text.encode("utf-16", "replace")),
)
ENDLESS = (
    b"[" * 200_000, b"a = " + b"[" * 200_000, b"x={a={" * 30_000, b"x = " + b"9" * 200_000, b"a." * 100_000 + b"b = 1",
    b"[" + b"a." * 100_000 + b"b]", b'"a" . ' * 40_000 + b"b = 1", b"a.b.c.d = 1\n" * 20_000, b"#" * 250_000,
)  # fmt: skip


# Three tests take CI examples each, the tables one for each option and odd value, and one for each endless file.
TRIED = 3 * CI + len(SPECS) * len(ODD) + len(ENDLESS)


def load(tmp_path: Path, data: bytes) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(data)
    started = time.process_time()
    try:
        assert isinstance(load_config(file), TrainConfig)
    except ConfigError as error:
        assert str(file) in str(error)
        require_words(error)
    assert time.process_time() - started < 5


def test_any_file_is_a_config_or_all_its_problems(tmp_path: Path, right):
    given(files)(settings(max_examples=CI, **FUZZ)(lambda data: load(tmp_path, data)))()
    right.add(CI)


@pytest.mark.parametrize("data", ENDLESS, ids=lambda data: data[:12].decode())
def test_a_quarter_of_a_megabyte_of_anything_takes_no_time(tmp_path: Path, data: bytes, right):
    load(tmp_path, data)
    right.add()


def test_another_trainers_file_of_anything_is_translated_or_refused(right):
    given(wild)(settings(max_examples=CI, **FUZZ)(translated_or_refused))()
    right.add(CI)


def translated_or_refused(given_values: dict[str, object]) -> None:
    try:
        found = translate(given_values, known=[*SPECS], without=[], nearest=lambda key: nearest(key, SPECS))
    except UserError as error:
        require_words(error)
    else:
        told = {report.key for report in found.reports}
        assert set(given_values) <= told, "a key was passed over in silence"
        assert all(str(report) for report in found.reports)


def test_configs_figure(record_figure: Callable[[str, str], None], right):
    record_figure("hostile: configs", f"{right.count} / {TRIED}")
