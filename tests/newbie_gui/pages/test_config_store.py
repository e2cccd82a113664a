"""Saved settings on disk, the draft, and answers found in the background."""

import threading
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from settings_parts import make_ui, settled

from newbie_gui.draft import Draft
from newbie_gui.pages.config.exchange_panel import ExchangePanel
from newbie_gui.pages.config.fields import build_fields
from newbie_gui.pages.config.files_panel import FilesPanel
from newbie_gui.pages.config.form import default_values
from newbie_gui.pages.config.lookup import Lookup
from newbie_gui.pages.config.store import MAX_BYTES, ConfigStore
from trainer_core.contracts.config import config_template, load_config
from trainer_core.contracts.errors import ConfigError, UserError
from trainer_core.contracts.workspace import Workspace


@pytest.fixture
def store(tmp_path: Path) -> ConfigStore:
    Workspace(tmp_path).create()
    return ConfigStore(Workspace(tmp_path))


def values(tmp_path: Path, **more: Any) -> dict[str, Any]:
    return {**default_values(Workspace(tmp_path)), "base_model_path": "b", "train_data_dir": "d", **more}


def test_a_saved_config_is_one_that_the_command_line_takes(store: ConfigStore, tmp_path: Path):
    file = store.save("白发 v1", values(tmp_path, lora_rank=8))
    assert load_config(file).lora_rank == 8 and store.names() == ["白发 v1"]
    assert store.load("白发 v1").values["lora_rank"] == 8
    with pytest.raises(UserError) as refused:
        store.save("白发 v1", values(tmp_path))
    assert refused.value.code == "config_exists"
    store.save("白发 v1", values(tmp_path), overwrite=True)
    assert load_config(file).lora_rank == 32


def test_what_is_not_valid_yet_is_saved_too(store: ConfigStore, tmp_path: Path):
    file = store.save("draft", values(tmp_path, learning_rate="1e-", resolution=None))
    with pytest.raises(ConfigError, match="learning_rate"):
        load_config(file)
    loaded = store.load("draft").values
    assert loaded["learning_rate"] == "1e-" and loaded["resolution"] == 1024


def test_values_that_are_lost_on_the_way_are_named(tmp_path: Path):
    ui = make_ui(tmp_path)
    panel = FilesPanel(ui)
    with gr.Blocks():
        fields = build_fields(ui, default_values(ui.workspace))
        panel.place()
        panel.wire(fields, [], lambda values: {})
    form = {control: control.value for control in fields.controls.values()}
    saved = panel._saved_new({**form, fields.controls["seed"]: None, panel._name: "a"})
    assert "Empty fields cannot be saved; loading gives their defaults: Seed." in saved[panel._said]
    (ui.workspace.configs / "b.toml").write_text('optimizer_type = "Lion"\nlearning_rate = "x"\n', encoding="utf-8")
    said = panel._loaded({panel._saved: "b"})[panel._said]
    assert "&#34;Lion&#34;. Must be one of" in said and "note warning" in said
    # The control shows it as it is, with its problem beside it.
    assert "&#34;x&#34;" not in said


def test_duplicate_and_delete(store: ConfigStore, tmp_path: Path):
    store.save("a", values(tmp_path))
    assert [store.duplicate("a"), store.duplicate("a")] == ["a-2", "a-3"]
    store.delete("a")
    assert store.names() == ["a-2", "a-3"] and len(list((tmp_path / "trash").iterdir())) == 1
    with pytest.raises(UserError) as missing:
        store.load("a")
    assert missing.value.code == "config_missing"


def test_a_file_that_is_not_utf_8_is_copied_and_shown_beside(store: ConfigStore, tmp_path: Path):
    ui = make_ui(tmp_path)
    data = 'output_name = "白发"'.encode("gbk")
    for folder in (tmp_path / "configs", ui.workspace.configs):
        (folder / "a.toml").write_bytes(data)
    assert (tmp_path / "configs" / f"{store.duplicate('a')}.toml").read_bytes() == data
    assert "train a.toml<" in ExchangePanel(ui)._command("a.toml", "lora_rank = 8\n")


