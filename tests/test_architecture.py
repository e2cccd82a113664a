"""The architecture as a test: who may import whom, what stays free of torch, how large a unit may grow."""

import ast
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted(path for folder in ("bench", "newbie_gui", "trainer_core") for path in (ROOT / folder).rglob("*.py"))
# Standard library only: they run before anything is installed.
SET_UP = ("__init__", "bootstrap", "environment", "folder_checks", "launcher", "moved")

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


@dataclass(frozen=True)
class Source:
    """A file of ours, parsed and walked once for all rules."""

    path: Path
    text: str
    tree: ast.Module
    nodes: tuple[ast.AST, ...]

    def within(self, folder: str) -> bool:
        return self.path.is_relative_to(ROOT / folder)

    def at(self, line: int, finding: str) -> str:
        return f"{self.path.relative_to(ROOT).as_posix()}:{line}: {finding}"

    def part(self) -> str:
        """The part of trainer_core that it belongs to: "model" for trainer_core/model/rope.py."""
        return self.path.relative_to(ROOT / "trainer_core").parts[0].removesuffix(".py")

    def imports(self) -> Iterator[tuple[int, str]]:
        """Line and name of every module or name that it imports, at its top or inside a function."""
        package = list(self.path.relative_to(ROOT).parent.parts)
        for node in self.nodes:
            for name in imported_modules(node, package):
                yield line_of(node), name


def source(path: Path) -> Source:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    return Source(path, text, tree, tuple(ast.walk(tree)))


@pytest.fixture(scope="module")
def sources() -> list[Source]:
    assert len(SOURCES) > 300
    return [source(path) for path in SOURCES]


def line_of(node: ast.AST) -> int:
    return getattr(node, "lineno", 0)


def say_all(findings: list[str]) -> None:
    """Fails with every finding, a line each."""
    assert not findings, "\n".join(findings)


def top(name: str) -> str:
    return name.split(".")[0]


def imported_modules(node: ast.AST, package: list[str]) -> list[str]:
    """Dotted names that an import statement asks for; `package` resolves the relative ones."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        start = package[: len(package) - node.level + 1] if node.level else []
        base = ".".join([*start, *([node.module] if node.module else [])])
        return [f"{base}.{alias.name}" for alias in node.names]
    return []


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


def forbidden_direction(source: Source, name: str) -> bool:
    if source.within("newbie_gui"):
        return name.startswith("trainer_core.") and name.split(".")[1] not in TORCH_FREE
    if source.within("bench"):
        # Measures the trainer without the browser side; nothing may build on it.
        return top(name) in ("newbie_gui", "gradio")
    return source.part() != "__init__" and wrong_direction(source.part(), [name]) != []


def test_imports_only_point_down(sources: list[Source]):
    parts = {source.part() for source in sources if source.within("trainer_core")}
    assert parts - {"__init__"} <= set(RANK), "a new part of trainer_core: give it a rank"
    wrong = [
        source.at(line, name)
        for source in sources
        for line, name in source.imports()
        if forbidden_direction(source, name)
    ]
    say_all(wrong)


def test_the_direction_check_sees_a_wrong_import():
    assert wrong_direction("model", ["trainer_core.contracts.errors", "torch"]) == []
    assert wrong_direction("model", ["trainer_core.training.loop", "gradio"]) == [
        "trainer_core.training.loop",
        "gradio",
    ]
    assert wrong_direction("jobs", ["trainer_core.planning.advice"]) == ["trainer_core.planning.advice"]


def torch_free(source: Source) -> bool:
    return source.within("newbie_gui") or (source.within("trainer_core") and source.part() in (*TORCH_FREE, "__init__"))


def test_torch_free_parts_import_nothing_heavy(sources: list[Source]):
    wrong = [
        source.at(line, name)
        for source in filter(torch_free, sources)
        for line, name in source.imports()
        if top(name) in HEAVY - {"gradio"}
    ]
    say_all(wrong)


LOAD_ALL = """
import importlib, pkgutil, sys
for text in sys.argv[2:]:
    package = importlib.import_module(text)
    names = [module.name for module in pkgutil.walk_packages(package.__path__, text + ".")]
    for name in names:
        importlib.import_module(name)
    loaded = sorted(set(sys.argv[1].split()) & set(sys.modules))
    assert names and not loaded, (names, loaded)
