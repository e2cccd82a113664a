"""merge_lora.py: the classic arguments do what the command does."""

import runpy
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_base import quiet, write_lora

from trainer_core.cli.merge import classic
from trainer_core.tools.merge import merge

ROOT = Path(__file__).parents[2]


def test_the_script_merges_with_upstreams_command_line(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lora = write_lora(base, tmp_path / "lora.safetensors", seed=1)
    command = [str(ROOT / "merge_lora.py"), "--base_model_path", str(base), "--lora_path", str(lora),
               "--output_path", "merged.safetensors", "--trust_remote_code", "--device", "cuda"]  # fmt: skip
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", command)
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(command[0], run_name="__main__")
    told = capsys.readouterr().err
    assert ended.value.code == 0, told
    assert "--device cuda is ignored" in told and "--trust_remote_code is ignored" in told
    found = load_file(tmp_path / "merged.safetensors")
    wanted = load_file(merge(base, [(lora, 1.0)], tmp_path / "same.safetensors", quiet))
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


@pytest.mark.parametrize(("strengths", "used"), [([], (1.0, 1.0)), (["0.5"], (0.5, 0.5)), (["0.5", "-1"], (0.5, -1.0))])
def test_several_loras_take_one_strength_or_one_each(
    base: Path, tmp_path: Path, strengths: list[str], used: tuple[float, float]
) -> None:
    loras = [write_lora(base, tmp_path / f"a={seed}.safetensors", seed=seed) for seed in (1, 2)]
    arguments = ["--base_model", str(base), "--output_path", str(tmp_path / "merged.safetensors")]
    arguments += [f"--lora_path={lora}" for lora in loras] + [f"--strength={s}" for s in strengths]
    assert classic(arguments) == 0
    wanted = load_file(merge(base, list(zip(loras, used, strict=True)), tmp_path / "same.safetensors", quiet))
    found = load_file(tmp_path / "merged.safetensors")
    assert all(torch.equal(found[name], value) for name, value in wanted.items())


def test_mistakes_are_told_in_words(base: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--base_model", str(base), "--lora_path=a", "--lora_path=b", "--lora_path=c", "--output_path=x"]
    with pytest.raises(SystemExit):
        classic([*arguments, "--strength=1", "--strength=2"])
    assert "2 --strength for 3 --lora_path" in capsys.readouterr().err
    assert classic([*arguments, "--strength=strong"]) == 1
    assert "'strong' is not a number" in capsys.readouterr().err
    assert classic(arguments) == 1 and "does not exist" in capsys.readouterr().err
