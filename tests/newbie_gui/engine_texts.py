"""Every text that the engine can show a person, taken from its source.

A text is a string with two words or more, an f-string with ``{}`` for each value, a sum of such; or any string in a
place that is always shown (the name of a phase, a component of memory). What no page shows is left out, with the
reason.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# Files (or "file:function") whose texts no page shows.
LEFT_OUT = {
    "newbie_gui/token.py": "said in the terminal, before there is a page",
    "trainer_core/contracts/start.py": "said in the terminal, before there is a page",
    "trainer_core/contracts/generated.py": "writes the documentation",
    "trainer_core/contracts/system_prompts.py": "what the model reads",
    "trainer_core/contracts/step_options.py": "as train_config.py",
    "trainer_core/contracts/train_config.py": "help and limits of the options: the pages have texts of their own",
    "trainer_core/contracts/toml_text.py:toml_value": "a mistake of ours",
    "trainer_core/contracts/toml_text.py:_description": "comments of the template",
    "trainer_core/contracts/config.py:<module>": "comments of the template; IGNORED_KEYS is in the catalogue",
    "trainer_core/model/attention.py:<module>": "docstrings of types",
    "trainer_core/model/nextdit.py": "broken promises between our own functions",
    "trainer_core/model/writing.py": "broken promises between our own functions",
    "trainer_core/jobs/queue.py:add": "mistakes of ours",
    "trainer_core/planning/demo.py": "prompts",
    "trainer_core/planning/doctor.py": "the page for bug reports is in English for everybody",
    "trainer_core/planning/doctor_subject.py": "the page for bug reports is in English for everybody",
    "trainer_core/tools/tiny/": "builds the toy base; for developers",
    "trainer_core/training/reporting.py": "train.log is in English for everybody",
    "trainer_core/training/sampling.py": "settings inside a picture's file, as every program writes them",
    "trainer_core/training/tensorboard.py": "TensorBoard's own page",
}
# Single texts that no page shows.
UNSHOWN = {
    "Made by the demo; a new demo removes this folder.": "stands in a file",
    "Newbie-NC-1.0 (non-commercial)": "stands in a model's metadata",
    "No space left": "looked for in another program's words",
    "eights only": "looked for in another program's words",
    "unknown request {}; known are {}": "a mistake of ours",
    "run {}": "only names the folder that the page shows",
}
# Ends and joints of sentences: they have no Chinese of their own, only the sentences that they are part of, for which
# there are real messages in test_translate_real.py.
PARTS = frozenset(
    (
        "{} is {}.",
        " in {}",
        "at least",
        "at most",
        " and ",
        " and {} more",
        " and min_bucket_reso = 0",
        "taken as",
        "added, because",
        "ignored, because",
        "left out, as asked:",
        "cannot be honoured yet:",
        "is not known:",
        "{} {}, but {} has {} magnitude",
        "caption {}…",
        "Length: {}; for {} {} to {} epochs are usual: {}.",
        "all {} images have one; ",
    )
)
# Where only errors are English: the pages have their other words in both languages, the command line has a terminal.
ERRORS_ONLY = ("trainer_core/cli/", "newbie_gui/")
# Of the command line a page shows only the errors of what a job runs.
JOBS = ("trainer_core/cli/train.py", "trainer_core/cli/job.py")
# Calls whose strings are never shown.
SILENT_CALLS = frozenset(
    (
        "print",
        "_say",
        "compile",
        "search",
        "match",
        "fullmatch",
        "sub",
        "getenv",
        "TemplateProcessing",
        "AssertionError",
    )
)
# Calls whose strings are shown even where they are one word.
SHOWN_CALLS = frozenset(("Component", "Phase", "progress", "_phase", "report", "tell", "phase"))
# Files whose strings are.
SHOWN_FILES = ("trainer_core/contracts/phase_names.py",)
_PROSE = re.compile(r"[A-Za-z]{2,}[^A-Za-z]* |  ?[^A-Za-z]*[A-Za-z]{2,}")


@dataclass(frozen=True, kw_only=True)
class EngineText:
    """Where a text stands in the source, and the text with ``{}`` for its values."""

    place: str
    function: str
    template: str


def template_of(node: ast.AST) -> str | None:
    """The text that an expression makes, ``{}`` for what is not known; None where it makes no text of its own."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        sides = [template_of(side) for side in (node.left, node.right)]
        if any(side is not None for side in sides):
            return "".join("{}" if side is None else side for side in sides)
    return None


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def literals(path: Path) -> Iterator[str]:
    """Every string of a file, for finding out what is still said somewhere."""
    for node in ast.walk(tree(path)):
        text = template_of(node)
        if text:
            yield text


