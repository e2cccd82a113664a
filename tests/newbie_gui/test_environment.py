"""Set-up of .venv: what is installed from where, and when it is done again. pip is a ten-line fake here."""

import errno
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from newbie_gui import environment
from newbie_gui.environment import CPU_INDEX, CUDA_INDEX, INDEX_VARIABLE, OLDER_INDEX, Project, SetupError, Stamp
from trainer_core.planning.torch_builds import CURRENT_BUILD, OLDER_BUILD

WANTED = Stamp(python="3.12.1", runtime="r", dev="", nvidia=False, torch_index=CPU_INDEX)


class FakePip:
    """Notes every call; fails the calls whose text contains `fails`, lists `listed` as torch's versions."""

    def __init__(self, fails: Sequence[str] = (), listed: str = "2.13.0+cu130, 2.13.0+cu126, 2.12.1+cu130") -> None:
        self.fails, self.listed = fails, listed
        self.calls: list[str] = []

    def __call__(self, arguments: Sequence[str], *, quiet: bool = False) -> str | None:
        call = " ".join(arguments)
        self.calls.append(call)
        if any(word in call for word in self.fails):
            return None
        return f"torch (2.13.0)\nAvailable versions: {self.listed}" if arguments[0] == "index" else ""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A project in a folder with a space and an umlaut, whose .venv is only pretended."""
    made = Project(tmp_path / "Mein Ördner")
    made.root.mkdir()
    made.runtime_file.write_text("torch==2.13.0\nnumpy==2.4.6\n")
    made.dev_file.write_text("pytest==9.2.0\n")
    monkeypatch.setattr(environment, "has_nvidia", lambda: False)
    monkeypatch.setattr(environment, "venv_version", lambda p: "3.12.1" if p.venv.is_dir() else "")
    monkeypatch.setattr(environment, "make_venv", remake)
    monkeypatch.setattr(environment, "check_torch", lambda project, wanted: None)
    monkeypatch.delenv(environment.INDEX_VARIABLE, raising=False)
    return made


def remake(project: Project) -> None:
    project.venv.mkdir(exist_ok=True)
    for left in project.venv.iterdir():
        left.unlink()
    (project.venv / "new").touch()


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch) -> FakePip:
    fake = FakePip()
    monkeypatch.setattr(environment, "run_pip", lambda project, arguments, lock, quiet: fake(arguments, quiet=quiet))
    return fake


@pytest.mark.parametrize(
    ("asked", "nvidia", "system", "index"),
    [
        ("", True, "Linux", CUDA_INDEX),
        ("", True, "Windows", CUDA_INDEX),
        ("", False, "Linux", CPU_INDEX),
        ("", False, "Darwin", ""),
        ("https://mirror.example/rocm", False, "Linux", "https://mirror.example/rocm"),
    ],
)
def test_torch_comes_from_the_index_that_fits_the_machine(asked: str, nvidia: bool, system: str, index: str):
    assert environment.torch_index(asked, nvidia=nvidia, system=system) == index


def test_a_cpu_machine_takes_the_build_of_its_own_find_links_first():
    pip = FakePip()
    environment.install_torch("torch==2.13.0", WANTED, "", pip)
    assert pip.calls == ["install --no-deps --no-index torch==2.13.0"]


def test_an_nvidia_machine_takes_the_torch_line_alone_from_the_cuda_index():
    pip = FakePip()
    environment.install_torch("torch==2.13.0", replace(WANTED, nvidia=True, torch_index=CUDA_INDEX), "", pip)
    probe, fetch = pip.calls
    assert probe.startswith("index versions torch") and "--timeout 10 --retries 2" in probe
    assert fetch.startswith(f"install --no-deps torch==2.13.0+cu130 --index-url {CUDA_INDEX}")


@pytest.mark.parametrize("listed", ["2.12.1+cu130", "12.13.0", "2.14.0.dev1+cu130, 2.14.01+cu130", "2.14.0+cpu"])
def test_an_index_without_this_version_is_left_alone(listed: str, capsys: pytest.CaptureFixture[str]):
    pip = FakePip(listed=listed)
    environment.install_torch("torch==2.14.0", replace(WANTED, nvidia=True, torch_index=CUDA_INDEX), "", pip)
    assert len(pip.calls) == 1
    assert f"{CUDA_INDEX}\n[setup] it could not be reached, or has none" in capsys.readouterr().out


def test_an_unreachable_index_falls_back_to_the_ordinary_one(project: Project, pip: FakePip):
    pip.fails = ["--no-index", "index versions"]
    environment.ensure(project, dev=False)
    assert pip.calls[-1] == f"install -r {project.runtime_file}"
    assert project.stamp.exists()


def torch_is(project: Project, version: str) -> None:
    """Pretend that `.venv` has this torch."""
    file = project.venv / "lib/python3.12/site-packages/torch/version.py"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"from typing import Optional\n\n__version__ = '{version}'\n")


def test_a_cuda_build_that_could_not_be_had_is_tried_again_at_the_next_start(
    project: Project, pip: FakePip, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(environment, "has_nvidia", lambda: True)
    pip.fails = ["index versions"]
    environment.ensure(project, dev=False)
    assert f"{CUDA_INDEX}\n[setup] it could not be reached" in capsys.readouterr().out
    torch_is(project, "2.13.0+cpu")
    pip.fails, pip.calls = [], []
    environment.ensure(project, dev=False)
    assert pip.calls[1].startswith(f"install --no-deps --force-reinstall torch==2.13.0+cu130 --index-url {CUDA_INDEX}")
    torch_is(project, "2.13.0+cu130")
    pip.calls = []
    environment.ensure(project, dev=False)
    assert pip.calls == []


def test_another_cuda_build_replaces_the_one_that_is_there_and_stays(
    project: Project, pip: FakePip, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(environment, "has_nvidia", lambda: True)
    environment.ensure(project, dev=False)
    torch_is(project, "2.13.0+cu130")
    monkeypatch.setenv(INDEX_VARIABLE, OLDER_INDEX)
    pip.calls = []
    environment.ensure(project, dev=False)
    assert pip.calls[1].startswith(f"install --no-deps --force-reinstall torch==2.13.0+cu126 --index-url {OLDER_INDEX}")
    torch_is(project, "2.13.0+cu126")
    monkeypatch.delenv(INDEX_VARIABLE)
    pip.calls = []
    environment.ensure(project, dev=False)
    assert pip.calls == []


def test_the_right_build_is_not_looked_for_again():
    pip = FakePip()
    nvidia = replace(WANTED, nvidia=True, torch_index=CUDA_INDEX)
    environment.install_torch("torch==2.13.0", nvidia, "2.13.0+cu130", pip)
    assert pip.calls == []


def test_what_is_said_of_a_build_names_its_cause_and_what_to_type():
    def said(version: str, *, cuda: bool = False, windows: bool = False) -> str:
        nvidia = replace(WANTED, nvidia=True, torch_index=CUDA_INDEX)
        return " ".join(environment.torch_advice(version, nvidia, cuda=cuda, windows=windows))

    assert "not the cu130 build" in said("2.13.0+cpu") and "driver" not in said("2.13.0+cpu")
    assert f"{INDEX_VARIABLE}={OLDER_INDEX} ./launch.sh" in said("2.13.0+cu130")
    assert f"set {INDEX_VARIABLE}={OLDER_INDEX} and then" in said("2.13.0+cu130", windows=True)
    assert said("2.13.0+cu130", cuda=True) == ""


def test_the_second_start_asks_pip_nothing(project: Project, pip: FakePip):
    environment.ensure(project, dev=True)
    pip.calls.clear()
    environment.ensure(project, dev=True)
    environment.ensure(project, dev=False)
    assert pip.calls == []


def test_changed_requirements_are_installed_without_a_new_venv(project: Project, pip: FakePip):
    environment.ensure(project, dev=False)
    (project.venv / "kept").touch()
    project.runtime_file.write_text("torch==2.13.0\nnumpy==2.4.7\n")
    pip.calls.clear()
    environment.ensure(project, dev=False)
    assert pip.calls[-1] == f"install -r {project.runtime_file}"
    assert (project.venv / "kept").exists()


def test_test_tools_come_on_top_without_asking_for_torch_again(project: Project, pip: FakePip):
    environment.ensure(project, dev=False)
    pip.calls.clear()
    environment.ensure(project, dev=True)
    assert pip.calls == [f"install -r {project.runtime_file} -r {project.dev_file}"]


def test_a_killed_set_up_is_rebuilt_from_nothing(project: Project, pip: FakePip):
    environment.ensure(project, dev=False)
    project.marker.touch()
    project.stamp.unlink()
    (project.venv / "half-written").touch()
    environment.ensure(project, dev=False)
    assert not (project.venv / "half-written").exists()
    assert project.stamp.exists() and not project.marker.exists()


def test_a_failed_set_up_says_what_to_do_and_is_tried_again(project: Project, pip: FakePip):
    pip.fails = ["-r "]
    with pytest.raises(SetupError, match="Start again once that is solved"):
        environment.ensure(project, dev=False)
    assert not project.stamp.exists() and not project.marker.exists()
    pip.fails = []
    environment.ensure(project, dev=False)
    assert project.stamp.exists()


def test_what_pip_downloaded_is_kept_until_the_set_up_is_complete(project: Project, pip: FakePip):
    wheel = Path(environment.child_environment(project, {})["PIP_CACHE_DIR"]) / "http-v2" / "wheel"
    wheel.parent.mkdir(parents=True)
    wheel.touch()
    pip.fails = ["-r "]
    with pytest.raises(SetupError):
        environment.ensure(project, dev=False)
    assert wheel.exists()
    pip.fails = []
    environment.ensure(project, dev=False)
    assert not wheel.exists()


def test_ctrl_c_leaves_the_marker_so_that_half_written_packages_are_thrown_away(
    project: Project, monkeypatch: pytest.MonkeyPatch
):
    def interrupted(*_: object, **__: object) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(environment, "run_pip", interrupted)
    with pytest.raises(KeyboardInterrupt):
        environment.ensure(project, dev=False)
    assert project.marker.exists() and not project.stamp.exists()
    assert not (project.build / "tmp").exists()


def test_a_new_card_and_a_new_index_change_torch_but_a_forgotten_variable_does_not(project: Project):
    def wanted(old: Stamp, *, nvidia: bool, asked: str) -> Stamp:
        return environment.wanted_stamp(project, dev=False, version="3.12.1", nvidia=nvidia, asked=asked, old=old)

    assert wanted(WANTED, nvidia=True, asked="").torch_index == CUDA_INDEX
    own = wanted(WANTED, nvidia=False, asked="https://mirror.example/cpu")
    assert own.torch_index == "https://mirror.example/cpu"
    assert wanted(own, nvidia=False, asked="").torch_index == "https://mirror.example/cpu"


def test_children_see_no_foreign_packages_and_keep_their_caches_in_the_folder(project: Project):
    inherited = {"PYTHONPATH": "/evil", "PIP_TARGET": "/evil", "HOME": "/home/x", "OMP_NUM_THREADS": "3"}
    made = environment.pip_environment(project, inherited)
    assert "PYTHONPATH" not in made and "PIP_TARGET" not in made
    assert made["OMP_NUM_THREADS"] == "3"
    for name in ("PIP_CACHE_DIR", "HF_HOME", "XDG_CACHE_HOME", "TMPDIR", "RUSTUP_HOME"):
        assert Path(made[name]).is_relative_to(project.root)


def test_a_real_venv_is_made_and_a_broken_one_is_noticed(tmp_path: Path):
    project = Project(tmp_path / "with space é")
    (project.build / "tmp").mkdir(parents=True)
    environment.make_venv(project)
    assert environment.venv_version(project).startswith("3.")
    project.python.unlink()
    project.python.symlink_to("/nowhere/python3.11")
    assert environment.venv_version(project) == ""


@pytest.mark.skipif(sys.platform == "win32", reason="a second handle in one process cannot be locked there")
def test_only_one_start_at_a_time_changes_the_venv(project: Project):
    project.build.mkdir()
    with environment.setup_lock(project), (project.build / "setup.lock").open("a") as second:
        assert not environment.try_lock(second)
    with environment.setup_lock(project) as lock:
        assert not lock.closed


@pytest.mark.skipif(sys.platform == "win32", reason="fcntl")
@pytest.mark.parametrize(("problem", "taken"), [(errno.ENOLCK, True), (errno.EAGAIN, False), (errno.EACCES, False)])
def test_a_file_system_without_locks_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, problem: int, taken: bool
):
    def fail(*_: object) -> None:
        raise OSError(problem, "")

    monkeypatch.setattr("fcntl.flock", fail)
    with (tmp_path / "lock").open("a") as handle:
        assert environment.try_lock(handle) is taken


@pytest.mark.parametrize("whole", [True, False])
def test_the_venv_package_is_named_only_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whole: bool
):
    monkeypatch.setattr("subprocess.run", lambda *_, **__: SimpleNamespace(returncode=1, stdout=""))
    monkeypatch.setattr(environment, "find_spec", lambda name: object() if whole else None)
    with pytest.raises(SetupError) as said:
        environment.make_venv(Project(tmp_path))
    assert ("apt install" in str(said.value)) is not whole


def test_the_trainers_errors_name_the_variable_that_is_read():
    assert CURRENT_BUILD == f"{INDEX_VARIABLE}={CUDA_INDEX}"
    assert OLDER_BUILD == f"{INDEX_VARIABLE}={OLDER_INDEX}"
