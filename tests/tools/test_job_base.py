"""Converting and downloading a base as jobs: progress, stops, and a download that goes on where it was cut."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from tests.model.fake_hub import TOKEN, FakeHub, serving
from tests.model.layout_makers import TINY, comfy_folder
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.jobdir import Job, JobDir, Kind
from trainer_core.jobs.context import JobContext, JobStopped
from trainer_core.model import hub_download
from trainer_core.planning.base_check import check_base
from trainer_core.planning.hub_place import NEWBIE
from trainer_core.tools.job_base import convert, download, half_folder

BASE = {file.relative_to(TINY).as_posix(): file.read_bytes() for file in TINY.rglob("*") if file.is_file()}
BIG = "transformer/diffusion_pytorch_model.safetensors"
ENCODER = {name.removeprefix("text_encoder/"): data for name, data in BASE.items() if name.startswith("text_encoder/")}


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    """The library reads its settings from the environment when it is imported; here they are set in place."""
    comfy = comfy_folder(tmp_path / "repack" / "split_files")
    files = {file.relative_to(comfy.parent).as_posix(): file.read_bytes() for file in comfy.rglob("*.safetensors")}
    repack = {name: data for name, data in files.items() if "flux1" not in name and "12b" not in name}
    with serving({NEWBIE: dict(BASE), "google/gemma": ENCODER, "Comfy/repack": repack}) as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", server.address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(hub_download, "WAIT_S", 0.0)
        for name in ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "HF_HUB_OFFLINE"):
            monkeypatch.delenv(name, raising=False)
        yield server


def context(root: Path, kind: Kind = "download", **spec: object) -> JobContext:
    folder = JobDir(root / "jobs" / f"{kind}-{time.monotonic_ns()}")
    folder.create_job(Job(id=folder.path.name, kind=kind, title="test", spec=spec))
    return JobContext(folder)


class StopsAt(JobContext):
    """Asks for the stop itself, once that many bytes are done."""

    limit = 0

    def progress(self, phase: str, done: int, total: int) -> None:
        if done >= self.limit and phase in ("downloading", "converting"):
            self.folder.request("stop")
        super().progress(phase, done, total)


def stopped_at(limit: int, job: JobContext) -> JobContext:
    stopping = StopsAt(job.folder)
    stopping.limit = limit
    return stopping


def phases(job: JobContext) -> list[dict[str, Any]]:
    return [json.loads(line) for line in job.folder.events_file.read_text().splitlines()]


def content(folder: Path) -> dict[str, bytes]:
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def fetched(hub: FakeHub) -> Mapping[str, bytes]:
    return {name: data for name, data in BASE.items() if name in hub.fetched()}


def fetched_bytes(output: Path) -> int:
    return sum(len(data) for name, data in content(half_folder(output)).items() if name != "download.json")


def test_a_plan_says_what_it_takes_and_writes_nothing(hub: FakeHub, tmp_path: Path) -> None:
    result = download({"output": str(tmp_path / "new"), "plan": True}, context(tmp_path))
    assert result["files"] >= 12 and result["have"] == 0 and result["free"] > 0
    assert result["bytes"] == sum(len(data) for name, data in BASE.items() if "/" in name)
    assert not hub.fetched() and not (tmp_path / "new").exists() and not half_folder(tmp_path / "new").exists()


def test_the_whole_base_arrives_bit_for_bit(hub: FakeHub, tmp_path: Path) -> None:
    job = context(tmp_path)
    result = download({"output": str(tmp_path / "new")}, job)
    assert content(tmp_path / "new") == fetched(hub) and result["paths"] == {"base_model_path": str(tmp_path / "new")}
    assert check_base(result["paths"]).usable
    told = phases(job)
    assert [told[0]["phase"], told[-1]["done"]] == ["listing", result["bytes"]]
    assert not half_folder(tmp_path / "new").exists()


def test_stopped_in_the_middle_of_a_file_it_goes_on_there(hub: FakeHub, tmp_path: Path) -> None:
    spec = {"output": str(tmp_path / "new")}
    with pytest.raises(JobStopped):
        download(spec, stopped_at(len(BASE[BIG]) // 2, context(tmp_path)))
    half = fetched_bytes(tmp_path / "new")
    assert 0 < half < len(BASE[BIG]) and not (tmp_path / "new").exists()
    listed, hub.sent = len(hub.asked), {}
    have = download(spec | {"plan": True}, context(tmp_path))["have"]
    assert have >= half and len(hub.asked) == listed  # the list of the first time is kept
    result = download(spec, context(tmp_path))
    assert sum(hub.sent.values()) == result["bytes"] - have  # no byte twice
    assert content(tmp_path / "new") == fetched(hub)


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_breaks_is_taken_up_again(ranges: bool, hub: FakeHub, tmp_path: Path) -> None:
    cut = len(BASE[BIG]) // 2
    hub.cuts[BIG], hub.ranges = cut, ranges
    download({"output": str(tmp_path / "new")}, context(tmp_path))
    assert content(tmp_path / "new") == fetched(hub)
    assert hub.sent[BIG] == len(BASE[BIG]) + (0 if ranges else cut)


RUN = """
import sys, time
from pathlib import Path
from trainer_core.contracts.jobdir import JobDir
from trainer_core.jobs.context import JobContext
from trainer_core.tools.job_base import download

