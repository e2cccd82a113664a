"""What must stand nowhere in the program: each rule of the security requirements as a look at the syntax tree."""

import ast
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("newbie_gui", "trainer_core", "bench", "docs")
SOURCES = [*ROOT.glob("*.py"), *(path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")))]
Finder = Callable[[ast.AST], bool]


@cache
def name_of(node: ast.AST) -> str:
    """ "torch.load" for the call of it, "" for what is no call."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def given(node: ast.AST, name: str) -> str:
    keywords = node.keywords if isinstance(node, ast.Call) else []
    return next((ast.unparse(keyword.value) for keyword in keywords if keyword.arg == name), "")


def has_tag(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and bool(re.search("</?[a-z]", node.value))


def glued_html(node: ast.AST) -> bool:
    """Markup made by gluing: + or % on a text with tags, or its format without Markup around it."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return any(has_tag(side) for side in (node.left, node.right))
    plain = isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "format"
    return plain and has_tag(node.func.value)  # type: ignore[attr-defined]


def untrusted_html(node: ast.AST) -> bool:
    """A gr.HTML that begins with anything but nothing, a literal, or what a renderer of Markup returns."""
    if name_of(node) != "gr.HTML":
        return False
    values = [*node.args[:1], *(k.value for k in node.keywords if k.arg == "value")]  # type: ignore[attr-defined]
    return not all(isinstance(value, ast.Constant) or "render(" in ast.unparse(value) for value in values)


def text_command(node: ast.AST) -> bool:
    """A process that is started by one text instead of a list."""
    starts = name_of(node) in ("subprocess.run", "subprocess.Popen", "subprocess.call", "subprocess.check_output")
    return starts and bool(node.args) and isinstance(node.args[0], ast.Constant | ast.JoinedStr)  # type: ignore


RULES: dict[str, Finder] = {
    "30 shell": lambda node: given(node, "shell") not in ("", "False"),
    "30 os.system": lambda node: name_of(node) in ("os.system", "os.popen", "os.startfile", "pty.spawn"),
    "30 eval": lambda node: name_of(node) in ("eval", "exec", "compile", "__import__"),
    "30 a command as text": text_command,
    "30 glued HTML": glued_html,
    "30 gr.HTML": untrusted_html,
    "28 torch.load": lambda node: name_of(node) == "torch.load" and given(node, "weights_only") != "True",
    "28 pickle": lambda node: bool(re.fullmatch(r"(pickle|dill|joblib|shelve|marshal)\.(loads?|open)", name_of(node))),
    "28 numpy pickles": lambda node: given(node, "allow_pickle") not in ("", "False"),
    "29 trust_remote_code": lambda node: given(node, "trust_remote_code") not in ("", "False"),
    "yaml.load": lambda node: name_of(node).startswith("yaml."),
    "an XML parser": lambda node: name_of(node).startswith(("ElementTree.", "ET.", "minidom.", "lxml.", "xml.")),
    "27 extractall": lambda node: name_of(node).endswith((".extractall", ".extract", ".unpack_archive")),
    "a temporary name": lambda node: name_of(node) == "tempfile.mktemp",
    "TLS unchecked": lambda node: given(node, "verify") == "False",
    "9 share": lambda node: given(node, "share") not in ("", "False"),
    "gr.load": lambda node: name_of(node) in ("gr.load", "gr.FileExplorer", "gr.LoginButton", "gr.Code", "gr.Chatbot"),
}  # fmt: skip

SLIPS = {
    "30 shell": "run('ls', shell=True)",
    "30 os.system": "os.system(name)",
    "30 eval": "eval(text)",
    "30 a command as text": "subprocess.run(f'ls {name}')",
    "30 glued HTML": "'<b>' + name",
    "30 gr.HTML": "gr.HTML(caption)",
    "28 torch.load": "torch.load(file)",
    "28 pickle": "pickle.load(file)",
    "28 numpy pickles": "np.load(file, allow_pickle=True)",
    "29 trust_remote_code": "AutoModel.from_pretrained(x, trust_remote_code=values['trust'])",
    "yaml.load": "yaml.load(text)",
    "an XML parser": "ElementTree.fromstring(caption)",
    "27 extractall": "archive.extractall(folder)",
    "a temporary name": "tempfile.mktemp()",
    "TLS unchecked": "get(url, verify=False)",
    "9 share": "demo.launch(share=True)",
    "gr.load": "gr.load('spaces/x')",
}


@cache
def nodes(code: str) -> tuple[ast.AST, ...]:
    """What the rules are about; most of a tree are names and constants."""
    return tuple(node for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Call | ast.BinOp))


@cache
def texts() -> dict[Path, str]:
    return {path: path.read_text(encoding="utf-8") for path in SOURCES}


def found(rule: Finder, code: str) -> list[int]:
    return [node.lineno for node in nodes(code) if rule(node)]  # type: ignore[attr-defined]


def places(rule: Finder) -> Iterator[str]:
    for path, code in texts().items():
        for line in found(rule, code):
            yield f"{path.relative_to(ROOT)}:{line}"


@pytest.mark.parametrize("rule", RULES)
def test_28_29_30_what_must_stand_nowhere(rule: str):
    assert list(places(RULES[rule])) == []


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_sees_a_slip(rule: str):
    assert found(RULES[rule], SLIPS[rule]) == [1]


def test_28_29_30_every_source_is_looked_at():
    assert len(SOURCES) > 250 and any(path.name == "weights.py" for path in SOURCES)


@pytest.mark.slow
def test_no_known_hole_in_what_is_installed():
    """pip-audit, where a network and the tool are there: `pip install pip-audit`, then `./launch.sh test --slow`."""
    tool = shutil.which("pip-audit")
    if tool is None:
        pytest.skip("pip-audit is not installed: pip install pip-audit")
    done = subprocess.run([tool, "-r", str(ROOT / "requirements.txt"), "--no-deps"], capture_output=True, text=True)
    if "ConnectionError" in done.stderr or "Max retries" in done.stderr:
        pytest.skip("pip-audit reached no database of advisories")
    assert done.returncode == 0, done.stdout + done.stderr
