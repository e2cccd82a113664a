"""The suite's own rules: groups by folder, wall-clock limits, figures, skips (see conftest.py)."""

import json
from pathlib import Path

import pytest

pytest_plugins = ["pytester"]

CONFTEST = Path(__file__).with_name("conftest.py")


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """An empty project with our conftest, in which the faults group may take 20 ms."""
    text = CONFTEST.read_text(encoding="utf-8")
    assert '"faults": 90' in text
    pytester.makepyfile(**{"tests/conftest": text.replace('"faults": 90', '"faults": 0.02')})
    pytester.makeini("[pytest]\ntestpaths = tests\naddopts = -rs\nmarkers =\n    slow: s\n    gpu: g\n")
    monkeypatch.delenv("NEWBIE_FAILED_CHECKS", raising=False)
    return pytester


@pytest.mark.parametrize(("seconds", "code"), [(0.0, 0), (0.1, 1)])
def test_twice_the_budget_fails_a_session_of_passing_tests(suite: pytest.Pytester, seconds: float, code: int):
    suite.makepyfile(**{"tests/faults/test_a": f"import time\ndef test_a(): time.sleep({seconds})"})
    result = suite.runpytest_inprocess("-p", "no:cacheprovider")
    assert result.ret == code
    assert ("TOO SLOW" in result.stdout.str()) == bool(code)


def test_time_counts_for_the_folder_of_the_test(suite: pytest.Pytester):
    suite.makepyfile(**{"tests/run/test_b": "import time\ndef test_b(): time.sleep(0.3)"})
    result = suite.runpytest_inprocess("-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["wall clock  unit          0.0 s*", "wall clock  runs          0.[3-9] s of  150 s"])


def test_two_processes_side_by_side_tell_their_figures_halve_the_time_and_one_has_the_browser(suite: pytest.Pytester):
    """What needs a browser begins first, too; one session, as each takes seconds."""
    test = (
        "import time\ndef test_1(record_figure): record_figure('probe {0}', {0}); time.sleep(0.4)\ndef test_2(): pass"
    )
    suite.makepyfile(**{f"tests/run/test_h{number}": test.format(number) for number in (1, 2)})
    names = ("tests/cli/test_i", "tests/cli/test_j", "tests/gui/test_k", "tests/gui/test_l")
    suite.makepyfile(**{name: "def test_1(): pass\ndef test_2(): pass" for name in names})
    options = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder", "-v")
    result = suite.runpytest_subprocess("-p", "no:cacheprovider", *options)
    result.assert_outcomes(passed=12)
    result.stdout.fnmatch_lines_random(["probe 1: 1", "probe 2: 2", "wall clock  runs          0.[45] s of  150 s"])
    kept = json.loads((suite.path / "build/test-figures.json").read_text())
    assert {name: found["value"] for name, found in kept.items()} == {"probe 1": 1, "probe 2": 2}
    ran = [line.split() for line in result.outlines if "PASSED" in line]
    workers = {file: {worker for worker, *_, test in ran if file in test} for file in names}
    assert all(len(found) == 1 for found in workers.values())
    assert workers["tests/gui/test_k"] == workers["tests/gui/test_l"]


def test_figures_are_kept_and_printed_below_the_skip_reasons(suite: pytest.Pytester):
    suite.makepyfile(
        **{
            "tests/test_c": """
            import pytest
            def test_c(record_figure): record_figure("probe before", 0.123456)
            @pytest.mark.slow
            def test_d(): pass
            """
        }
    )
    result = suite.runpytest_inprocess("-p", "no:cacheprovider")
    result.stdout.fnmatch_lines(["*takes minutes; run with --slow", "probe before: 0.1235", "*1 passed, 1 skipped*"])
    kept = json.loads((suite.path / "build/test-figures.json").read_text())
    assert kept["probe before"]["value"] == 0.123456 and len(kept["probe before"]["date"]) == 10


@pytest.mark.parametrize("damaged", [False, True])
def test_figures_of_a_part_of_the_suite_leave_the_others(suite: pytest.Pytester, damaged: bool):
    file = suite.path / "build/test-figures.json"
    file.parent.mkdir()
    old = {"soak": {"value": "1 / 1", "date": "2025-01-01"}, "probe": {"value": 0, "date": "2025-01-01"}}
    file.write_text("{" if damaged else json.dumps(old))
    suite.makepyfile(**{"tests/test_g": "def test_g(record_figure): record_figure('probe', 7)"})
    suite.runpytest_inprocess("-p", "no:cacheprovider")
    kept = json.loads(file.read_text())
    assert kept["probe"]["value"] == 7 and kept["probe"]["date"] > "2025-01-01"
    assert damaged or kept["soak"] == old["soak"]


def test_a_slow_test_runs_when_asked(suite: pytest.Pytester):
    suite.makepyfile(**{"tests/test_e": "import pytest\n@pytest.mark.slow\ndef test_e(): pass"})
    suite.runpytest_inprocess("-p", "no:cacheprovider", "--slow").assert_outcomes(passed=1)


def test_failed_lint_fails_a_session_of_passing_tests(suite: pytest.Pytester, monkeypatch: pytest.MonkeyPatch):
    suite.makepyfile(**{"tests/test_f": "def test_f(): pass"})
    monkeypatch.setenv("NEWBIE_FAILED_CHECKS", "mypy")
    result = suite.runpytest_inprocess("-p", "no:cacheprovider")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["checks *FAILED before the tests: mypy"])