class Slow(JobContext):
    def progress(self, phase, done, total):
        super().progress(phase, done, total)
        print(phase, done, flush=True)
        if phase == "downloading" and 0 < done < total and sys.argv[2] == "slow":
            time.sleep(0.05)

folder = JobDir(Path(sys.argv[1]))
print(download(folder.read_job().spec, Slow(folder)), "torch" in sys.modules)
"""


def start(root: Path, hub: FakeHub, how: str) -> subprocess.Popen[str]:
    folder = context(root, output=str(root / "new")).folder.path
    # The hub's client takes TRANSFORMERS_OFFLINE for its own.
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "TRANSFORMERS_"))}
    variables = kept | {"HF_ENDPOINT": hub.address, "HF_HOME": str(root / "home"), "PYTHONPATH": str(Path.cwd())}
    command = [sys.executable, "-c", RUN, str(folder), how]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=variables)


def test_killed_in_the_middle_of_a_file_it_goes_on_there(hub: FakeHub, tmp_path: Path) -> None:
    """Through HF_ENDPOINT, in processes of their own, and with the faster transfer of the hub's client installed."""
    with start(tmp_path, hub, "slow") as child:
        assert child.stdout
        wanted = len(BASE[BIG]) // 2
        for line in child.stdout:
            if line.startswith("downloading") and int(line.split()[1]) > wanted:
                break
        child.send_signal(signal.SIGKILL)
    have = fetched_bytes(tmp_path / "new")
    assert have > wanted
    hub.sent = {}
    with start(tmp_path, hub, "fast") as child:
        output, _ = child.communicate(timeout=120)
    assert content(tmp_path / "new") == fetched(hub) and output.rstrip().endswith("False")
    assert sum(hub.sent.values()) == sum(map(len, fetched(hub).values())) - have


