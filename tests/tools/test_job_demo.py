"""The job demo: the very pictures of the demo as a data set, and settings the browser side can use without torch."""

from pathlib import Path

import pytest
from job_folder import job_in, told
from PIL import Image

from trainer_core.contracts.errors import UserError
from trainer_core.jobs.context import JobContext, JobStopped
from trainer_core.planning.demo import PROMPTS, demo_values
from trainer_core.tools.demo import demo_config
from trainer_core.tools.job_demo import run
from trainer_core.tools.tiny.character import IMAGES, SEED, character, character_caption, draw_data, unseen_portraits


@pytest.fixture
def job(tmp_path: Path) -> JobContext:
    return job_in(tmp_path / "jobs" / "one")


def test_the_pictures_of_the_demo_become_a_data_set(tmp_path: Path, job: JobContext) -> None:
    draw_data(tmp_path / "wanted")
    made = run({"folder": str(tmp_path / "sets" / "演示")}, job)
    found, wanted = (sorted((tmp_path / place / "1_nekorin").iterdir()) for place in ("sets/演示", "wanted"))
    assert made["images"] == IMAGES == len(found) / 2 and told(job, "phase")[0]["total"] == IMAGES
    assert [file.read_bytes() for file in found] == [file.read_bytes() for file in wanted]
    with Image.open(found[0]) as image:
        assert image.size == (128, 128)


def test_what_lies_there_is_left_alone(tmp_path: Path, job: JobContext) -> None:
    (tmp_path / "mine").write_text("kept")
    with pytest.raises(UserError) as caught:
        run({"folder": str(tmp_path)}, job)
    assert caught.value.code == "output_exists" and (tmp_path / "mine").read_text() == "kept"


def test_a_stop_leaves_nothing(tmp_path: Path, job: JobContext) -> None:
    job.folder.request("stop")
    with pytest.raises(JobStopped):
        run({"folder": str(tmp_path / "set")}, job)
    assert not list(tmp_path.glob("*set*"))


def test_the_settings_are_the_demos_and_its_prompts_the_characters() -> None:
    config = demo_config(Path("base"), Path("place"))
    assert {name: getattr(config, name) for name in demo_values()} == demo_values()
    shown = [character_caption(character(portrait)) for portrait in unseen_portraits(2, SEED + 1)]
    assert list(PROMPTS) == shown
