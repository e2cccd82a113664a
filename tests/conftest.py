"""What the whole suite shares: skips with reasons, figures worth seeing, the wall clock of each group."""

import json
import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

BUILD = Path(__file__).resolve().parent.parent / "build"

# Seconds of the wall clock on 2 cores, 15 minutes in all. Every group's time is printed; twice the budget fails.
BUDGET = {"unit": 270, "runs": 150, "learning": 100, "browser": 290, "faults": 90}
GROUP_OF_FOLDER = {"run": "runs", "learning": "learning", "gui": "browser", "faults": "faults"}

Figures = dict[str, float | int | str]
_FIGURE = "figure: "


class Gathered:
    """Figures of all tests, and the seconds of each group; slow and gpu tests have no budget and count apart.

    Reports come here from whichever process ran the test; of several side by side each second counts its share.
    """

    def __init__(self, processes: int) -> None:
        self._processes = processes
        self.seconds: dict[str, float] = dict.fromkeys(BUDGET, 0.0)
        self.figures: Figures = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        told = {name.removeprefix(_FIGURE): value for name, value in report.user_properties if name.startswith(_FIGURE)}
        self.figures |= told  # type: ignore[arg-type]
        group = next((mark for mark in ("slow", "gpu") if mark in report.keywords), group_of(report.nodeid))
        self.seconds[group] = self.seconds.get(group, 0.0) + report.duration / self._processes

    def over_limit(self) -> list[str]:
        return [group for group, budget in BUDGET.items() if self.seconds[group] > 2 * budget]

    def lines(self) -> Iterator[str]:
        for group, seconds in self.seconds.items():
            budget = BUDGET.get(group)
            verdict = "TOO SLOW (over twice the budget)" if group in self.over_limit() else ""
            limit = f"of {budget:4.0f} s" if budget else "no budget"
            yield f"wall clock  {group:9s} {seconds:7.1f} s {limit} {verdict}".rstrip()


def group_of(nodeid: str) -> str:
    """Return the budget group of a test or its file: "tests/run/test_x.py::test_y" belongs to "runs"."""
    folders = nodeid.split("::")[0].split("/")
    return GROUP_OF_FOLDER.get(folders[1], "unit") if len(folders) > 2 else "unit"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--slow", action="store_true", help="run the tests that take minutes as well")


def pytest_configure(config: pytest.Config) -> None:
    # Temporary folders stay inside the project; numbered, so that two sessions do not disturb each other.
    temporary = BUILD / "pytest"
    temporary.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(temporary))
    os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(BUILD / "hypothesis"))
    if not is_worker(config):
        # pytest-xdist's own option; there is none where it is not installed.
        processes = config.getoption("numprocesses", None) or 1
        config.pluginmanager.register(Gathered(processes), "gathered")


def is_worker(config: pytest.Config) -> bool:
    """True in a process that runs tests for another (pytest-xdist), which gathers and prints."""
    return hasattr(config, "workerinput")


def gathered(config: pytest.Config) -> Gathered:
    found = config.pluginmanager.get_plugin("gathered")
    assert isinstance(found, Gathered)
    return found


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip instead of deselecting: a skip is printed with its reason. And the browser's tests come first, for they take
    as long as half of the rest: of two processes side by side one has them, and something has to fill the end.
    """
    items.sort(key=lambda item: group_of(item.nodeid) != "browser")
    if not config.getoption("--slow"):
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="takes minutes; run with --slow"))
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_items and not cuda_available():
        for item in gpu_items:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device, none here"))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """A file's tests stay together, and so do all that need a browser: two at once are slow."""
    from xdist.scheduler import LoadScopeScheduling

    class SideBySide(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return "browser" if group_of(nodeid) == "browser" else nodeid.split("::")[0]

    return SideBySide(config, log) if config.getoption("dist") == "loadfile" else None


def cuda_available() -> bool:
    import torch  # only a session that has gpu tests pays for this import

    return torch.cuda.is_available()


@pytest.fixture
def record_figure(request: pytest.FixtureRequest) -> Callable[[str, float | int | str], None]:
    """Call it with (name, value): printed at the end of the suite and kept, dated, in build/test-figures.json."""

    def record(name: str, value: float | int | str) -> None:
        request.node.user_properties.append((_FIGURE + name, value))

    return record


def failed_checks() -> str:
    """Names of the lint and type checks that `launch.sh test` found failing, "" for none."""
    return os.environ.get("NEWBIE_FAILED_CHECKS", "")


def keep_figures(figures: Figures) -> None:
    """Add them to those of earlier sessions: most run a part of the suite, and the other figures still hold."""
    file = BUILD / "test-figures.json"
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        kept = {}
    today = datetime.now(UTC).date().isoformat()
    kept = {name: found for name, found in kept.items() if isinstance(found, dict)}
    kept |= {name: {"value": value, "date": today} for name, value in figures.items()}
    file.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if is_worker(session.config):
        return
    found = gathered(session.config)
    keep_figures(found.figures)
    if exitstatus == pytest.ExitCode.OK and (found.over_limit() or failed_checks()):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> Iterator[None]:
    # The outermost wrapper ends last: below the skip reasons, right above pytest's closing line.
    yield
    found = gathered(config)
    terminalreporter.section("figures")
    for name, value in found.figures.items():
        terminalreporter.line(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")
    for line in found.lines():
        terminalreporter.line(line)
    if failed_checks():
        terminalreporter.line(f"checks      FAILED before the tests: {failed_checks()}")
