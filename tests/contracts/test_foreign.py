"""Other trainers' configs: every key gets an answer, and nothing that changes the result is passed over."""

from typing import Any

import pytest

from trainer_core.contracts.config import options, parse_config
from trainer_core.contracts.errors import ConfigError, UserError
from trainer_core.contracts.foreign import FOREIGN_KEYS, Translation, translate

OURS = [spec.name for spec in options()]
NEEDED = {"base_model_path": "base", "train_data_dir": "images"}
# On in each case; what the fork's and upstream's files may hold.
ON: dict[str, Any] = {
    "use_dora": True,
    "init_lora_weights": "pissa_niter_4",
    "lora_rank_pattern": {"layers.0": 8},
    "lora_alpha_pattern": {"layers.0": 8},
    "use_ema": True,
    "drop_artist_rate": 1,
    "use_multires_loss": True,
    "vae_reflect_padding": True,
}
# What this program has learnt to do since is an option of its own and needs no translation.
BLOCKING = {key: value for key, value in ON.items() if key not in OURS}


def translated(*without: str, **values: Any) -> Translation:
    return translate({**NEEDED, **values}, known=OURS, without=without)


def lines(translation: Translation) -> dict[str, str]:
    return {report.key: str(report) for report in translation.reports}


def test_what_is_on_here_is_all_that_blocks_but_those_with_conditions():
    blocking = {key for key, foreign in FOREIGN_KEYS.items() if foreign.blocks}
    conditional = {"use_rslora", "lokr_rank_dropout", "lokr_module_dropout"}
    assert blocking == {*ON, *conditional}


@pytest.mark.parametrize("key", BLOCKING)
def test_a_key_that_changes_the_result_blocks(key: str):
    found = translated(**{key: BLOCKING[key]})
    assert found.blocking == (key,) and "cannot be honoured yet" in lines(found)[key]
    agreed = translated(key, **{key: BLOCKING[key]})
    assert agreed.blocking == () and "left out, as asked" in lines(agreed)[key]
    parse_config(agreed.values)


@pytest.mark.parametrize("off", [False, 0, 0.0, ""])
def test_values_that_mean_off_are_harmless(off: object):
    keys = BLOCKING.keys() - {"init_lora_weights", "lora_rank_pattern", "lora_alpha_pattern"}
    found = translated(adapter_type="LoRA", init_lora_weights=True, lora_rank_pattern={}, **dict.fromkeys(keys, off))
    assert found.blocking == () and "asks for nothing" in lines(found)["drop_artist_rate"]
    parse_config(found.values)


def test_true_is_no_rate_and_one_is_not_true():
    assert translated(init_lora_weights=1).blocking == ("init_lora_weights",)
    assert translated(drop_artist_rate=True).blocking == ("drop_artist_rate",)


def test_details_go_with_the_key_that_they_belong_to():
    found = translated(eva_tau=0.99, init_lora_weights="eva", ema_decay=0.999, use_ema=False)
    assert found.blocking == ("init_lora_weights",)
    assert "detail of init_lora_weights, whose line" in lines(found)["eva_tau"]
    assert "detail of use_ema, which is off" in lines(found)["ema_decay"]


LOKR = {"adapter_type": "lyco_lokr", "lokr_rank": 114514, "lokr_alpha": 114514, "lokr_factor": 8}


def test_upstreams_lokr_file_trains_what_lycoris_would():
    targets = ["attention.qkv"]
    found = translated(**LOKR, lokr_dropout=0.05, lokr_train_norm=True, lokr_target_modules=targets)
    config = parse_config(found.values)
    assert (config.adapter_type, config.lokr_rank, config.lokr_factor, config.lora_dropout) == ("lokr", 0, 8, 0.0)
    assert config.lora_target_modules == targets and found.blocking == ()
    said = lines(found)
    assert (
        "taken as lora_target_modules" in said["lokr_target_modules"] and "every factor is whole" in said["lokr_rank"]
    )
    assert "drops nothing" in said["lokr_dropout"] and "drops nothing" in said["lora_dropout"]
    assert "counts for nothing" in said["lokr_alpha"] and "lora_alpha" not in found.values


