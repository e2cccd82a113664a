"""The convert command and the classic script, as they are typed."""

import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from tests.model.fake_hub import FakeHub, serving
from tests.model.layout_makers import TINY, gemma_file, jina_file, transformer, vae_file
from trainer_core.cli import convert as command
from trainer_core.cli import main
from trainer_core.model.folder import find_base

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`main` sets variables for its process; here they end with the test."""
    for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
        monkeypatch.setenv(name, "1")
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """The built-in base, as a repository of its own."""
    files = {p.relative_to(TINY).as_posix(): p.read_bytes() for p in TINY.rglob("*") if p.is_file()}
    with serving({"NewBie-AI/NewBie-image-Exp0.1": files}) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        template = server.address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        yield server


def newbie(file: str = "newbie.safetensors") -> str:
    save_file(transformer(), file)
    return file


def test_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(TINY), "--to", "comfyui", "--output", "x.safetensors"]) == 0
    assert main(["convert", "x.safetensors", "--output", "base", "--gemma", str(TINY), "--clip", str(TINY),
                 "--vae", str(TINY / "vae"), "--dtype", "fp32"]) == 0  # fmt: skip
    assert find_base(tmp_path / "base").layout == "official"
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "base" and any(
        "MiB (transformer/diffusion_pytorch_model.safetensors)" in line for line in lines
    )


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["nowhere at all"], "does not exist"),
        ([str(TINY / "vae")], "looks like a VAE"),
        (["newbie.safetensors"], "--gemma"),
        (["newbie.safetensors", "--gemma", "/nowhere"], "neither an existing path nor a hub id"),
        ([str(TINY), "--vae", str(TINY / "model_index.json")], "not a readable safetensors file"),
        ([str(TINY / "vae" / "diffusion_pytorch_model.safetensors")], "looks like a VAE"),
    ],
)
def test_what_cannot_be_converted_is_said(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    newbie()
    assert main(["convert", *arguments, "--output", "out"]) == 1
    assert words in capsys.readouterr().err and not Path("out").exists()


def test_a_base_from_the_hub(hub: FakeHub) -> None:
    assert main(["convert", "NewBie-AI/NewBie-image-Exp0.1", "--output", "base"]) == 0
    assert find_base(Path("base")).transformer.is_dir()
    assert "HF_HUB_OFFLINE" not in os.environ


def test_an_existing_output_is_refused_before_anything_is_fetched(hub: FakeHub) -> None:
    Path("base").write_text("mine")
    assert main(["convert", "NewBie-AI/NewBie-image-Exp0.1", "--output", "base"]) == 1
    assert not hub.asked and Path("base").read_text() == "mine"


def test_only_the_missing_part_is_fetched(hub: FakeHub) -> None:
    arguments = ["--gemma", str(TINY), "--clip", str(TINY), "--vae", "NewBie-AI/NewBie-image-Exp0.1"]
    assert main(["convert", newbie(), *arguments, "--output", "base"]) == 0
    assert hub.fetched() == {"vae/config.json", "vae/diffusion_pytorch_model.safetensors"}


def test_a_users_own_offline_holds() -> None:
    """In a process of its own: the library reads the variable when it is imported."""
    variables = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HOME": str(Path.cwd() / "hf"), "PYTHONPATH": str(ROOT)}
    arguments = [sys.executable, "-m", "trainer_core", "convert", "org/name", "--output", "out"]
    done = subprocess.run(arguments, env=variables, capture_output=True, text=True)
    assert done.returncode == 1 and "nothing is fetched here" in done.stderr


def test_other_commands_stay_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    main(["cache", "nowhere"])
    assert os.environ["HF_HUB_OFFLINE"] == os.environ["TRANSFORMERS_OFFLINE"] == "1"


def test_the_classic_script(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    newbie("run/newbie.safetensors")
    vae_file(folder / "ae.safetensors")
    gemma, jina = (
        gemma_file(tmp_path / "g.safetensors", tokenizer=True),
        jina_file(tmp_path / "j.safetensors", tokenizer=True),
    )
    arguments = ["--checkpoint", "run/newbie.safetensors", "--gemma3", str(gemma), "--jina", str(jina)]
    script = str(ROOT / "convert_newbie_to_diffusers.py")
    monkeypatch.setattr(sys, "argv", [script, *arguments, "--model_name", "NextDiT"])
    with pytest.raises(SystemExit) as ended:
        runpy.run_path(script, run_name="__main__")
    assert ended.value.code == 0
    assert "--model_name NextDiT: not needed" in capsys.readouterr().out
    weights = load_file(folder / "diffusers" / "vae" / "diffusion_pytorch_model.safetensors")
    assert {str(value.dtype) for value in weights.values()} == {"torch.bfloat16"}


def test_classic_defaults_come_from_the_hub(hub: FakeHub, capsys: pytest.CaptureFixture[str]) -> None:
    assert command.classic(["--checkpoint", newbie(), "--gemma3", str(TINY), "--hf_token", "hf_x y"]) == 1
    error = capsys.readouterr().err
    assert "token holds characters" in error and "hf_x" not in error
    assert command.classic(["--checkpoint", newbie(), "--gemma3", str(TINY)]) == 1
    assert "jinaai/jina-clip-v2" in capsys.readouterr().err
    assert command.classic(["--checkpoint", newbie(), "--gemma3", str(TINY), "--jina", str(TINY)]) == 0
    assert hub.fetched() == {"vae/config.json", "vae/diffusion_pytorch_model.safetensors"}


def test_a_whole_base_as_classic_checkpoint_brings_its_parts(tmp_path: Path) -> None:
    assert command.classic(["--checkpoint", str(TINY), "--output", "out", "--dtype", "fp16"]) == 0
    assert find_base(tmp_path / "out").vae.is_dir()


@pytest.mark.parametrize("flag", [["--push_to_hub"], ["--hub_repo_id", "me/it"]])
def test_uploading_is_refused_by_name(flag: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert command.classic(["--checkpoint", newbie(), *flag]) == 2
    error = capsys.readouterr().err
    assert flag[0] in error and "hf upload" in error
