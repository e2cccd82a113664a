"""The architecture as a test: who may import whom, what stays free of torch, how large a unit may grow."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(path for folder in ("bench", "newbie_gui", "trainer_core") for path in (ROOT / folder).rglob("*.py"))
# Standard library only: they run before anything is installed.
SET_UP = ("__init__", "bootstrap", "environment", "launcher")

# A part may import itself and what ranks below it; dataset, planning and jobs do not know each other.
RANK = {
    "contracts": 0,
    "dataset": 1,
    "planning": 1,
    "jobs": 1,
    "model": 2,
    "training": 3,
    "tools": 4,
    "cli": 5,
    "__main__": 6,
}
TORCH_FREE = ("contracts", "dataset", "planning", "jobs")
HEAVY = {"torch", "transformers", "diffusers", "peft", "accelerate", "bitsandbytes", "gradio"}

every_source = pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(ROOT).as_posix())


def imported_modules(node: ast.AST, package: list[str]) -> list[str]:
    """Dotted names that an import statement asks for; `package` resolves the relative ones."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        start = package[: len(package) - node.level + 1] if node.level else []
        base = ".".join([*start, *([node.module] if node.module else [])])
        return [f"{base}.{alias.name}" for alias in node.names]
    return []


def imports(path: Path) -> list[str]:
    """Every module or name that a file imports, at its top or inside a function."""
    package = list(path.relative_to(ROOT).parent.parts)
    return [name for node in ast.walk(tree(path)) for name in imported_modules(node, package)]


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def part_of(path: Path) -> str:
    """The part of trainer_core that a file belongs to: "model" for trainer_core/model/rope.py."""
    return path.relative_to(ROOT / "trainer_core").parts[0].removesuffix(".py")


def wrong_direction(part: str, imported: list[str]) -> list[str]:
    """Those imports that point up, sideways, or out to the browser side."""
    wrong = []
    for name in imported:
        words = name.split(".")
        if words[0] in ("newbie_gui", "gradio", "bench"):
            wrong.append(name)
        elif words[0] == "trainer_core" and len(words) > 1 and words[1] in RANK and words[1] != part:
            if RANK[words[1]] >= RANK[part]:
                wrong.append(name)
    return wrong


def calls(path: Path) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def given(call: ast.Call, name: str) -> str:
    """Source text of a call's keyword argument, "" where it is not given."""
    return next((ast.unparse(keyword.value) for keyword in call.keywords if keyword.arg == name), "")


@every_source
def test_imports_only_point_down(path: Path):
    if path.is_relative_to(ROOT / "newbie_gui"):
        parts = {name.split(".")[1] for name in imports(path) if name.startswith("trainer_core.")}
        assert parts <= set(TORCH_FREE)
    elif path.is_relative_to(ROOT / "bench"):
        # Measures the trainer without the browser side; nothing may build on it.
        assert not {"newbie_gui", "gradio"} & {name.split(".")[0] for name in imports(path)}
    elif part_of(path) != "__init__":
        assert part_of(path) in RANK, "a new part of trainer_core: give it a rank"
        assert wrong_direction(part_of(path), imports(path)) == []


def test_the_direction_check_sees_a_wrong_import():
    assert wrong_direction("model", ["trainer_core.contracts.errors", "torch"]) == []
    assert wrong_direction("model", ["trainer_core.training.loop", "gradio"]) == [
        "trainer_core.training.loop",
        "gradio",
    ]
    assert wrong_direction("jobs", ["trainer_core.planning.advice"]) == ["trainer_core.planning.advice"]


@every_source
def test_torch_free_parts_import_nothing_heavy(path: Path):
    if path.is_relative_to(ROOT / "bench"):
        return
    torch_free = path.is_relative_to(ROOT / "newbie_gui") or part_of(path) in (*TORCH_FREE, "__init__")
    used = {name.split(".")[0] for name in imports(path)}
    assert not torch_free or not used & (HEAVY - {"gradio"})


@pytest.mark.parametrize(
    "package",
    ["trainer_core.contracts", "trainer_core.dataset", "trainer_core.planning", "trainer_core.jobs", "newbie_gui"],
)
def test_loading_a_torch_free_package_does_not_load_torch(package: str):
    heavy = (HEAVY | {"tokenizers"}) - ({"gradio"} if package == "newbie_gui" else set())
    code = (
        "import importlib, pkgutil, sys\n"
        f"package = importlib.import_module({package!r})\n"
        f"names = [module.name for module in pkgutil.walk_packages(package.__path__, {package!r} + '.')]\n"
        "[importlib.import_module(name) for name in names]\n"
        f"loaded = sorted({heavy!r} & set(sys.modules))\n"
        "assert names and not loaded, (names, loaded)"
    )
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@every_source
def test_files_and_functions_stay_small(path: Path):
    string_table = path.is_relative_to(ROOT / "newbie_gui/texts")
    assert string_table or len(path.read_text(encoding="utf-8").splitlines()) <= 400
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            assert node.end_lineno - node.lineno + 1 <= 60, f"{node.name} is longer than 60 lines"
            positional = [a.arg for a in node.args.posonlyargs + node.args.args if a.arg not in ("self", "cls")]
            # What runs on a card takes its pointers one by one.
            kernel = any("triton.jit" in ast.unparse(decorator) for decorator in node.decorator_list)
            assert kernel or len(positional) <= 6, f"{node.name} has more than 6 positional parameters"


@every_source
def test_optional_and_unwanted_packages(path: Path):
    at_the_top = [name for node in tree(path).body for name in imported_modules(node, [])]
    assert not [name for name in at_the_top if name.split(".")[0] == "flash_attn"]
    assert not [name for name in imports(path) if name.split(".")[0] == "torchvision"]


@every_source
def test_no_shell_and_no_pickle(path: Path):
    for name, call in calls(path):
        assert given(call, "shell") in ("", "False"), f"line {call.lineno}: shell=True"
        if name == "torch.load":
            assert given(call, "weights_only") == "True", f"line {call.lineno}: torch.load may run foreign code"


def test_requirements_name_neither_torchvision_nor_flash_attention():
    pins = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all("==" in pin for pin in pins)
    assert not [pin for pin in pins if pin.startswith(("torchvision", "flash"))]


def unescaped_html(code: ast.Module) -> list[int]:
    """Lines where text of people could become HTML: f-strings with tags, Markup around anything but a literal."""
    lines = []
    for node in ast.walk(code):
        if isinstance(node, ast.JoinedStr):
            literal = "".join(part.value for part in node.values if isinstance(part, ast.Constant))
            if re.search(r"</?[a-z]", literal):
                lines.append(node.lineno)
        if isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] == "Markup":
            if not all(isinstance(argument, ast.Constant) for argument in node.args):
                lines.append(node.lineno)
    return lines


@every_source
def test_html_is_made_by_escaping_only(path: Path):
    if path.is_relative_to(ROOT / "newbie_gui"):
        assert unescaped_html(tree(path)) == []


def test_the_html_check_sees_a_slip():
    slips = "Markup(name)\nf'<b>{name}</b>'\nMarkup('<b>{}</b>').format(name)\nf'{a} < {b}'"
    assert unescaped_html(ast.parse(slips)) == [1, 2]


def test_the_set_up_needs_nothing_installed():
    for path in (ROOT / "newbie_gui").glob("*.py"):
        if path.stem in SET_UP:
            foreign = {name.split(".")[0] for name in imports(path)} - sys.stdlib_module_names - {"newbie_gui"}
            assert not foreign, path.name