def test_a_half_file_that_was_damaged_is_fetched_anew(hub: FakeHub, tmp_path: Path) -> None:
    spec = {"output": str(tmp_path / "new")}
    with pytest.raises(JobStopped):
        download(spec, stopped_at(len(BASE[BIG]) // 2, context(tmp_path)))
    (half,) = half_folder(tmp_path / "new").rglob("*.part")
    half.write_bytes(bytes(half.stat().st_size))
    with pytest.raises(UserError, match="damaged") as caught:
        download(spec, context(tmp_path))
    assert caught.value.code == "hub_damaged"
    download(spec, context(tmp_path))
    assert content(tmp_path / "new") == fetched(hub)


def test_parts_from_elsewhere_and_single_files(hub: FakeHub, tmp_path: Path) -> None:
    spec = {"output": str(tmp_path / "new"), "repo": "Comfy/repack", "parts": {"gemma": "google/gemma"}}
    result = download(spec, context(tmp_path))
    names = {Path(path).relative_to(tmp_path / "new").as_posix() for path in result["paths"].values()}
    assert names == {
        "diffusion_models/NewBie-Image-Exp0.1-bf16.safetensors", "text_encoder",
        "text_encoders/jina_clip_v2_bf16.safetensors", "vae/ae.safetensors",
    }  # fmt: skip
    whole = download({"output": str(tmp_path / "comfy"), "repo": "Comfy/repack"}, context(tmp_path))
    assert whole["paths"] == {"base_model_path": str(tmp_path / "comfy")}


def test_another_base_into_the_same_place_starts_anew(hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(JobStopped):
        download({"output": str(tmp_path / "new")}, stopped_at(1, context(tmp_path)))
    download({"output": str(tmp_path / "new"), "repo": "Comfy/repack"}, context(tmp_path))
    assert not (tmp_path / "new" / "transformer").exists()


def test_too_small_a_disk_is_said_with_both_numbers_before_anything_is_fetched(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(2**30, 2**30, 2**20))
    with pytest.raises(UserError, match=r"MiB needed, 1\.0 free") as caught:
        download({"output": str(tmp_path / "new")}, context(tmp_path))
    assert caught.value.code == "disk_full" and not hub.fetched()


def test_a_gated_base_asks_for_the_token_and_takes_it(
    hub: FakeHub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.closed.add(NEWBIE)
    with pytest.raises(UserError, match="no repository of that name") as caught:
        download({"output": str(tmp_path / "new")}, context(tmp_path))
    assert caught.value.code == "hub_not_found"
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    job = context(tmp_path)
    download({"output": str(tmp_path / "new")}, job)
    assert TOKEN not in job.folder.events_file.read_text() + job.folder.job_file.read_text()


@pytest.mark.parametrize(
    "spec, code",
    [
        ({"repo": "no/body"}, "hub_not_found"),
        ({"repo": "no id"}, "part_missing"),
        ({"output": "."}, "output_exists"),
        ({"output": 3}, "job_invalid"),
        ({"parts": ["vae"]}, "job_invalid"),
        ({"parts": {"unet": "a/b"}}, "job_invalid"),
        ({"plan": "no"}, "job_invalid"),
    ],
)
def test_what_cannot_be_fetched(spec: dict[str, Any], code: str, hub: FakeHub, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        download({"output": str(tmp_path / "new")} | spec, context(tmp_path))
    assert caught.value.code == code


def test_an_odd_name_on_a_server_leads_nowhere(hub: FakeHub, tmp_path: Path) -> None:
    hub.repos[NEWBIE]["vae/..\\..\\x-00001-of-00001.safetensors"] = b"x"
    del hub.repos[NEWBIE]["vae/diffusion_pytorch_model.safetensors"]
    with pytest.raises(UserError) as caught:
        download({"output": str(tmp_path / "new")}, context(tmp_path))
    assert caught.value.code == "hub_unfit"


def test_convert_tells_bytes_and_the_new_setting(tmp_path: Path) -> None:
    spec = {"source": str(TINY), "output": str(tmp_path / "new"), "dtype": "fp32"}
    job = context(tmp_path, "convert")
    result = convert(spec, job)
    assert result["paths"] == {"base_model_path": str(tmp_path / "new")} and result["bytes"] > 2**21
    assert {event["phase"] for event in phases(job)} == {"converting"} and phases(job)[-1]["total"] > 2**21
    file = convert({"source": str(TINY), "output": str(tmp_path / "x.safetensors"), "to": "comfyui"}, job)
    assert check_base({"base_model_path": str(TINY), **file["paths"]}).usable


def test_a_stopped_conversion_leaves_nothing(tmp_path: Path) -> None:
    spec = {"source": str(TINY), "output": str(tmp_path / "out" / "new"), "dtype": "fp32"}
    with pytest.raises(JobStopped):
        convert(spec, stopped_at(2**20, context(tmp_path, "convert")))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "spec, code",
    [
        ({"dtype": "int4"}, "job_invalid"), ({"to": "x"}, "job_invalid"), ({"source": None}, "job_invalid"),
        ({"source": "/no/where"}, "base_missing"),
        ({"source": NEWBIE}, "hub_not_here"), ({"parts": {"vae": "google/vae"}}, "hub_not_here"),
    ],
)  # fmt: skip
def test_what_cannot_be_converted_and_no_network_for_it(
    spec: dict[str, Any], code: str, hub: FakeHub, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        convert({"source": str(TINY), "output": str(tmp_path / "new")} | spec, context(tmp_path, "convert"))
    assert caught.value.code == code and not hub.asked
