"""A run that runs out of memory goes on with less, keeps what a step learns from, and says what it does."""

import weakref
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, NoReturn

# Its message, where it lacks a kernel, holds the frames of who imports it first, and pytest keeps messages: a run in a
# test would stay alive in one.
import bitsandbytes  # noqa: F401
import pytest
import torch
from runs import events, losses, run_of

from trainer_core.contracts.config import TrainConfig, load_config
from trainer_core.contracts.errors import UserError
from trainer_core.model.gemma import GemmaEncoder
from trainer_core.model.jina import JinaEncoder
from trainer_core.model.vae import LatentCodec
from trainer_core.planning.ladder import memory_ladder
from trainer_core.training import building, features, out_of_memory, run, session
from trainer_core.training.loop import Trainer
from trainer_core.training.out_of_memory import apply_rung, next_rung
from trainer_core.training.resume import kept_notes, resumed_config
from trainer_core.training.run import run_training

Make = Callable[..., TrainConfig]
Patch = pytest.MonkeyPatch


def full(*args: object, **named: object) -> NoReturn:
    raise torch.OutOfMemoryError("Tried to allocate 2.00 GiB")


def settings(config: TrainConfig) -> tuple[Any, ...]:
    return (
        config.train_batch_size, config.micro_batch_size, config.gradient_checkpointing, config.quantize_base,
    )  # fmt: skip


def test_each_rung_is_taken_until_it_fits(config: Make, monkeypatch: Patch) -> None:
    """A device too small for more than one picture, kept activations or an exact base, from step 3 on."""
    real = Trainer._losses
    alive: weakref.WeakSet[Trainer] = weakref.WeakSet()

    def losses_of(self: Trainer, work: Any) -> torch.Tensor:
        # An attempt that failed must be gone with its model, or the next one would have even less memory.
        alive.add(self)
        assert list(alive) == [self]
        now = self._config
        if work.step >= 2 and settings(now) != (2, 1, True, "int8"):
            full()
        return real(self, work)

    monkeypatch.setattr(Trainer, "_losses", losses_of)
    made = config(
        train_batch_size=2, gradient_accumulation_steps=1, gradient_checkpointing=False, max_train_steps=4,
        save_every_n_steps=2,
    )  # fmt: skip
    assert run_training(made) == "finished" and len(losses(made)) == 4
    told = [event for event in events(made, "warning") if "out of memory" in event["message"]]
    assert [list(event["settings"]) for event in told] == [
        ["micro_batch_size"], ["gradient_checkpointing"], ["quantize_base"],
    ]  # fmt: skip
    assert all("while training. The run goes on from its checkpoint of step 2" in event["message"] for event in told)
    assert "a little off" in told[-1]["message"] and "a little off" not in told[0]["message"]
    assert settings(load_config(run_of(made).config_file)) == (2, 1, True, "int8")


def test_a_run_goes_on_with_a_smaller_text_encoder_and_says_what_that_means(config: Make, monkeypatch: Patch) -> None:
    """And what the run had to change is no reason to refuse it later; what somebody changes then is."""
    real = features.load_gemma

    def load(*args: Any, **named: Any) -> GemmaEncoder:
        return full() if named["quantise"] == "no" else real(*args, **named)

    monkeypatch.setattr(features, "load_gemma", load)
    made = config(max_train_steps=1, use_cache=False)
    run_of(made).create(made)
    run_of(made).recovered_file.write_text('{"lora_dropout": {"old": 0.1, "new": 0.5}}')
    assert run_training(made) == "finished" and load_config(run_of(made).config_file).quantize_gemma == "int8"
    assert run_of(made).own_changes() == {"quantize_gemma": {"old": "no", "new": "int8"}}
    [told] = [event["message"] for event in events(made, "warning") if "out of memory" in event["message"]]
    assert "from its beginning with quantize_gemma = int8. All captions are encoded anew" in told
    assert run_training(replace(made, max_train_steps=2)) == "finished"
    with pytest.raises(UserError, match="quantize_gemma: 'int8' -> 'nf4'"):
        run_training(replace(made, quantize_gemma="nf4"))


