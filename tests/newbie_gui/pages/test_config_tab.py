"""The Settings tab as a whole: one control a setting, filled and read by name; strategies."""

import json
import re
from pathlib import Path
from typing import Any

import gradio as gr
import pytest
from settings_parts import NO_GPU, card, make_dataset, make_ui, settled

from newbie_gui.pages.config import strategy, tab
from newbie_gui.pages.config.form import control_of, default_values, to_form, values_from
from newbie_gui.pages.ui import Ui
from newbie_gui.strategies import presets
from newbie_gui.texts import config as words
from trainer_core.contracts.config import options, parse_config
from trainer_core.contracts.errors import ConfigError
from trainer_core.planning.demo import TINY_BASE

SOURCES = Path(tab.__file__).parent


def built(ui: Ui) -> tuple[tab.ConfigTab, gr.Blocks]:
    with gr.Blocks(analytics_enabled=False) as page:
        made = tab.ConfigTab(ui)
        made.place()
        made.wire()
    return made, page


def data_of(made: tab.ConfigTab, form: dict[str, Any], **hidden: str) -> dict[Any, Any]:
    stamps = {made._nudge: "1", made._marked: "", made._seen: "", made._told: "", made._strategy: "cpu-demo"}
    return {**{made.fields.controls[name]: value for name, value in form.items()}, **stamps}


def test_every_setting_has_one_control_with_label_and_help(tmp_path: Path):
    made, page = built(make_ui(tmp_path))
    assert list(made.fields.controls) and set(made.fields.controls) == {spec.name for spec in options()}
    for spec in options():
        control: Any = made.fields.controls[spec.name]
        assert control.label and control.info and control.elem_id == f"config-{spec.name}"
        assert isinstance(control, gr.Checkbox) == (control_of(spec) == "checkbox")


def test_a_new_page_is_ready_but_for_the_data_set(tmp_path: Path):
    ui = make_ui(tmp_path)
    made, _ = built(ui)
    updates = made._filled()
    form = {control: updates[control]["value"] for control in made.fields.controls.values()}
    assert {str(TINY_BASE), "cpu"} <= {form[made.fields.controls[name]] for name in ("base_model_path", "device")}
    with pytest.raises(ConfigError) as refused:
        made.config(form)
    assert [problem.field for problem in refused.value.problems] == ["train_data_dir"]
    assert "info" in updates[made.fields.controls["train_data_dir"]]
    data = make_dataset(ui.workspace.datasets / "hero" / "2_hero").parent
    again = made._filled()[made.fields.controls["train_data_dir"]]
    assert again["value"] == str(data) and again["choices"] == [("hero", str(data))]


def test_starting_over_gives_what_a_new_page_has(tmp_path: Path):
    ui = make_ui(tmp_path)
    make_dataset(ui.workspace.datasets / "hero" / "2_hero")
    made, _ = built(ui)
    new = made._filled()
    again = made._files._was_reset({})
    values = [[updates[control]["value"] for control in made.fields.controls.values()] for updates in (new, again)]
    assert values[0] == values[1]


def test_a_folder_pointed_at_is_a_data_set_to_choose(tmp_path: Path):
    ui = make_ui(tmp_path)
    data = make_dataset(tmp_path / "elsewhere")
    ui.datasets.library.point_at(str(data))
    made, _ = built(ui)
    assert made._filled()[made.fields.controls["train_data_dir"]]["choices"] == [("elsewhere", str(data))]


def test_what_was_typed_comes_back_raw_but_not_what_nobody_typed(tmp_path: Path):
    made, _ = built(make_ui(tmp_path))
    form = {**to_form(default_values(made._ui.workspace)), "learning_rate": "1e-"}
    made._changed({**data_of(made, form), made._nudge: ""})
    assert made._draft.read() == {}
    made._changed(data_of(made, form))
    updates = settled(made._filled, lambda found: found[made.fields.controls["learning_rate"]]["value"] != "1e-")
    assert "⚠" in updates[made.fields.controls["learning_rate"]]["info"]


def test_what_was_kept_and_suits_no_control_is_named_with_the_reason(tmp_path: Path):
    ui = make_ui(tmp_path)
    ui.draft.file.write_text(
        json.dumps({"num_epochs": "a<b", "mixed_precision": "fp99", "enable_bucket": "yes", "gone": 3, "seed": 7})
    )
    made, _ = built(ui)
    updates = made._filled()
    said = updates[made._left_out]
    assert "Epochs: &#34;a&lt;b&#34;. This is not a number" in said and "&#34;fp99&#34;. Must be one of" in said
    assert "&#34;yes&#34;. Must be true or false" in said and "left out: gone" in said
    names = ("num_epochs", "mixed_precision", "enable_bucket", "seed")
    assert [updates[made.fields.controls[name]]["value"] for name in names] == [None, None, True, 7]
    again = made._filled()
    assert again[made._left_out] == "" and set(json.loads(again[made._marked])) >= {"num_epochs", "mixed_precision"}


