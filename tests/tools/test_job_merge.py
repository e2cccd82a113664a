"""The jobs merge and convert_lora: the commands' own results, told in bytes, and nothing left after a stop."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from job_folder import job_in, told
from safetensors.torch import load_file
from small_base import WEIGHTS, quiet, transformer, write_peft
from test_merge import delta, shard

from trainer_core.contracts.errors import UserError
from trainer_core.jobs.context import JobContext, JobStopped
from trainer_core.tools.job_merge import convert_lora, run
from trainer_core.tools.merge import merge

NAME = "layers.1.attention.qkv"


@pytest.fixture
def job(tmp_path: Path) -> JobContext:
    return job_in(tmp_path / "jobs" / "one")


def spec(base: Path, lora: Path, output: Path, **more: Any) -> dict[str, Any]:
    return {"base": str(base), "loras": [{"path": str(lora), "strength": 0.5}], "output": str(output), **more}


def test_a_folder_and_a_file_as_the_command_makes_them(base: Path, lora: Path, tmp_path: Path, job: JobContext) -> None:
    wanted = transformer(merge(base, [(lora, 0.5)], tmp_path / "wanted", quiet))
    folder = run(spec(base, lora, tmp_path / "folder"), job)
    file = run(spec(base, lora, tmp_path / "out" / "file.safetensors"), job)
    assert (folder["kind"], file["kind"]) == ("folder", "comfyui")
    for found in (transformer(Path(folder["output"])), load_file(Path(file["output"]))):
        assert all(torch.equal(found[name], value) for name, value in wanted.items())
    assert file["bytes"] == Path(file["output"]).stat().st_size
    first = told(job, "phase")[0]
    assert (first["phase"], first["total"]) == ("merging", (base / WEIGHTS).stat().st_size)


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp16", torch.float16)])
def test_a_precision_rounds_the_sum_once(
    base: Path, lora: Path, tmp_path: Path, job: JobContext, precision: str, dtype: torch.dtype
) -> None:
    original = load_file(base / WEIGHTS)
    for name in ("folder", "file.safetensors"):
        made = Path(run(spec(base, lora, tmp_path / name, precision=precision), job)["output"])
        tensors = load_file(made) if made.is_file() else transformer(made)
        assert {value.dtype for value in tensors.values()} == {dtype} and tensors.keys() == original.keys()
        total = original[f"{NAME}.weight"] + 0.5 * delta(lora, NAME)
        torch.testing.assert_close(tensors[f"{NAME}.weight"], total.to(dtype), rtol=0, atol=1e-2)
        assert torch.equal(tensors["x_embedder.weight"], original["x_embedder.weight"].to(dtype))


def test_a_narrow_base_is_summed_and_kept_wide(base: Path, lora: Path, tmp_path: Path, job: JobContext) -> None:
    run(spec(base, lora, tmp_path / "narrow", precision="bf16"), job)
    stored = transformer(tmp_path / "narrow")[f"{NAME}.weight"]
    wide = transformer(Path(run(spec(tmp_path / "narrow", lora, tmp_path / "wide", precision="fp32"), job)["output"]))
    torch.testing.assert_close(wide[f"{NAME}.weight"], stored.float() + 0.5 * delta(lora, NAME))


def test_an_index_tells_the_new_size_and_the_bases_own_stays(
    base: Path, lora: Path, tmp_path: Path, job: JobContext
) -> None:
    shard(base)
    index = Path("transformer/diffusion_pytorch_model.safetensors.index.json")
    before = (base / index).read_bytes()
    made = Path(run(spec(base, lora, tmp_path / "made", precision="bf16"), job)["output"])
    size = sum(value.nbytes for value in transformer(made).values())
    assert json.loads((made / index).read_text())["metadata"]["total_size"] == size
    assert (base / index).read_bytes() == before


@pytest.mark.parametrize("name", ["folder", "file.safetensors"])
@pytest.mark.parametrize("precision", ["keep", "bf16"])
def test_a_stop_leaves_nothing(
    base: Path, lora: Path, tmp_path: Path, job: JobContext, name: str, precision: str
) -> None:
    class StoppedLater(JobContext):
        def progress(self, phase: str, done: int, total: int) -> None:
            if done > total / 2:
                self.folder.request("stop")
            super().progress(phase, done, total)

    before = sorted(tmp_path.iterdir())
    with pytest.raises(JobStopped):
        run(spec(base, lora, tmp_path / name, precision=precision), StoppedLater(job.folder))
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    "wrong", [{"precision": "int8"}, {"loras": []}, {"output": ""}, {"loras": [{"path": "a", "strength": "x"}]}]
)
def test_a_spec_that_says_nonsense_is_refused(
    base: Path, lora: Path, tmp_path: Path, job: JobContext, wrong: dict[str, Any]
) -> None:
    with pytest.raises(UserError, match=r"expected is") as caught:
        run(spec(base, lora, tmp_path / "made") | wrong, job)
    assert caught.value.code == "job_invalid"


def test_a_lora_goes_into_the_other_form_and_back(base: Path, lora: Path, tmp_path: Path, job: JobContext) -> None:
    peft = convert_lora({"source": str(lora), "output": str(tmp_path / "peft"), "form": "peft"}, job)
    again = {
        "source": peft["output"],
        "output": str(tmp_path / "again.safetensors"),
        "form": "comfyui",
        "dtype": "bf16",
    }
    found, wanted = load_file(convert_lora(again, job)["output"]), load_file(lora)
    assert found.keys() == wanted.keys() and found[f"diffusion_model.{NAME}.lora_up.weight"].dtype == torch.bfloat16


def test_a_dora_names_the_base_it_needs(base: Path, tmp_path: Path, job: JobContext) -> None:
    write_peft(base, tmp_path / "dora", use_dora=True)
    wanted = {"source": str(tmp_path / "dora"), "output": str(tmp_path / "a.safetensors"), "form": "comfyui"}
    with pytest.raises(UserError) as caught:
        convert_lora(wanted, job)
    assert caught.value.code == "base_needed"
    assert convert_lora({**wanted, "base": str(base)}, job)["bytes"] > 0
