"""What a failed run shows, and that each remedy offered can be taken."""

from pathlib import Path

import pytest
from run_folders import HeldQueue, config, make_checkpoint, make_run

from newbie_gui.runs.failure import apply, failure_of, remedies
from newbie_gui.runs.report import report_of
from newbie_gui.runs.store import Row, RunStore
from trainer_core.contracts.config import parse_config
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.events import EventLog
from trainer_core.contracts.jobdir import Job
from trainer_core.contracts.workspace import Workspace
from trainer_core.jobs.queue import Entry
from trainer_core.planning.doctor import Probe

NO_TORCH = Probe(code="print('{}')")


def failed(workspace: Workspace, store: RunStore, code: str, message: str, hints: tuple[str, ...] = ()) -> Row:
    run = make_run(workspace, "one")
    run.write_state("failed", code=code, message=message)
    EventLog(run.events_file).emit("failed", code=code, message=message, hints=hints)
    store.forget_list()
    return store.rows()[0]


def test_20_a_failed_run_says_why_and_what_to_do(workspace: Workspace, store: RunStore) -> None:
    row = failed(workspace, store, "disk_full", "The disk is full.", ("Free some space.",))
    found = failure_of(row, store.history(row.folder).refresh(), None)
    assert found is not None and (found.code, found.message, found.hints) == (
        "disk_full", "The disk is full.", ("Free some space.",),
    )  # fmt: skip


def test_the_state_alone_tells_what_to_do(workspace: Workspace, store: RunStore) -> None:
    full = UserError("disk_full", "The disk is full.", ["Free some space."])
    make_run(workspace, "one").write_state("failed", **full.fields())
    [row] = store.rows()
    found = failure_of(row, store.history(row.folder).refresh(), None)
    assert found is not None and found.hints == full.hints


def test_a_run_that_did_not_fail_has_no_failure(workspace: Workspace, store: RunStore) -> None:
    make_run(workspace, "one", "stopped")
    [row] = store.rows()
    assert failure_of(row, store.history(row.folder).refresh(), None) is None


def test_the_jobs_own_failure_counts_where_the_run_never_began(
    workspace: Workspace, store: RunStore, queue: HeldQueue
) -> None:
    job = Job(id="one", kind="train", title="one", created=1.0)
    queue.held = [Entry(job=job, status="failed", code="base_missing", message="No base.", hints=("Get one.",))]
    [row] = store.rows()
    found = failure_of(row, store.history(row.folder).refresh(), store.entry(row))
    assert found is not None and (found.code, found.message) == ("base_missing", "No base.")


@pytest.mark.parametrize("begun", [False, True])
def test_20_every_rung_of_the_memory_ladder_is_a_valid_config(
    workspace: Workspace, store: RunStore, begun: bool
) -> None:
    row = failed(workspace, store, "out_of_memory", "The GPU ran out of memory.")
    if begun:
        make_checkpoint(row.run, 3)
    own = config(workspace, "one", train_batch_size=4, lora_rank=64, resolution=1024, optimizer_type="AdamW")
    ladder = remedies(row, own)
    assert len(ladder) >= 5
    for remedy in ladder:
        applied = apply(own, remedy, "one-2")
        assert parse_config(vars(applied)) == applied
        assert applied.output_name == ("one-2" if remedy.new_run else "one")
    assert ladder[0].values["micro_batch_size"] == 1
    assert ladder[-1].new_run == begun and set(ladder[0].values) <= set(ladder[-1].values)


def test_a_remedy_does_what_its_sentence_says_also_behind_one_that_is_left_out(
    workspace: Workspace, store: RunStore
) -> None:
    row = failed(workspace, store, "out_of_memory", "The GPU ran out of memory.")
    # Of so small an adapter the optimizer's state is worth no other run.
    own = config(
        workspace, "one", train_batch_size=1, gradient_checkpointing=False, optimizer_type="AdamW", lora_rank=16,
        resolution=1024, lora_target_modules=["attention.qkv"], base_model_path="nowhere",
    )  # fmt: skip
    before = vars(own)
    for remedy in remedies(row, own):
        assert remedy.sentence.partition(" = ")[0] in {n for n, v in remedy.values.items() if before[n] != v}
        before = {**before, **remedy.values}


def test_the_report_names_the_failure_and_hides_the_home_folder(
    workspace: Workspace, store: RunStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    row = failed(workspace, store, "internal", "ValueError: token=abcdef12345")
    text = report_of(row, probe=NO_TORCH)
    assert "status: failed" in text and "ValueError" in text and "gradio" in text
    assert str(tmp_path) not in text and "abcdef12345" not in text
