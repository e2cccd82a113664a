"""Start, continue, copy, delete: nothing is lost and nothing is overwritten."""

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from run_folders import HeldQueue, config, make_checkpoint, make_run

from newbie_gui.runs import actions
from newbie_gui.runs.store import RunStore
from trainer_core.contracts.config import load_config, parse_config
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.jobdir import Job
from trainer_core.contracts.toml_text import read_toml
from trainer_core.contracts.trash import to_trash
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.queue import Entry
from trainer_core.planning.hardware import Gpu, Machine
from trainer_core.training.resume import check_rerun

CARDS = Machine(gpus=tuple(Gpu(index=i, name="RTX", total_mib=24000, free_mib=23000) for i in (0, 2)))


def test_a_started_training_takes_its_settings_along(workspace: Workspace, queue: HeldQueue, tmp_path: Path) -> None:
    own = config(workspace, "neu 新", device="cpu")
    assert actions.start(queue, own, CARDS) == "the-id"
    [(kind, title, spec, resources, files)] = queue.added
    assert (kind, title, resources) == ("train", "neu 新", ("cpu",))
    assert spec == {"run": str(workspace.output / "neu 新")}
    (tmp_path / "config.toml").write_text(files["config.toml"], encoding="utf-8")
    assert parse_config(read_toml(tmp_path / "config.toml")) == own


@pytest.mark.parametrize(("gpus", "occupied"), [("all", ("gpu:0", "gpu:2")), ("2", ("gpu:2",))])
def test_a_training_occupies_the_cards_it_names(workspace: Workspace, gpus: str, occupied: tuple[str, ...]) -> None:
    assert actions.resources(config(workspace, "a", gpus=gpus), CARDS) == occupied
    assert actions.resources(config(workspace, "a", gpus=gpus), Machine()) == ("cpu",)


def test_changes_say_what_they_do_to_a_begun_run(workspace: Workspace, store: RunStore) -> None:
    run = make_run(workspace, "one")
    [row] = store.rows()
    new = replace(load_config(run.config_file), learning_rate=3e-4, lora_rank=8, sample_steps=9, output_name="x")
    assert {c.name: c.effect for c in actions.planned_changes(row, new)} == dict.fromkeys(
        ("learning_rate", "lora_rank", "sample_steps"), "fresh"
    )
    make_checkpoint(run, 3)
    assert {c.name: c.effect for c in actions.planned_changes(row, new)} == {
        "learning_rate": "warn", "lora_rank": "refuse", "sample_steps": "continue",
    }  # fmt: skip
    with pytest.raises(UserError, match="lora_rank: 32 -> 8") as caught:
        actions.continued(row, new)
    assert caught.value.code == "rerun_refused"
    assert actions.continued(row, replace(new, lora_rank=32)).output_name == "one"


def test_another_length_is_not_called_harmless_where_the_rate_follows_it(workspace: Workspace, store: RunStore) -> None:
    run = make_run(workspace, "one")
    make_checkpoint(run, 3)
    [row] = store.rows()
    longer = replace(load_config(run.config_file), num_epochs=300, max_train_steps=9)
    assert {c.name: c.effect for c in actions.planned_changes(row, longer)} == {
        "num_epochs": "length", "max_train_steps": "length",
    }  # fmt: skip
    steady = actions.planned_changes(row, replace(longer, lr_scheduler="constant_with_warmup"))
    assert {c.effect for c in steady if c.name != "lr_scheduler"} == {"continue"}


def test_what_a_run_was_trained_with_and_lies_in_the_trash_is_named(workspace: Workspace, tmp_path: Path) -> None:
    base = tmp_path / "models" / "tiny [2]"
    base.mkdir(parents=True)
    run = config(workspace, "one", base_model_path=str(base), train_data_dir="relative")
    actions.require_folders(run, workspace.trash)
    thrown = to_trash(workspace.trash, base, f"model-{base.name}")
    with pytest.raises(UserError, match="is not there any more") as caught:
        actions.require_folders(run, workspace.trash)
    assert caught.value.hints == (f"It lies in the trash: move {thrown} back to {base}.",)
    thrown.rename(tmp_path / "away")
    with pytest.raises(UserError) as caught:
        actions.require_folders(run, workspace.trash)
    assert caught.value.hints == ("Put it back there.",)


def test_another_spelling_of_a_setting_continues_the_run(workspace: Workspace, store: RunStore) -> None:
    run = make_run(workspace, "one")
    make_checkpoint(run, 3)
    [row] = store.rows()
    own = load_config(run.config_file)
    new = replace(
        own, base_model_path=str(Path(own.base_model_path).absolute()),
        lora_target_modules=own.lora_target_modules[::-1],
    )  # fmt: skip
    assert actions.planned_changes(row, new) == ()
    assert actions.continued(row, new) == new


