import dataclasses
import tomllib
from pathlib import Path
from typing import Any

import pytest

from trainer_core.contracts import config as contracts_config
from trainer_core.contracts.config import TrainConfig, changes, load_config, options, parse_config, to_toml
from trainer_core.contracts.errors import ConfigError

NEEDED = {"base_model_path": "base", "train_data_dir": "images"}


def problems_of(**values: object) -> dict[str, str]:
    with pytest.raises(ConfigError) as caught:
        parse_config({**NEEDED, **values})
    return {problem.field: problem.message for problem in caught.value.problems}


def loading_error(path: Path, content: bytes) -> str:
    path.write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    assert caught.value.code == "config_invalid" and str(path) in str(caught.value)
    return str(caught.value)


def test_every_problem_is_reported_at_once():
    found = problems_of(resolution=100, lora_rank=True, sede=1, keep_last_n_checkpoints=1, train_data_dir="")
    assert set(found) == {"resolution", "lora_rank", "sede", "keep_last_n_checkpoints", "train_data_dir"}


def test_missing_options_are_named():
    with pytest.raises(ConfigError) as caught:
        parse_config({})
    assert [problem.field for problem in caught.value.problems] == ["base_model_path", "train_data_dir"]


@pytest.mark.parametrize(
    ("written", "words"),
    [("learning_rte", '"learning_rate"'), ("RESOLUTION", '"resolution"'), ("zzz", "config_template.toml")],
)
def test_an_unknown_name_gets_the_nearest_known_one(written: str, words: str):
    assert words in problems_of(**{written: 1})[written]


def test_an_unknown_section_is_explained():
    assert "at the top of the file" in problems_of(Network={"resolution": 64})["[Network]"]


def test_the_upstream_sections_are_opened():
    cfg = parse_config({"Model": {**NEEDED, "lora_alpha": 4, "trust_remote_code": True}, "Optimization": {"seed": 3}})
    assert (cfg.lora_alpha, cfg.seed) == (4.0, 3)


def test_a_name_in_two_sections_and_a_section_that_is_none_are_refused():
    found = problems_of(Model={"seed": 1}, Optimization={"seed": 2})
    assert "set twice" in found["seed"] and "section" in problems_of(Model=3)["Model"]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("trust_remote_code = true", "no code from a model"),
        ("dataloader_prefetch_factor = 8", "results are the same"),
        ("cache_in_memory = false", "results are the same"),
    ],
)
def test_keys_that_ask_for_nothing_here_are_accepted_and_said_to_be_ignored(tmp_path: Path, line: str, said: str):
    (tmp_path / "a.toml").write_text(f'base_model_path = "b"\ntrain_data_dir = "d"\n{line}\n')
    (note,) = contracts_config.load_with_notes(tmp_path / "a.toml").notes
    assert note.startswith(f"{line.split()[0]} is ignored: ") and said in note


def test_the_base_may_be_named_part_by_part():
    parts = {"transformer_path": "t", "gemma_model_path": "org/gemma", "clip_model_path": "c", "vae_path": "v"}
    assert parse_config({"train_data_dir": "d", **parts}).base_model_path == ""
    with pytest.raises(ConfigError, match="base_model_path: must be set"):
        parse_config({"train_data_dir": "d", **parts, "vae_path": ""})


@pytest.mark.parametrize("text", ["all", "0", "0,2", "7,1"])
def test_gpu_lists(text: str):
    assert parse_config({**NEEDED, "gpus": text}).gpus == text


@pytest.mark.parametrize("text", ["", "0,0", "00,0", "cuda:0", "1,", "-1"])
def test_gpu_lists_that_mean_nothing_are_refused(text: str):
    assert list(problems_of(gpus=text)) == ["gpus"]


def test_one_prompt_for_all_captions_replaces_the_two():
    assert parse_config({**NEEDED, "gemma3_prompt": "x "}).system_prompts == ("x ", "x ")


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("min_bucket_reso", {"min_bucket_reso": 1040}),
        ("max_bucket_reso", {"max_bucket_reso": 512}),
        ("bucket_reso_step", {"bucket_reso_step": 128, "resolution": 64}),
        ("mixed_precision", {"device": "cpu", "mixed_precision": "fp16"}),
        ("attention_backend", {"device": "cpu", "attention_backend": "flash"}),
        ("validation_split", {"validation_data_dir": "held", "validation_split": 0.1}),
    ],
)
def test_contradictions_are_found(field: str, values: dict[str, Any]):
    assert list(problems_of(**values)) == [field]


