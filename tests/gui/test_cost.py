"""What the web process costs: its start, its memory, its rest; and that it never loads what is heavy."""

import subprocess
import sys
import time
from collections.abc import Callable

import psutil
import pytest
from gui_app import Application
from gui_visit import Visit

IMPORT = "import time, gradio; print(time.process_time())"
HEAVY_FILES = ("libtorch", "tokenizers", "bitsandbytes", "site-packages/transformers")


def cpu_s(app: Application) -> float:
    times = app.process.cpu_times()
    return times.user + times.system


def share_of_a_core(app: Application, visit: Visit, seconds: float) -> float:
    before, started = cpu_s(app), time.monotonic()
    visit.page.wait_for_timeout(1000 * seconds)
    return (cpu_s(app) - before) / (time.monotonic() - started)


@pytest.fixture(scope="module")
def app(shared_app: Application) -> Application:
    return shared_app


def test_ready_soon_after_gradio_is_imported(app: Application, start_app: Callable[..., Application], record_figure):
    # Seconds of work, not of the clock: what else the machine does meanwhile would count otherwise. 1.5 s beside an
    # import of 2.5 s on the machine the limit was set on: that ratio is asked for on every machine.
    done = subprocess.run([sys.executable, "-c", IMPORT], capture_output=True, text=True, check=True)
    importing = float(done.stdout)
    record_figure("web process ready, s", app.ready_s)
    record_figure("web process ready, s of work beyond importing gradio", app.ready_cpu_s - importing)
    # A fifth more, as a busy neighbour slows one of the two and not the other; much more of it, and it is tried again.
    limit = 1.2 * importing * (1 + 1.5 / 2.5)
    assert app.ready_cpu_s < limit or start_app().ready_cpu_s < limit


def test_at_rest_with_a_tab_open(app: Application, kept_page: Visit, record_figure):
    visit = kept_page
    visit.page.wait_for_load_state("networkidle")
    # The page has just been opened: what it still asks for comes first.
    shares: list[float] = []
    # The limit is 2 %, measured alone; here the suite shares two cores with it.
    while len(shares) < 5 and min(shares, default=1) > 0.03:
        shares.append(share_of_a_core(app, visit, 2))
    record_figure("web process at rest with a tab open, % of a core", 100 * min(shares))
    assert min(shares) <= 0.03, shares


def test_small_and_free_of_torch_with_a_tab_open(app: Application, kept_page: Visit, record_figure):
    visit = kept_page
    for tab in visit.tabs():
        visit.tab(tab)
    visit.page.wait_for_load_state("networkidle")
    memory = app.process.memory_info().rss
    record_figure("web process with a tab open, MB", memory / 1e6)
    assert memory <= 300e6
    imported = {each.what for each in app.watched() if each.event == "import" and each.pid == app.process.pid}
    assert not imported & {"torch", "transformers", "tokenizers", "diffusers", "peft", "accelerate"}
    if hasattr(psutil.Process, "memory_maps"):
        files = " ".join(each.path for each in app.process.memory_maps())
        assert not [name for name in HEAVY_FILES if name in files]