def engine_files() -> list[Path]:
    """The engine's own, and the browser side's, which raises errors as the engine does."""
    texts = ROOT / "newbie_gui" / "texts"
    found = [*(ROOT / "trainer_core").rglob("*.py"), *(ROOT / "newbie_gui").rglob("*.py")]
    return sorted(path for path in found if texts not in path.parents)


@cache
def engine_texts() -> tuple[EngineText, ...]:
    """Every text that a page may show."""
    found = (text for path in engine_files() for text in texts_of(path))
    return tuple(text for text in found if not is_left_out(text))


def is_left_out(text: EngineText) -> bool:
    file = text.place.split(":")[0]
    if text.template in PARTS or text.template in UNSHOWN:
        return True
    return (file.startswith("trainer_core/cli/") and file not in JOBS) or any(
        file.startswith(left) if left.endswith("/") else left in (file, f"{file}:{text.function}") for left in LEFT_OUT
    )


def texts_of(path: Path) -> list[EngineText]:
    name = path.relative_to(ROOT).as_posix()
    finder = _Finder(name)
    finder.visit(tree(path))
    return finder.found


class _Finder(ast.NodeVisitor):
    def __init__(self, file: str) -> None:
        self.file = file
        self.found: list[EngineText] = []
        self._function = "<module>"
        self._shown = not file.startswith(ERRORS_ONLY)
        self._single = file in SHOWN_FILES

    def visit(self, node: ast.AST) -> None:
        text = template_of(node)
        if text is None:
            super().visit(node)
            return
        if self._shown and (self._single or _PROSE.search(text.replace("{}", ""))):
            for line in filter(None, text.split("\n")):
                place = f"{self.file}:{getattr(node, 'lineno', 0)}"
                self.found.append(EngineText(place=place, function=self._function, template=line))
        self._values(node)

    def _values(self, node: ast.AST) -> None:
        """Goes on inside the values that are put into a text."""
        if isinstance(node, ast.JoinedStr):
            for part in node.values:
                if isinstance(part, ast.FormattedValue):
                    self.visit(part.value)
        elif isinstance(node, ast.BinOp):
            for side in (node.left, node.right):
                self.visit(side) if template_of(side) is None else self._values(side)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        outer, self._function = self._function, node.name
        for part in node.body:
            self.visit(part)
        self._function = outer

    def visit_Expr(self, node: ast.Expr) -> None:
        # A string alone is a docstring.
        if not isinstance(node.value, ast.Constant):
            self.visit(node.value)

    def visit_Assert(self, node: ast.Assert) -> None:
        """An assertion speaks to us."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        if node.value is not None:
            self.visit(node.value)

    def visit_Call(self, node: ast.Call) -> None:
        name = ast.unparse(node.func).split(".")[-1]
        if name in SILENT_CALLS:
            return
        outer = self._shown, self._single
        self._shown = self._shown or name in ("UserError", "OptionSpec")
        self._single = name in SHOWN_CALLS
        for part in [*node.args, *(keyword.value for keyword in node.keywords)]:
            self.visit(part)
        self._shown, self._single = outer