def test_contradictions_that_do_not_matter_are_accepted():
    parse_config({**NEEDED, "enable_bucket": False, "min_bucket_reso": 2048})
    parse_config({**NEEDED, "device": "auto", "mixed_precision": "fp16", "attention_backend": "flash"})


def test_a_bad_value_hides_no_other_contradiction_and_makes_none_up():
    assert set(problems_of(resolution=7, max_bucket_reso=64, device="cpu", mixed_precision="fp16")) == {
        "resolution",
        "mixed_precision",
    }


def test_a_config_cannot_exist_with_bad_values():
    cfg = TrainConfig(**NEEDED)
    with pytest.raises(ConfigError, match="lora_rank"):
        dataclasses.replace(cfg, lora_rank=0)
    with pytest.raises(dataclasses.FrozenInstanceError):
        cfg.lora_rank = 8  # type: ignore[misc]


def test_two_configs_share_no_list():
    first, second = TrainConfig(**NEEDED), TrainConfig(**NEEDED)
    first.lora_target_modules.clear()
    assert second.lora_target_modules
    assert TrainConfig(**NEEDED).lora_target_modules == second.lora_target_modules


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_utf8_is_read_with_and_without_bom(tmp_path: Path, mark: bytes):
    path = tmp_path / "a.toml"
    path.write_bytes(mark + "base_model_path = \"模型\"\r\ntrain_data_dir = 'D:\\new'\r\n".encode())
    cfg = load_config(path)
    assert (cfg.base_model_path, cfg.train_data_dir) == ("模型", "D:\\new")


def test_only_the_start_of_a_faulty_line_is_shown(tmp_path: Path):
    (tmp_path / "c.toml").write_text("a = " + "[" * 100_000)
    with pytest.raises(ConfigError) as caught:
        load_config(tmp_path / "c.toml")
    assert len(str(caught.value)) < 1000


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"a = 1\nb = = 2\n", "line 2 is: b = = 2"),
        (b"a = 1\na = 2\n", "line 2"),
        (b'base_model_path = "D:\\models"\n', "'D:\\data', or with forward slashes"),
        (b'a = """never closed\n', "not valid TOML"),
        (b'a = 1\nb = "\xff"\n', "line 2 is not UTF-8"),
        ("a = 1".encode("utf-16"), "not UTF-8"),
        (b"a = " + b"[" * 100_000, "not valid TOML"),
        (b"a = " + b"9" * 5000, "not valid TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_explained(tmp_path: Path, content: bytes, words: str):
    assert words in loading_error(tmp_path / "a.toml", content)


def test_damage_by_escapes_is_recognised_in_a_file(tmp_path: Path):
    text = loading_error(tmp_path / "a.toml", b'base_model_path = "D:\\temp\\new"\ntrain_data_dir = "x"\n')
    assert '"D:/temp/new"' in text


@pytest.mark.parametrize("name", ["missing.toml", "."])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str):
    with pytest.raises(ConfigError, match="cannot be read"):
        load_config(tmp_path / name)


def test_a_bad_config_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    loading_error(tmp_path / "a.toml", b'output_dir = "out"\nresolution = 1\n')
    assert [path.name for path in tmp_path.iterdir()] == ["a.toml"]


AWKWARD = [
    "".join(map(chr, range(1, 128))),
    "\0",
    '"""',
    "'''",
    "\\",
    "a\r\nb\r",
    "日本語 🐱 \u2028\x85\xa0",
    "# = [x]",
]


@pytest.mark.parametrize("text", AWKWARD)
def test_any_text_survives_writing_and_reading(tmp_path: Path, text: str):
    cfg = TrainConfig(**NEEDED, sample_negative_prompt=text, sample_prompts=[text, "x" * 200])
    (tmp_path / "a.toml").write_bytes(to_toml(cfg).encode())
    assert load_config(tmp_path / "a.toml") == cfg


@pytest.mark.parametrize("rate", [1e-4, 5e-05, 1e-300, 1 / 3, 1])
def test_numbers_survive_to_the_bit(rate: float):
    cfg = TrainConfig(**NEEDED, learning_rate=rate, seed=2**32 - 1)
    assert parse_config(tomllib.loads(to_toml(cfg))) == cfg


def test_the_template_holds_the_defaults():
    values = tomllib.loads(contracts_config.config_template())
    assert list(values) == [spec.name for spec in options()]
    assert parse_config({**values, **NEEDED}) == parse_config(NEEDED)


def test_changes_say_what_they_do_to_a_begun_run():
    old = TrainConfig(**NEEDED)
    new = dataclasses.replace(old, lora_rank=8, learning_rate=1e-5, num_epochs=60)
    assert {change.name: change.rerun for change in changes(old, new)} == {
        "lora_rank": "refuse",
        "learning_rate": "warn",
        "num_epochs": "continue",
    }
    assert changes(old, TrainConfig(**NEEDED)) == ()