def test_want_of_memory_beside_torchs_own_allocator_is_no_other(config: Make, monkeypatch: Patch) -> None:
    def load(*args: Any, **named: Any) -> GemmaEncoder:
        raise RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`")

    monkeypatch.setattr(features, "load_gemma", load)
    made = config(max_train_steps=1, use_cache=False)
    with pytest.raises(UserError, match="CUBLAS_STATUS_ALLOC_FAILED") as caught:
        run_training(made)
    assert caught.value.code == "out_of_memory"
    assert [event["settings"] for event in events(made, "warning") if "settings" in event] == [
        {"quantize_gemma": "int8"}, {"quantize_gemma": "nf4"},
    ]  # fmt: skip


def test_a_card_too_full_to_try_the_kernels_is_written_down(config: Make, monkeypatch: Patch) -> None:
    monkeypatch.setattr(run, "kernel_notes", full)
    made = config(max_train_steps=1)
    with pytest.raises(UserError):
        run_training(made)
    state = run_of(made).read_state()
    assert (state["status"], state["code"]) == ("failed", "out_of_memory")


BITS = ["int8", "nf4"]
PLACES = {
    "loading Gemma3": (features, "load_gemma", "quantize_gemma", BITS),
    "encoding captions (Gemma3)": (GemmaEncoder, "encode", "quantize_gemma", BITS),
    "encoding captions (Jina CLIP)": (JinaEncoder, "encode", "", []),
    "encoding images": (LatentCodec, "encode", "", []),
    "loading": (building, "load_transformer", "quantize_base", BITS),
    "drawing samples": (session, "decode", "quantize_base", BITS),
    "validating": (session.Validator, "measure", "quantize_base", BITS),
}


@pytest.mark.parametrize("place", PLACES)
def test_in_every_phase_what_helps_is_tried_and_then_the_user_is_asked(
    place: str, config: Make, monkeypatch: Patch
) -> None:
    where, name, option, tried = PLACES[place]
    monkeypatch.setattr(where, name, full)
    made = config(
        max_train_steps=1, sample_prompts=["1girl"], sample_steps=1, validation_split=0.2,
        use_cache="Gemma" not in place and "encoding" not in place,
    )  # fmt: skip
    with pytest.raises(UserError) as caught:
        run_training(made)
    assert caught.value.code == "out_of_memory" and run_of(made).status() == "failed"
    told = [event for event in events(made, "warning") if "out of memory" in event["message"]]
    assert [event["settings"] for event in told] == [{option: kind} for kind in tried]
    assert all(f"while {place}." in event["message"] for event in told)
    assert any("Strategy 1" in hint for hint in caught.value.hints)


def test_the_users_own_file_goes_on_with_what_the_run_had_to_change(finished_copy: TrainConfig) -> None:
    run = run_of(finished_copy)
    now = own = replace(finished_copy, train_batch_size=4, gradient_accumulation_steps=1, gradient_checkpointing=False)
    for rung in [*memory_ladder(own)[:2], *memory_ladder(replace(own, quantize_base="int8"))[2:3]]:
        now = apply_rung(run, now, rung)
    assert resumed_config(run, own) == now and settings(now) == (4, 1, True, "nf4")
    [told] = kept_notes(own, now)
    assert "micro_batch_size = 1" in told and "recover_from_oom = false" in told and not kept_notes(now, now)
    assert resumed_config(run, stubborn := replace(own, recover_from_oom=False)) == stubborn


def test_a_batch_in_parts_is_the_same_step(config: Make) -> None:
    """Same images, noise and loss; sums are rounded in another order, and dropout draws other numbers."""
    whole = config(train_batch_size=3, lora_dropout=0.0, max_train_steps=4, validation_split=0.2)
    parts = replace(whole, output_name="parts", micro_batch_size=2)
    for made in (whole, parts):
        assert run_training(made) == "finished"
    assert losses(parts) == pytest.approx(losses(whole), rel=1e-4)
    assert [event["epoch"] for event in events(parts, "step")] == [event["epoch"] for event in events(whole, "step")]


def test_nothing_that_changes_the_result_is_taken_unasked(config: Make) -> None:
    spent = config(quantize_base="nf4", resolution=1024, lora_rank=64)
    assert next_rung(spent, "training", begun=False) is None
    assert next_rung(config(recover_from_oom=False), "training", begun=False) is None


def test_after_the_fewest_bits_blocks_go_to_main_memory(config: Make, monkeypatch: Patch) -> None:
    """Before the first checkpoint and after; not where it would contradict other settings or fill main memory."""
    real = Trainer._losses

    def losses_of(self: Trainer, work: Any) -> torch.Tensor:
        if work.step >= 2 and not self._config.swap_blocks:
            full()
        return real(self, work)

    monkeypatch.setattr(Trainer, "_losses", losses_of)
    made = config(device="auto", quantize_base="nf4", max_train_steps=3, save_every_n_steps=2)
    assert run_training(made) == "finished" and len(losses(made)) == 3
    [told] = [event for event in events(made, "warning") if "out of memory" in event["message"]]
    assert told["settings"] == {"swap_blocks": 6} == {"swap_blocks": load_config(run_of(made).config_file).swap_blocks}
    for place in ("training", "loading", "drawing samples"):
        assert next_rung(made, place, begun=True) is not None
    for other in (replace(made, device="cpu"), replace(made, checkpoint_skip_every=2)):
        assert next_rung(other, "drawing samples", begun=True) is None
    monkeypatch.setattr(out_of_memory, "main_memory", lambda: SimpleNamespace(free=2**30))
    assert next_rung(made, "training", begun=True) is None


def test_once_begun_the_features_stay(config: Make) -> None:
    for begun, helps in ((False, True), (True, False)):
        assert (next_rung(config(), "encoding captions (Gemma3)", begun=begun) is not None) == helps


def test_batches_of_pictures_that_do_not_fit_are_encoded_one_by_one(config: Make, monkeypatch: Patch) -> None:
    real = LatentCodec.encode

    def encode(self: LatentCodec, pixels: torch.Tensor) -> torch.Tensor:
        return full() if len(pixels) > 1 else real(self, pixels)

    monkeypatch.setattr(LatentCodec, "encode", encode)
    # As on a GPU.
    monkeypatch.setattr(features.FeatureStore, "_batches", lambda self, work, size: features.fixed_batches(work, 3))
    made = config(max_train_steps=1, use_cache=False)
    assert run_training(made) == "finished"
    [told] = [event["message"] for event in events(made, "warning") if "out of memory" in event["message"]]
    assert "while encoding images, 3 at a time" in told


def test_a_begun_optimizer_stays(config: Make, monkeypatch: Patch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    rungs = [next_rung(config(device="auto"), "training", begun=begun) for begun in (False, True)]
    assert [rung and rung.changes[0].name for rung in rungs] == ["optimizer_type", "quantize_base"]