@pytest.mark.parametrize("name", ["", "../x", "a/b", "con", ".hidden", "x" * 200, "a\0b", "C:x"])
def test_names_that_leave_the_folder_are_refused(store: ConfigStore, tmp_path: Path, name: str):
    for deed in (store.load, store.delete, store.duplicate, lambda bad: store.save(bad, values(tmp_path))):
        with pytest.raises(UserError) as refused:
            deed(name)
        assert refused.value.code == "name_invalid" and not refused.value.message.endswith("..")


def test_a_file_by_hand_fills_up_with_the_workspaces_defaults(store: ConfigStore, tmp_path: Path):
    (tmp_path / "configs" / "hand.toml").write_text("[Model]\nlora_rank = 4\nlora_rang = 5\n", encoding="utf-8")
    loaded = store.load("hand")
    assert loaded.values["lora_rank"] == 4 and loaded.values["output_dir"] == str(tmp_path / "output")
    assert loaded.unknown == ("lora_rang",)
    (tmp_path / "configs" / "large.toml").write_text("#" * (MAX_BYTES + 1), encoding="utf-8")
    with pytest.raises(UserError, match="KiB"):
        store.load("large")


def test_the_template_loads(store: ConfigStore, tmp_path: Path):
    (tmp_path / "configs" / "t.toml").write_text(config_template(), encoding="utf-8")
    assert store.load("t").unknown == ()


def test_a_draft_keeps_raw_values_and_only_the_newest(tmp_path: Path):
    draft = Draft(tmp_path / "draft.json")
    assert draft.read() == {}
    for number in range(50):
        draft.amend({"learning_rate": f"1e-{number}", "not_a_setting": 1})
    assert draft.read()["learning_rate"] == "1e-49"
    draft.amend({"lora_rank": 8})
    assert (draft.read()["learning_rate"], draft.read()["lora_rank"]) == ("1e-49", 8)
    settled(
        lambda: Draft(tmp_path / "draft.json").read(), lambda form: form != {"learning_rate": "1e-49", "lora_rank": 8}
    )
    (tmp_path / "draft.json").write_text("{torn", encoding="utf-8")
    assert settled(lambda: draft.read(), bool) == {}


def test_a_draft_keeps_what_a_full_disk_refused(tmp_path: Path):
    folder = tmp_path / "later"
    draft = Draft(folder / "draft.json")
    draft.amend({"lora_rank": 7})
    settled(lambda: draft._busy, bool)
    assert draft.read() == {"lora_rank": 7}
    folder.mkdir()
    draft.amend({"num_epochs": 3})
    settled(lambda: Draft(draft.file).read(), lambda form: form != {"lora_rank": 7, "num_epochs": 3})


def test_a_lookup_answers_at_once_and_skips_what_nobody_wants_any_more():
    begun, go, found = threading.Event(), threading.Event(), []

    def find(key: str) -> str:
        begun.set()
        assert go.wait(10)
        found.append(key)
        return key.upper()

    lookup: Lookup[str] = Lookup(fresh_s=60)
    assert lookup.get("a", partial(find, "a")).pending and begun.wait(10)
    assert lookup.get("b", partial(find, "b")).pending and lookup.get("c", partial(find, "c")).pending
    go.set()
    assert settled(lambda: lookup.get("c", partial(find, "c")), lambda answer: answer.pending).value == "C"
    assert found == ["a", "c"] and lookup.get("a", partial(find, "a")).value == "A"


def test_what_is_being_found_is_not_found_twice():
    begun, go, sought = threading.Semaphore(0), threading.Semaphore(0), []

    def find(key: str) -> str:
        sought.append(key)
        begun.release()
        assert go.acquire(timeout=10)
        return key.upper()

    lookup: Lookup[str] = Lookup(fresh_s=60)
    assert lookup.get("a", partial(find, "a")).pending and begun.acquire(timeout=10)
    assert lookup.get("b", partial(find, "b")).pending and lookup.get("a", partial(find, "a")).pending
    go.release()
    assert settled(lambda: lookup.get("a", partial(find, "a")), lambda answer: answer.pending).value == "A"
    assert lookup.get("b", partial(find, "b")).pending and begun.acquire(timeout=10) and sought == ["a", "b"]
    go.release()


def test_a_failed_lookup_is_an_answer():
    def fail() -> None:
        raise UserError("dataset_missing", "not there")

    lookup: Lookup[None] = Lookup(fresh_s=60)
    answer = settled(lambda: lookup.get("x", fail), lambda found: found.pending)
    assert str(answer.problem) == "not there"