def test_what_counts_for_nothing_with_the_adapter_that_stays_is_no_change():
    lora = TrainConfig(**NEEDED)
    lokr = dataclasses.replace(lora, adapter_type="lokr")
    assert changes(lora, dataclasses.replace(lora, lokr_rank=4, lokr_factor=2)) == ()
    assert changes(lokr, dataclasses.replace(lokr, lora_rank=8, lora_alpha=3.0)) == ()
    ranked = dataclasses.replace(lokr, lokr_rank=4, lora_alpha=4.0)
    assert [change.name for change in changes(ranked, dataclasses.replace(ranked, lora_alpha=8.0))] == ["lora_alpha"]
    assert "lokr_factor" in [change.name for change in changes(lora, dataclasses.replace(lokr, lokr_factor=2))]


def test_another_spelling_is_no_change(tmp_path, monkeypatch):
    (tmp_path / "base").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "base", target_is_directory=True)
    monkeypatch.chdir(tmp_path)
    old = TrainConfig(**{**NEEDED, "base_model_path": "base"}, lora_target_modules=["attention.qkv", "attention.out"])
    for spelled in ("./base", str(tmp_path / "base"), "link"):
        assert changes(old, dataclasses.replace(old, base_model_path=spelled)) == ()
    assert changes(old, dataclasses.replace(old, lora_target_modules=["attention.out", "attention.qkv"])) == ()
    # No path is not the current folder.
    assert [change.name for change in changes(old, dataclasses.replace(old, vae_path="."))] == ["vae_path"]


def test_what_was_moved_as_a_whole_is_no_change(tmp_path):
    def project(folder: Path, **changed: str) -> TrainConfig:
        paths = {"base_model_path": str(folder / "base"), "train_data_dir": str(folder / "data")}
        return TrainConfig(**{**paths, **changed})

    for name in ("base", "data", "other"):
        (tmp_path / "new" / name).mkdir(parents=True)
    old, new = project(tmp_path / "old"), project(tmp_path / "new")
    assert changes(old, new) == ()
    # The contents of a base tell a run whether it is the same one: it may be renamed.
    other = str(tmp_path / "new" / "other")
    renamed = dataclasses.replace(new, base_model_path=other, train_data_dir=other)
    assert [change.name for change in changes(old, renamed)] == ["train_data_dir"]
    # A copy is another one while the first is there, and what is nowhere was not moved.
    (tmp_path / "old" / "base").mkdir(parents=True)
    (tmp_path / "new" / "data").rmdir()
    assert [change.name for change in changes(old, new)] == ["base_model_path", "train_data_dir"]


def test_what_a_begun_run_refuses():
    refused = {spec.name for spec in options() if spec.rerun == "refuse"}
    assert {"base_model_path", "lora_rank", "lora_alpha", "lora_target_modules"} <= refused
    assert {"seed", "train_data_dir", "num_epochs"}.isdisjoint(refused)


def test_alpha_is_the_rank_unless_it_is_set():
    for values in ({}, {"lora_alpha": 0}):
        assert parse_config({**NEEDED, "lora_rank": 8, **values}).lora_alpha == 8.0
    assert parse_config({**NEEDED, "lora_rank": 8, "lora_alpha": 4}).lora_alpha == 4.0
    assert "lora_alpha = 8.0" in to_toml(parse_config({**NEEDED, "lora_rank": 8}))


def test_the_system_prompts_end_in_a_space():
    cfg = TrainConfig(**NEEDED)
    assert cfg.system_prompt_tags.endswith("<Prompt Start> ") and cfg.system_prompt_xml.endswith("<Prompt Start> ")


@pytest.mark.parametrize(("theirs", "said"), [
    ("max_train_epochs", 'did you mean "num_epochs"'), ("save_every_n_epochs", 'did you mean "save_epochs_interval"'),
    ("network_dim", 'did you mean "lora_rank"'), ("image_dir", 'did you mean "train_data_dir"'),
    ("bucket_no_upscale", "lists all of them"), ("num_repeats", "lists all of them"),
])  # fmt: skip
def test_the_names_of_sd_scripts_lead_to_what_they_mean(theirs: str, said: str) -> None:
    """By their spelling alone they would lead to another option."""
    with pytest.raises(ConfigError) as caught:
        parse_config({"base_model_path": "b", "train_data_dir": "d", theirs: 10})
    assert said in str(caught.value)