@pytest.mark.parametrize("kind", [{}, {"adapter_type": "lora"}])
def test_lokr_keys_in_a_file_for_lora_count_for_nothing(kind: dict[str, str]):
    found = translated(**kind, lokr_rank=114514, lokr_factor=-1, lokr_alpha=114514)
    assert parse_config(found.values).adapter_type == "lora" and found.blocking == ()
    assert all("which is off" in lines(found)[key] for key in ("lokr_rank", "lokr_factor", "lokr_alpha"))


def test_a_lokr_of_a_rank_keeps_it_and_its_alpha():
    found = translated(adapter_type="lokr", lokr_rank=16, lokr_alpha=8, lokr_factor=-1, lora_alpha=4, lora_dropout=0.1)
    config = parse_config(found.values)
    assert (config.lokr_rank, config.lora_alpha, config.lokr_factor) == (16, 8.0, 0)
    assert "ignored, because LyCORIS drops nothing" in lines(found)["lora_dropout"]


def test_where_a_lokr_file_is_silent_the_keys_for_lora_count_as_they_do_upstream():
    found = translated(adapter_type="lyco-lokr", lora_rank=8, lora_alpha=4, lokr_target_modules=[])
    config = parse_config(found.values)
    assert (config.lokr_rank, config.lora_alpha, config.lokr_factor) == (8, 4.0, 0)
    assert "takes lora_rank" in lines(found)["lokr_rank"] and "as evenly" in lines(found)["lokr_factor"]


@pytest.mark.parametrize("key", ["lokr_rank_dropout", "lokr_module_dropout"])
def test_what_lycoris_leaves_out_at_random_blocks_a_lokr_only(key: str):
    assert translated(**LOKR, **{key: 0.1}).blocking == (key,)
    assert translated(**LOKR, **{key: 0.0}).blocking == translated(**{key: 0.1}).blocking == ()


@pytest.mark.parametrize("kind", ["loha", "dora", 1])
def test_another_kind_of_adapter_blocks(kind: object):
    found = translated(adapter_type=kind)
    assert found.blocking == ("adapter_type",) and "LoRA and LoKr" in lines(found)["adapter_type"]
    assert parse_config(translated("adapter_type", adapter_type=kind).values).adapter_type == "lora"


def test_what_the_fork_only_reads_blocks_nothing():
    found = translated(train_norm=True)
    assert found.blocking == () and "does not train the norm layers either" in lines(found)["train_norm"]


def test_rslora_is_honoured_exactly():
    found = translated(use_rslora=True, lora_rank=16, lora_alpha=8)
    assert found.values["lora_alpha"] == 32.0 and found.blocking == ()
    assert translated("use_rslora", use_rslora=True, lora_rank=16, lora_alpha=8).values["lora_alpha"] == 8
    assert translated(use_rslora=True, lora_rank="16").blocking == ("use_rslora",)


def test_the_forks_captions_are_made_as_it_makes_them():
    theirs = {"shuffle_caption": True, "caption_tag_dropout_rate": 0.1, "enable_wildcard": True}
    config = parse_config(translated(**theirs).values)
    assert (config.keep_tokens_separator, config.caption_tag_dropout_rate, config.enable_wildcard) == ("|||", 0.1, True)
    assert translated(**theirs, keep_tokens_separator="").values["keep_tokens_separator"] == ""
    assert "keep_tokens_separator" not in translated(lora_rank=8).values


