"""Counting tokens: as many as training makes of a caption, in a child that needs no torch for the usual base."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from job_folder import job_in
from safetensors.torch import load_file, save_file

from trainer_core.contracts.errors import UserError
from trainer_core.dataset.token_counts import CountJob, TokenCounts, TokenQuestion
from trainer_core.jobs.context import JobContext
from trainer_core.model.gemma import load_gemma_tokenizer
from trainer_core.model.tokens import load_tokenizer, tokenize
from trainer_core.planning.demo import TINY_BASE
from trainer_core.tools import job_tokens
from trainer_core.tools.job_tokens import find_counter, run

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "model" / "data" / "tokenizers"
CAPTIONS = [
    "1girl, blue hair,  two  spaces, <b>bold</b>", "", " ", "蓝发少女\n第二行\n\n", "😀 émoji, ＦＵＬＬ, \udce9",
    "<character_1><n>$character_1$</n><gender>1girl</gender></character_1>", "smile, " * 300,
]  # fmt: skip


@pytest.fixture
def job(tmp_path: Path) -> JobContext:
    return job_in(tmp_path / "jobs" / "one")


def carried(job: JobContext, wanted: CountJob) -> JobContext:
    for name, text in wanted.files.items():
        (job.folder.path / name).write_text(text, encoding="utf-8")
    return job


def trained(question: TokenQuestion, caption: str) -> int:
    """What the encoder is given in training, uncut."""
    tokenizer = load_gemma_tokenizer(Path(question.base) / "text_encoder")
    text = question.text(caption).encode("utf-8", "replace").decode()
    return int(tokenize(tokenizer, [text], 10**6).mask.sum())


def test_counts_are_those_of_training_and_are_remembered(tmp_path: Path, job: JobContext) -> None:
    question = TokenQuestion(base=str(TINY_BASE))
    counts = TokenCounts(tmp_path / "counts.json", question)
    assert counts.missing(CAPTIONS) == CAPTIONS and counts.get(CAPTIONS[0]) is None
    wanted = counts.job(CAPTIONS)
    assert run(wanted.spec, carried(job, wanted)) == {"counted": len(CAPTIONS)}
    assert [counts.get(caption) for caption in CAPTIONS] == [trained(question, caption) for caption in CAPTIONS]
    assert counts.missing([*CAPTIONS, "new"]) == ["new"] and (counts.get("smile, " * 300) or 0) > 512


@pytest.mark.parametrize("known", ["gemma.json", ""])
def test_the_quick_way_counts_as_transformers_does(tmp_path: Path, known: str) -> None:
    shutil.copytree(TINY_BASE, tmp_path / "base")
    folder = tmp_path / "base" / "text_encoder"
    if known:
        shutil.copy(DATA / known, folder / "tokenizer.json")
        settings = {"tokenizer_class": "GemmaTokenizer", "add_bos_token": True, "bos_token": "<bos>"}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    tokenizer = load_tokenizer(folder, "Gemma")
    texts = [caption for caption in CAPTIONS if "\udce9" not in caption]
    wanted = [len(row) for row in tokenizer(texts)["input_ids"]]
    assert find_counter(tmp_path / "base", None).count(texts) == wanted


def test_a_tokenizer_inside_the_weights_is_found(tmp_path: Path) -> None:
    pieces = (DATA / "gemma.model").read_bytes()
    tensors = load_file(TINY_BASE / "text_encoder" / "model.safetensors")
    rows = next(name for name in tensors if name.endswith("embed_tokens.weight"))
    tensors[rows] = torch.zeros(700, tensors[rows].shape[1])
    tensors["spiece_model"] = torch.frombuffer(bytearray(pieces), dtype=torch.uint8)
    save_file(tensors, tmp_path / "gemma.safetensors")
    counter = find_counter(TINY_BASE, tmp_path / "gemma.safetensors")
    assert counter.count(["a b"])[0] > 1 and tmp_path / "gemma.safetensors" in counter.sources


def test_another_tokenizer_in_the_same_place_finds_no_counts(tmp_path: Path, job: JobContext) -> None:
    base = tmp_path / "base"
    shutil.copytree(TINY_BASE, base)
    file = tmp_path / "counts.json"
    wanted = TokenCounts(file, TokenQuestion(base=str(base))).job(["a"])
    run(wanted.spec, carried(job, wanted))
    assert TokenCounts(file, TokenQuestion(base=str(base))).get("a") is not None
    tokenizer = base / "text_encoder" / "tokenizer.json"
    tokenizer.write_bytes(tokenizer.read_bytes() + b"\n")
    assert TokenCounts(file, TokenQuestion(base=str(base))).get("a") is None


def test_a_broken_tokenizer_is_told(tmp_path: Path) -> None:
    shutil.copytree(TINY_BASE, tmp_path / "base")
    (tmp_path / "base" / "text_encoder" / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError) as caught:
        find_counter(tmp_path / "base", None)
    assert caught.value.code == "tokenizer_missing"


def test_one_caption_is_counted_without_torch(
    tmp_path: Path, job: JobContext, record_figure: Callable[[str, float | int | str], None]
) -> None:
    wanted = TokenCounts(tmp_path / "counts.json", TokenQuestion(base=str(TINY_BASE))).job(["1girl"])
    carried(job, wanted)
    code = (
        "import json, sys; from pathlib import Path\n"
        f"from {job_tokens.__name__} import run\n"
        "from trainer_core.contracts.jobdir import JobDir; from trainer_core.jobs.context import JobContext\n"
        "run(json.loads(sys.argv[1]), JobContext(JobDir(Path(sys.argv[2]))))\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)"
    )
    started = time.monotonic()
    command = [sys.executable, "-c", code, json.dumps(dict(wanted.spec)), str(job.folder.path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    record_figure("counting one caption in a child, seconds", round(time.monotonic() - started, 2))
