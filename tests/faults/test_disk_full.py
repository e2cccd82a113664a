"""34: a disk that is full says so with figures, keeps what was whole, and is no obstacle once there is room again."""

from collections.abc import Callable, Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import pytest
from disks import MIB, SmallDisk
from gui_app import Application
from page_caller import PageCaller
from queues import until_status
from runs import assert_same_run, events, losses, run_of
from warm import finish, launch, until

from trainer_core.contracts import feature_files
from trainer_core.contracts.checkpoints import complete_checkpoints
from trainer_core.contracts.config import TrainConfig, to_toml
from trainer_core.contracts.jobdir import JobDir
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.queue import Queue
from trainer_core.training.cache import FeatureCache

Make = Callable[..., TrainConfig]
PLACES = ("caching", "logging", "checkpoint", "export", "import", "upload")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    made = SmallDisk(tmp_path / "disk", 32)
    if made.problem:
        pytest.skip(f"no small disk can be mounted here: {made.problem}")
    yield made
    made.close()


@pytest.fixture(scope="module")
def passed() -> list[str]:
    return []


@pytest.fixture
def figure(passed: list[str], record_figure: Callable[[str, str], None]) -> Callable[[str], None]:
    """Called at the end of a test with the place that was full."""

    def record(place: str) -> None:
        passed.append(place)
        record_figure(f"faults: disk full ({', '.join(PLACES)})", f"{len(passed)} / {len(PLACES)}")

    return record


def begin(config: TrainConfig, tmp_path: Path) -> BaseProcess:
    # What is printed lies on a disk with room: the question is what the run itself can still say.
    file = tmp_path / "config.toml"
    file.write_text(to_toml(config), encoding="utf-8")
    return launch(["train", str(file)], tmp_path / "printed.log")


def assert_says_disk_full(config: TrainConfig, tmp_path: Path, words: str) -> dict[str, Any]:
    state = run_of(config).read_state()
    assert (state["status"], state["code"]) == ("failed", "disk_full"), state
    assert words in state["message"] and state["message"] in (tmp_path / "printed.log").read_text(encoding="utf-8")
    [failed] = events(config, "failed")
    assert "Free some space" in failed["hints"][0]
    assert not [path for path in run_of(config).path.rglob(".*") if "tmp" in path.name]
    return state


def test_34_a_full_disk_while_caching(
    config: Make, left_alone: TrainConfig, disk: SmallDisk, tmp_path: Path, figure: Callable
) -> None:
    made = config(cache_dir=str(disk.root / "cache"))
    disk.take(left=40_000)
    assert finish(begin(made, tmp_path)) == 1
    state = assert_says_disk_full(made, tmp_path, "at least 0.")
    assert "MiB more are needed" in state["message"] and "are free" in state["message"]
    cache = FeatureCache(disk.root / "cache")
    assert list(feature_files.entries(cache.root)) and cache.verify() == []
    disk.give_back()
    assert finish(begin(made, tmp_path)) == 0
    assert_same_run(made, left_alone)
    figure("caching")


def test_34_a_disk_that_fills_up_between_two_steps(
    config: Make, disk: SmallDisk, tmp_path: Path, figure: Callable
) -> None:
    # More events than what is left of the log's last page can take.
    made = config(output_dir=str(disk.root), save_every_n_steps=0, save_epochs_interval=100, num_epochs=6)
    child = begin(made, tmp_path)
    assert until(lambda: len(events(made, "step")) >= 2, child)
    disk.take(left=0)
    assert finish(child) == 1
    assert_says_disk_full(made, tmp_path, "The disk is full")
    told = len(losses(made))
    disk.give_back()
    assert finish(begin(made, tmp_path)) == 0
    assert 2 <= told < len(losses(made)) == 24
    figure("logging")


@pytest.mark.parametrize(("place", "left", "words"), [("export", 200_000, "an export"),
                                                     ("checkpoint", 1_000_000, "a checkpoint")])  # fmt: skip
def test_34_a_full_disk_while_saving(
    config: Make, disk: SmallDisk, tmp_path: Path, place: str, left: int, words: str, figure: Callable
) -> None:
    made = config(output_dir=str(disk.root))
    child = begin(made, tmp_path)
    assert until(lambda: len(complete_checkpoints(run_of(made).checkpoints)) >= 1, child)
    disk.take(left=left)
    assert finish(child) == 1
    assert_says_disk_full(made, tmp_path, f"Not enough space for {words} in")
    whole = complete_checkpoints(run_of(made).checkpoints)
    assert whole and whole == sorted(run_of(made).checkpoints.iterdir())
    assert finish(begin(made, tmp_path)) == 1
    assert complete_checkpoints(run_of(made).checkpoints) == whole
    disk.give_back()
    assert finish(begin(made, tmp_path)) == 0
    assert len(losses(made)) == 8
    figure(place)


def test_25_34_pictures_that_do_not_fit_are_refused_and_fit_later(data: Path, tmp_path: Path, figure: Callable) -> None:
    disk = SmallDisk(tmp_path / "disk", 320)
    if disk.problem:
        pytest.skip(f"no small disk can be mounted here: {disk.problem}")
    workspace = Workspace(disk.root / "workspace")
    workspace.create()
    queue, folder = Queue(workspace), workspace.root / "pictures"
    folder.mkdir()
    spec = {"workspace": str(workspace.root), "folder": str(folder), "concept": "", "overwrite": False}
    spec["files"] = [str(path) for path in sorted(data.iterdir())]
    disk.take(left=60 * MIB)
    entry = until_status(queue, queue.add("import", "in", spec, resources=["files"]), "failed")
    assert entry.code == "disk_full" and "MiB needed" in entry.message
    assert [path.name for path in folder.rglob("*.png")] == []
    disk.give_back()
    entry = until_status(queue, queue.add("import", "in", spec, resources=["files"]), "finished")
    assert entry.result["added"] == 4 and JobDir(workspace.jobs / entry.job.id).status() == "finished"
    figure("import")
    disk.close()


def uploaded(mib: int, *, told: bool) -> Any:
    """A form with one file of so many MiB; without its length in front where the browser has not ``told`` it."""
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.zip"\r\n\r\n'
    parts = [head, *[bytes(MIB)] * mib, b"\r\n--x--\r\n"]
    return b"".join(parts) if told else iter(parts)


def test_25_34_an_upload_that_does_not_fit_is_refused_or_thrown_away(tmp_path: Path, figure: Callable) -> None:
    disk = SmallDisk(tmp_path / "disk", 160)
    if disk.problem:
        pytest.skip(f"no small disk can be mounted here: {disk.problem}")
    app = Application(disk.root)
    app.start()
    try:
        page, uploads = PageCaller(app), app.workspace.uploads

        def upload(mib: int, *, told: bool) -> tuple[int, str]:
            kind = "multipart/form-data; boundary=x"
            status, answer = page.ask("POST", "gradio_api/upload", uploaded(mib, told=told), kind=kind)
            return status, answer.decode()

        disk.take(left=70 * MIB)
        status, words = upload(20, told=True)
        assert status == 507 and "0.09 GiB are needed, 0.06 GiB are free" in words
        status, words = upload(90, told=False)
        assert status == 507 and "became full on the way" in words
        assert [path for path in uploads.rglob("*") if path.is_file()] == []
        disk.give_back()
        status, _ = upload(20, told=True)
        assert status == 200 and [path.stat().st_size for path in uploads.rglob("a.zip")] == [20 * MIB]
        figure("upload")
    finally:
        app.close()
        disk.close()