def test_an_unfinished_checkpoint_is_no_beginning(workspace: Workspace, store: RunStore) -> None:
    run = make_run(workspace, "one")
    (make_checkpoint(run, 3) / "manifest.json").unlink()
    [row] = store.rows()
    new = replace(load_config(run.config_file), lora_rank=8)
    assert [change.effect for change in actions.planned_changes(row, new)] == ["fresh"]
    assert check_rerun(run, new) == ()
    assert actions.continued(row, new) == new


def test_a_moved_workspace_goes_on_where_it_is_now(tmp_path: Path) -> None:
    old, new = Workspace(tmp_path / "old"), Workspace(tmp_path / "new")
    for folder in (old.cache, old.datasets / "cats"):
        folder.mkdir(parents=True)
    places = {"cache_dir": str(old.cache), "train_data_dir": str(old.datasets / "cats")}
    run = make_run(old, "one", "stopped", base_model_path=str(tmp_path / "gone"), **places)
    make_checkpoint(run, 3)
    old.root.rename(new.root)
    [row] = RunStore(new, HeldQueue(new)).rows()
    config = actions.config_of(row)
    assert config.output_dir == str(new.output) and config.base_model_path == str(tmp_path / "gone")
    assert (config.cache_dir, config.train_data_dir) == (str(new.cache), str(new.datasets / "cats"))
    assert {change.rerun for change in check_rerun(row.run, config)} <= {"continue"}


def test_a_copied_run_goes_on_as_itself(workspace: Workspace, store: RunStore) -> None:
    # A relative output_dir is that of the folder where the run was begun from a terminal.
    run = make_run(workspace, "one", "stopped", output_dir="output")
    shutil.copytree(run.path, workspace.output / "two")
    places = {row.name: (c.output_dir, c.output_name) for row in store.rows() for c in [actions.config_of(row)]}
    assert places == {name: (str(workspace.output), name) for name in ("one", "two")}


def test_a_copy_gets_a_free_name(workspace: Workspace, store: RunStore) -> None:
    for name in ("one", "one-2", "two-9"):
        make_run(workspace, name)
    names = {row.name: actions.duplicated(row, store).output_name for row in store.rows()}
    assert names == {"one": "one-3", "one-2": "one-3", "two-9": "two-10"}


def test_a_deleted_run_lies_whole_in_the_trash(workspace: Workspace, store: RunStore) -> None:
    run = make_run(workspace, "one")
    (run.samples / "a.png").write_bytes(b"picture")
    [row] = store.rows()
    there = actions.delete(row, store)
    assert there.parent == workspace.trash and (there / "samples" / "a.png").read_bytes() == b"picture"
    assert store.rows() == () and not run.path.exists()
    with pytest.raises(UserError) as caught:
        actions.delete(row, store)
    assert caught.value.code == "run_missing"


def test_a_deleted_run_does_not_come_back_as_its_job(workspace: Workspace, store: RunStore, queue: HeldQueue) -> None:
    runs = {name: make_run(workspace, name, "failed") for name in ("one", "two")}
    queue.held = [
        Entry(job=Job(id=f"{name}-{status}", kind="train", title=name), status=status, run=run)
        for name, run in runs.items()
        for status in ("failed", "stopped")
    ]
    actions.delete(next(row for row in store.rows() if row.name == "one"), store)
    assert [row.name for row in store.rows()] == ["two"]
    assert [entry.job.id for entry in queue.entries()] == ["two-failed", "two-stopped"]


def test_a_run_at_work_or_waiting_is_not_deleted(workspace: Workspace, store: RunStore, queue: HeldQueue) -> None:
    run = make_run(workspace, "one", "stopped")
    queue.held = [Entry(job=Job(id="j", kind="train", title="one"), status="waiting", run=run)]
    with pytest.raises(UserError) as caught:
        actions.delete(store.rows()[0], store)
    assert caught.value.code == "run_in_use" and run.state_file.exists()


def test_where_gpus_cannot_be_joined_a_training_occupies_the_freest(workspace: Workspace) -> None:
    cards = (replace(CARDS.gpus[0], free_mib=9000), CARDS.gpus[1])
    machine = replace(CARDS, gpus=cards, joins_gpus=False)
    assert actions.resources(config(workspace, "a", gpus="all"), machine) == ("gpu:2",)