def test_what_the_other_trainer_does_without_saying_is_written_out():
    found = translated(lora_rank=8)
    assert found.values["timestep_sampling"] == "lognorm" and found.values["lora_alpha"] == 8.0
    assert found.values["caption_dropout_rate"] == 0.0 and "added, because" in lines(found)["lora_alpha"]
    said = {"optimizer_type": "AdamW8bit", "caption_dropout_rate": 0.2, "mixed_precision": "bf16", "lora_alpha": 4}
    assert translated(lora_rank=8, **said).values.items() >= said.items()


def test_what_only_the_fork_does_is_written_out_for_its_files():
    found = translated(lora_rank=8)
    assert found.values["bucket_upscale"] is True and "always enlarges" in lines(found)["bucket_upscale"]
    assert not {"max_gemma_tokens", "caption_dropout_jina"} & found.values.keys()
    found = translated(use_dora=False)
    assert found.values["max_gemma_tokens"] == 1023 and "1280 tokens" in lines(found)["max_gemma_tokens"]
    assert "caption_dropout_jina" not in found.values
    found = translated(caption_dropout_rate=0.1)
    assert found.values["max_gemma_tokens"] == 1023 and found.values["caption_dropout_jina"] is True
    assert "for Jina too" in lines(found)["caption_dropout_jina"] and parse_config(found.values).bucket_upscale
    assert translated(caption_dropout_rate=0.1, caption_dropout_jina=False).values["caption_dropout_jina"] is False


def test_the_forks_second_loss_is_spoken_of_where_its_key_is_missing():
    assert "second loss" in lines(translated(use_dora=False))["use_multires_loss"]
    assert "use_multires_loss" not in lines(translated(lora_rank=8, cache_in_memory=True))


def test_a_key_of_nobody_blocks_with_the_nearest_name():
    found = translate({"learning_rte": 1}, known=OURS, nearest=lambda key: '; did you mean "learning_rate"?')
    assert found.blocking == ("learning_rte",) and "did you mean" in str(found.reports[0])


@pytest.mark.parametrize("key", ["anima_repo_root", "qwen_model_path", "preference_json"])
def test_files_for_something_else_are_refused(key: str):
    with pytest.raises(UserError, match=key) as caught:
        translated(**{key: "x"})
    assert caught.value.code == "foreign_model"


def test_secrets_are_shown_by_neither_reader():
    for without in ((), ("wandb_key",)):
        assert "abc123" not in lines(translated(*without, wandb_key="abc123"))["wandb_key"]
    with pytest.raises(ConfigError) as caught:
        parse_config({**NEEDED, "wandb_key": "abc123"})
    assert "abc123" not in str(caught.value)


def test_the_ordinary_reader_points_to_the_import():
    with pytest.raises(ConfigError, match="trainer_core import FILE"):
        parse_config({**NEEDED, "use_dora": True})
    with pytest.raises(ConfigError, match="another model"):
        parse_config({**NEEDED, "anima_repo_root": "x"})


def test_the_keys_of_upstreams_lora_and_template_need_no_import():
    model = {
        **NEEDED, "trust_remote_code": True, "output_dir": "o", "output_name": "n", "resolution": 1024,
        "dataloader_num_workers": 8, "enable_bucket": True, "use_cache": True, "gemma3_prompt": "You draw. ",
        "train_batch_size": 4, "num_epochs": 30, "save_epochs_interval": 1, "learning_rate": 1e-4,
        "lr_scheduler": "cosine", "lr_warmup_steps": 0, "gradient_checkpointing": True, "mixed_precision": "bf16",
        "lora_rank": 8, "lora_alpha": 4, "lora_dropout": 0.05, "lora_target_modules": ["attention.qkv"],
    }  # fmt: skip
    model |= {"dataloader_prefetch_factor": 8, "cache_in_memory": False, "save_epochs_interval": 0}  # its template
    more = {"optimizer_type": "AdamW8bit", "gradient_clip_norm": 1.0, "use_flash_attention_2": True}
    config = parse_config({"Model": model, "Optimization": more})
    assert (config.lora_alpha, config.train_batch_size, config.use_flash_attention_2) == (4.0, 4, True)
