"""What the pages of both languages share, used by several threads at once."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from newbie_gui.pages.ui import Ui
from newbie_gui.services import Services, make_services
from newbie_gui.texts import LANGS
from trainer_core.contracts.config import options
from trainer_core.contracts.workspace import Workspace
from trainer_core.dataset.token_counts import TEXTS_FILE
from trainer_core.jobs.queue import Entry, Queue


class SlowQueue(Queue):
    """Keeps jobs, starts no process, and gives every thread the time to look before another adds."""

    def ensure_worker(self) -> None:
        pass

    def entries(self) -> tuple[Entry, ...]:
        found = super().entries()
        time.sleep(0.05)
        return found


@pytest.fixture
def services(tmp_path: Path) -> Services:
    workspace = Workspace(tmp_path / "ws")
    workspace.create()
    return make_services(workspace, queue=SlowQueue(workspace))


def at_once(deed: Callable[[int], Any], times: int) -> list[Any]:
    with ThreadPoolExecutor(times) as threads:
        return list(threads.map(deed, range(times)))


def test_both_pages_type_into_one_draft(services: Services):
    pages = [Ui(lang, services) for lang in LANGS]
    names = [spec.name for spec in options()][:16]
    at_once(lambda number: pages[number % 2].draft.amend({names[number]: number}), 16)
    assert len(pages[0].draft.read()) == 16


def test_threads_that_find_the_same_pictures_new_ask_for_one_job(services: Services):
    folder = services.datasets.library.create("cats").path
    Image.new("RGB", (64, 64)).save(folder / "a.png")
    dataset = services.datasets.current("cats")
    asked = at_once(lambda _: services.datasets.ensure_index(dataset, "t", opened=True), 8)
    assert sorted(asked) == [False] * 7 + [True] and len(services.queue.entries()) == 1


def test_threads_that_miss_the_same_counts_ask_for_one_job(services: Services):
    services.draft.amend({"base_model_path": "base"})
    folder = services.datasets.library.create("cats").path
    Image.new("RGB", (64, 64)).save(folder / "a.png")
    (folder / "a.txt").write_text("a cat")
    dataset = services.datasets.current("cats")
    assert all(at_once(lambda _: services.datasets.ensure_tokens(dataset, "t"), 8))
    assert len(services.queue.entries()) == 1


def test_tokens_are_counted_of_what_is_read_not_of_the_marks(services: Services):
    services.draft.amend({"base_model_path": "base", "keep_tokens_separator": "|||", "enable_wildcard": True})
    folder = services.datasets.library.create("cats").path
    Image.new("RGB", (64, 64)).save(folder / "a.png")
    (folder / "a.txt").write_text("ann ||| hat<split>Ann has a hat.")
    services.datasets.ensure_tokens(services.datasets.current("cats"), "t")
    [entry] = services.queue.entries()
    assert json.loads((services.datasets.workspace.jobs / entry.job.id / TEXTS_FILE).read_text()) == [
        "ann, hat",
        "Ann has a hat.",
    ]