"""


@pytest.mark.parametrize("packages", [[f"trainer_core.{part}" for part in TORCH_FREE], ["newbie_gui"]], ids=" ".join)
def test_loading_a_torch_free_package_does_not_load_torch(packages: list[str]):
    heavy = (HEAVY | {"tokenizers"}) - ({"gradio"} if "newbie_gui" in packages else set())
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, "-c", LOAD_ALL, " ".join(heavy), *packages]
    done = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def too_large(code: ast.AST) -> Iterator[str]:
    """What is wrong with the size of a function; nothing for any other node."""
    if not isinstance(code, ast.FunctionDef | ast.AsyncFunctionDef):
        return
    assert code.end_lineno is not None
    if code.end_lineno - code.lineno + 1 > 60:
        yield f"{code.name} is longer than 60 lines"
    positional = [a.arg for a in code.args.posonlyargs + code.args.args if a.arg not in ("self", "cls")]
    # What runs on a card takes its pointers one by one.
    kernel = any("triton.jit" in ast.unparse(decorator) for decorator in code.decorator_list)
    if not kernel and len(positional) > 6:
        yield f"{code.name} has more than 6 positional parameters"


def test_files_and_functions_stay_small(sources: list[Source]):
    # String tables may be long.
    long = [s.at(401, "more than 400 lines") for s in sources if len(s.text.splitlines()) > 400]
    say_all([finding for finding in long if not finding.startswith("newbie_gui/texts/")])
    say_all([s.at(line_of(node), finding) for s in sources for node in s.nodes for finding in too_large(node)])


def test_the_size_check_sees_a_long_function_and_a_long_list_of_parameters():
    many = ast.parse("def f(a, b, c, d, e, f, /, g): pass\nclass A:\n def m(self, a, b, c, d, e, f): pass")
    long = ast.parse("def g():\n" + " pass\n" * 60)
    assert [finding for node in ast.walk(many) for finding in too_large(node)] == [
        "f has more than 6 positional parameters"
    ]
    assert [finding for node in ast.walk(long) for finding in too_large(node)] == ["g is longer than 60 lines"]


def test_optional_and_unwanted_packages(sources: list[Source]):
    at_the_top = [
        source.at(line_of(node), name)
        for source in sources
        for node in source.tree.body
        for name in imported_modules(node, [])
        if top(name) == "flash_attn"
    ]
    anywhere = [s.at(line, name) for s in sources for line, name in s.imports() if top(name) == "torchvision"]
    say_all(at_the_top + anywhere)


def test_requirements_name_neither_torchvision_nor_flash_attention():
    pins = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line and line[0] != "#"]
    assert all("==" in pin for pin in pins)
    assert not [pin for pin in pins if pin.startswith(("torchvision", "flash"))]


def unescaped_html(nodes: Iterable[ast.AST]) -> list[int]:
    """Lines where text of people could become HTML: f-strings with tags, Markup around anything but a literal."""
    lines = []
    for node in nodes:
        if isinstance(node, ast.JoinedStr):
            literal = "".join(part.value for part in node.values if isinstance(part, ast.Constant))
            if re.search(r"</?[a-z]", literal):
                lines.append(node.lineno)
        if isinstance(node, ast.Call) and "Markup" in (getattr(node.func, "id", ""), getattr(node.func, "attr", "")):
            if not all(isinstance(argument, ast.Constant) for argument in node.args):
                lines.append(node.lineno)
    return lines


def test_html_is_made_by_escaping_only(sources: list[Source]):
    pages = [source for source in sources if source.within("newbie_gui")]
    say_all([page.at(line, "unescaped") for page in pages for line in unescaped_html(page.nodes)])


def test_the_html_check_sees_a_slip():
    slips = "Markup(name)\nf'<b>{name}</b>'\nMarkup('<b>{}</b>').format(name)\nf'{a} < {b}'"
    assert unescaped_html(ast.walk(ast.parse(slips))) == [1, 2]


def test_the_set_up_needs_nothing_installed():
    for path in (ROOT / "newbie_gui").glob("*.py"):
        if path.stem in SET_UP:
            foreign = {top(name) for _, name in source(path).imports()} - sys.stdlib_module_names - {"newbie_gui"}
            assert not foreign, path.name