def test_two_pages_keep_each_others_values(tmp_path: Path):
    made, _ = built(make_ui(tmp_path))
    loaded = made._filled()
    form = {name: loaded[control]["value"] for name, control in made.fields.controls.items()}
    told = {made._told: loaded[made._told]}
    after = made._changed({**data_of(made, {**form, "lora_rank": 8}), **told})
    made._changed({**data_of(made, {**form, "seed": 7}), **told})
    assert (made._draft.read()["lora_rank"], made._draft.read()["seed"]) == (8, 7)
    # What was told once counts no more.
    made._draft.amend({"lora_rank": 16})
    made._changed({**data_of(made, {**form, "lora_rank": 8, "num_epochs": 3}), made._told: after[made._told]})
    assert (made._draft.read()["lora_rank"], made._draft.read()["num_epochs"]) == (16, 3)


def test_problems_are_marked_beside_their_controls_and_unmarked(tmp_path: Path):
    made, _ = built(make_ui(tmp_path))
    form = to_form(default_values(made._ui.workspace))
    marked = made._looked(data_of(made, {**form, "min_bucket_reso": 31}))[made._marked]
    updates = made._mark(marked, "")
    control = made.fields.controls["min_bucket_reso"]
    assert updates[control]["info"].startswith("⚠ Must be") and "config-bad" in updates[control]["elem_classes"]
    assert updates[made.fields.folds["Image sizes"]]["open"] is True
    cleared = made._mark("{}", updates[made._shown])
    assert cleared[control]["info"] == made.fields.helps["min_bucket_reso"]
    assert made._mark("[1]", "") == made._mark("{torn", "") == made._mark('{"nothing": "x"}', "")


def test_an_unchanged_panel_is_not_sent_again(tmp_path: Path):
    made, _ = built(make_ui(tmp_path))
    data = data_of(made, to_form(default_values(made._ui.workspace)))
    settled(lambda: made._looked(data), lambda found: found[made._timer].value == tab._SOON_S)
    first = made._looked(data)
    second = made._looked({**data, made._seen: first[made._seen], made._marked: first[made._marked]})
    assert made.live in first and made.live not in second


def test_a_page_stays_small(tmp_path: Path, record_figure: Any):
    _, page = built(make_ui(tmp_path))
    size = len(json.dumps(page.get_config_file(), default=str))
    record_figure("settings tab, kB of page config", size / 1000)
    assert size < 250_000


def test_the_answer_is_about_the_settings_that_were_asked_about(tmp_path: Path):
    made, _ = built(make_ui(tmp_path))
    panel, form = made._files, data_of(made, to_form(default_values(made._ui.workspace)))
    for name in ("one", "two"):
        panel._saved_new({**form, panel._name: name})
    asked = panel._asked_delete({panel._saved: "one"})[panel._asked]
    panel._deleted({panel._saved: "two", panel._asked: asked})
    assert panel._store.names() == ["two"]
    asked = panel._saved_new({**form, panel._name: " two "})[panel._asked]
    done = panel._saved_over({**form, panel._name: "three", panel._asked: asked})
    assert panel._store.names() == ["two"] and done[panel._asked] == ""


def test_the_strategy_for_a_machine_and_why():
    assert strategy.plan_for(NO_GPU).preset.name == "cpu-demo"
    plan = strategy.plan_for(card(23))
    assert plan.preset.name == "24gb" and plan.proposed and plan.fits and plan.sentences
    larger = strategy.plan_for(card(23), "80gb")
    assert not larger.proposed and not larger.fits and "asks for" in larger.sentences[0]
    assert strategy.plan_for(card(23), "16gb").fits


def test_choosing_a_strategy_names_what_it_changes_and_keeps_the_rest(tmp_path: Path):
    ui = make_ui(tmp_path, card(23))
    form = {**to_form(default_values(ui.workspace)), "lora_rank": 8, "seed": 7}
    plan = strategy.plan_for(ui.machine.now(), "80gb")
    html = strategy.render_plan(plan, form, ui)
    assert "It will probably not fit" in html and "LoRA rank: 8 → 64" in html
    assert "seed" not in plan.values and "base_model_path" not in plan.values


def test_a_strategy_leaves_nothing_of_another_one(tmp_path: Path):
    ui = make_ui(tmp_path, card(23))
    fresh = strategy.new_values(ui)
    for first in presets():
        form = {**to_form(fresh), "seed": "7", "sample_steps": "30"}
        for name in (first.name, "24gb"):
            form |= to_form(strategy.plan_for(ui.machine.now(), name, form).values)
        # The demo's own number of steps took the place of mine, and goes with it.
        mine = {"seed": "7", "sample_steps": "24" if first.name == "cpu-demo" else "30"}
        assert values_from(form) == values_from({**to_form(fresh), **mine}), first.name


def test_settings_are_checked_as_of_now(tmp_path: Path):
    ui = make_ui(tmp_path)
    data = make_dataset(ui.workspace.datasets / "hero")
    places = {"base_model_path": str(TINY_BASE), "train_data_dir": str(data)}
    config = parse_config({**default_values(ui.workspace), **places, "device": "cpu"})
    made, _ = built(ui)
    assert made.problem_of(config) == ""
    data.rename(data.with_name("renamed"))
    assert made.problem_of(config).startswith("One problem to solve before Start: Training images. ")


def test_every_word_of_the_tab_is_used():
    code = "\n".join(path.read_text(encoding="utf-8") for path in SOURCES.glob("*.py"))
    built_up = re.compile(
        r"config\.(part|import\.verdict)\.|config\.memory\.(phase|size|parts)$|config\.import\.(key|value|verdict)$"
    )
    assert [key for key in words.TEXTS if f'"{key}"' not in code and not built_up.match(key)] == []
