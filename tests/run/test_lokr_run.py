"""A run that trains a LoKr: stopped and resumed, exported, read back as it was trained."""

from collections.abc import Callable

import pytest
import torch
from runs import assert_same_run, losses, run_of, stop_and_go_on, weights

from trainer_core.contracts.config import TrainConfig
from trainer_core.contracts.errors import UserError
from trainer_core.model.lora_files import read_lora
from trainer_core.planning.adapter import adapter_shape
from trainer_core.planning.lora_facts import lora_facts, newest_export
from trainer_core.training.adapters import start_weights
from trainer_core.training.run import run_training

Make = Callable[..., TrainConfig]


def test_it_resumes_to_the_same_bits_and_its_file_is_what_was_trained(
    config: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"adapter_type": "lokr", "lokr_factor": 4, "lokr_rank": 4, "lora_alpha": 6.0, "num_epochs": 1}
    left_alone, stopped = config("left-alone", **settings), config("stopped", **settings)
    assert run_training(left_alone) == "finished"
    stop_and_go_on(stopped, monkeypatch)
    assert_same_run(stopped, left_alone)

    run, trained = run_of(stopped), weights(stopped)
    again = start_weights(run.path, adapter_shape(stopped), stopped.lora_alpha)
    assert trained.keys() == again.keys() and all(torch.equal(again[name], trained[name]) for name in trained)
    assert any(value.any() for name, value in trained.items() if name.endswith("lokr_w2_b"))
    facts = lora_facts(run.path)
    assert facts.lokr and facts.rank == 4 and not [path for path in run.exports.iterdir() if path.is_dir()]
    for name, module in read_lora(run.path).modules.items():
        large = trained[f"{name}.lokr_w2_a"] @ trained[f"{name}.lokr_w2_b"]
        torch.testing.assert_close(module.delta(), 1.5 * torch.kron(trained[f"{name}.lokr_w1"], large))


def test_another_run_starts_from_its_file(config: Make) -> None:
    lokr = {"adapter_type": "lokr", "lokr_factor": 4, "num_epochs": 1}
    first = config("first", **lokr)
    run_training(first)
    file = str(newest_export(run_of(first).path))
    with pytest.raises(UserError, match="is a LoKr") as caught:
        run_training(config("lora", resume_from_lora=file))
    assert 'Set adapter_type = "lokr".' in caught.value.hints
    with pytest.raises(UserError, match="other shape"):
        run_training(config("smaller", resume_from_lora=file, **lokr | {"lokr_factor": 8}))
    second = config("second", resume_from_lora=file, **lokr)
    assert run_training(second) == "finished"
    assert losses(second)[0] < losses(first)[0]
