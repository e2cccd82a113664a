"""Files of the Merge tab: uploads are checked and never overwrite, lists come from disk, deleting goes to the trash."""

from pathlib import Path

import gradio as gr
import pytest
from merge_stock import TINY, run_with_exports, workspace_in, write_lora

from newbie_gui.fresh import Fresh
from newbie_gui.pages.merge.assets_panel import AssetsPanel
from newbie_gui.pages.merge.incoming import receive
from newbie_gui.pages.merge.inventory import base_of, read_inventory, remove
from newbie_gui.pages.merge.jobs_panel import texts_of_live_jobs
from newbie_gui.pages.ui import Ui
from newbie_gui.services import make_services
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.queue import Queue
from trainer_core.planning.demo import TINY_BASE


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return workspace_in(tmp_path)


def upload(workspace: Workspace, folder: str, name: str, data: bytes | None = None) -> Path:
    (workspace.uploads / folder).mkdir(parents=True, exist_ok=True)
    file = workspace.uploads / folder / name
    if data is None:
        return write_lora(file)
    file.write_bytes(data)
    return file


def test_uploads_with_one_name_are_both_kept(workspace: Workspace) -> None:
    files = [upload(workspace, folder, "蓝发.safetensors") for folder in ("a", "b")]
    received = receive(files, workspace.loras)
    assert [one.path and one.path.name for one in received] == ["蓝发.safetensors", "蓝发-2.safetensors"]
    assert all(one.path and one.path.stat().st_size for one in received) and not any(map(Path.exists, files))
    assert received[0].facts is not None and received[0].facts.rank == 2


@pytest.mark.parametrize("name", ["a.safetensors", "a.pt", "a.bin"])
def test_what_is_no_lora_is_refused_and_deleted(workspace: Workspace, name: str) -> None:
    file = upload(workspace, "a", name, b"\x80\x04junk")
    (one,) = receive([file], workspace.loras)
    assert one.path is None and isinstance(one.error, UserError) and name in one.error.message
    assert str(workspace.uploads) not in one.error.message
    assert not file.exists() and list(workspace.loras.iterdir()) == []


def test_a_name_that_other_systems_refuse_is_mended(workspace: Workspace) -> None:
    (one,) = receive([upload(workspace, "a", "con.safetensors")], workspace.loras)
    assert one.path is not None and one.path.name == "_con.safetensors"


def test_the_newest_exports_and_everything_kept_can_be_chosen(workspace: Workspace) -> None:
    exports = run_with_exports(workspace, "nekorin", [1, 2, 3, 4, 10])
    write_lora(workspace.loras / "own.safetensors")
    (workspace.loras / "no lora").mkdir()
    (workspace.models / "merged").mkdir()
    (workspace.models / ".half.part").touch()
    inventory = read_inventory(workspace)
    assert {lora.path.name for lora in inventory.loras} == {
        "own.safetensors", *(f"nekorin-step-{step:08d}.safetensors" for step in (2, 3, 4, 10))
    }  # fmt: skip
    assert sorted(asset.key for asset in inventory.assets) == ["lora/own.safetensors", "model/merged"]
    assert inventory.bases == (str(workspace.models / "merged"), str(TINY_BASE))
    assert base_of(exports / "nekorin-step-00000010.safetensors") == str(TINY)
    assert base_of(workspace.loras / "own.safetensors") == ""


def test_the_inventory_reads_again_when_asked(workspace: Workspace) -> None:
    inventory = Fresh(lambda: read_inventory(workspace), 2.0)
    assert inventory.now().assets == ()
    write_lora(workspace.loras / "own.safetensors")
    assert inventory.now().assets == () and len(inventory.now(anew=True).assets) == 1


def test_deleting_goes_to_the_trash_unless_a_job_needs_it(workspace: Workspace) -> None:
    file = write_lora(workspace.loras / "own.safetensors")
    (asset,) = read_inventory(workspace).assets
    with pytest.raises(UserError, match="used by a job") as caught:
        remove(workspace, asset, [str(file)])
    assert caught.value.code == "asset_in_use" and file.exists()
    remove(workspace, asset, [f"{file}-2", "a prompt"])
    assert not file.exists() and len(list(workspace.trash.iterdir())) == 1


class WorkerlessQueue(Queue):
    def ensure_worker(self) -> None:
        pass


def test_a_job_needs_the_paths_of_its_task_and_of_its_settings(workspace: Workspace) -> None:
    queue = WorkerlessQueue(workspace)
    for files in ({"config.toml": 'vae_path = "/v"'}, {}):
        queue.add("merge", "t", {"loras": [{"path": "/蓝"}]}, resources=("light",), files=files)
    assert sorted(texts_of_live_jobs(Ui("en", make_services(workspace, queue=queue)))) == ["/v", "/蓝", "/蓝"]


def test_what_a_job_needs_is_not_asked_about(workspace: Workspace) -> None:
    file, queue = write_lora(workspace.loras / "own.safetensors"), WorkerlessQueue(workspace)
    ui = Ui("en", make_services(workspace, queue=queue))
    with gr.Blocks() as page:
        panel = AssetsPanel(ui, Fresh(lambda: read_inventory(workspace), 2.0))
        panel.place()
        panel.wire()
    asked = next(fn.fn for fn in page.fns.values() if (panel.view._id, "select") in fn.targets)
    pressed = gr.EventData(None, {"on": "lora/own.safetensors"})
    assert asked(pressed)[1]["visible"]
    queue.add("merge", "t", {"loras": [{"path": str(file)}]}, resources=("light",))
    with pytest.warns(UserWarning, match="used by a job"):
        assert asked(pressed) == gr.skip()
