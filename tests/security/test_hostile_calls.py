"""Every event of the running page, called directly with values of wrong types and texts made to hurt."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from gui_app import ROOT, Application
from hostile_workspace import EVIL, SCRIPT, settled
from page_caller import PageCaller, Reply
from picture_files import png

from newbie_gui.runs.store import key_of
from trainer_core.contracts.config import options

SEED = 20_251_125
FILE = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
REMOTE = {"path": "http://evil.example/x.png", "url": "http://evil.example/x.png", "meta": {"_type": "gradio.FileData"}}
WRONG: tuple[Any, ...] = (
    None, True, -1, 10**30, 1.5, "nan", "", f"{SCRIPT}\0\ud800".encode("utf-8", "replace").decode(), "../../etc/passwd",
    [], [1, "a", None], {}, FILE, [FILE], {"a": FILE}, REMOTE, {"path": None, "meta": {"_type": "gradio.FileData"}},
    "[" * 5000, "x" * 100_000,
)  # fmt: skip


@pytest.fixture(scope="module")
def app(hostile_app: Application) -> Application:
    return hostile_app


@pytest.fixture(scope="module")
def page(app: Application) -> PageCaller:
    return PageCaller(app)


@pytest.fixture(autouse=True)
def alive_and_quiet(app: Application, page: PageCaller) -> Iterator[None]:
    """After each test: no traceback, no look-up, nothing copied into the uploads, nothing outside, still answering."""
    offset, outside = app.log_file.stat().st_size, around(app)
    yield
    log = app.log_text(offset)
    assert "Traceback" not in log and "Error" not in log, log
    assert app.foreign_lookups() == []
    assert not list(app.workspace.uploads.rglob("passwd")), "a file of the machine was copied where it can be fetched"
    assert around(app) == outside
    assert page.ask("GET", "")[0] == 200


def around(app: Application) -> set[str]:
    """What lies beside the workspace, and in the program's own folder."""
    beside = app.workspace.root.parent
    mine = {str(path) for path in beside.rglob("*") if not path.is_relative_to(app.workspace.root)}
    return mine | {str(path) for path in ROOT.iterdir()} | {str(path) for path in (ROOT / "newbie_gui").rglob("*.toml")}


def chosen(app: Application) -> dict[str, str]:
    """The hostile data set and run are what the page looks at."""
    named = dict.fromkeys(("dataset-choose", "dataset-shown", "dataset-name"), "set")
    return {**named, "train-selected": key_of(app.workspace.output / EVIL)}


def looks_only(event: dict[str, Any]) -> bool:
    """Shows something; what is clicked or uploaded does something, deletes what is to be shown among it."""
    return not {"click", "submit", "upload"} & {name for _, name in event["targets"]}


def one_wrong(app: Application, page: PageCaller, rng: random.Random, rounds: int) -> Iterator[list[Any]]:
    """Rounds over all events: in each, one control has a wrong value and the others what they begin with."""
    for _ in range(rounds):
        calls = []
        for event in page.events:
            values = page.defaults(event, chosen(app))
            if values:
                values[rng.randrange(len(values))] = rng.choice(WRONG)
                calls.append((event, values))
        yield calls


def all_wrong(page: PageCaller, value: Any) -> list[Any]:
    return [(event, [value] * len(event["inputs"])) for event in page.events if event["inputs"]]


def call(page: PageCaller, rounds: list[list[Any]]) -> int:
    """Returns how many calls were answered, each by a sentence or by values."""
    count = 0
    for number, calls in enumerate(rounds):
        value = WRONG[number % len(WRONG)]
        replies = page.call_all(calls, {"do": value, "on": value, "index": value})
        assert [reply for reply in replies if reply.failed == "an error without a word"] == []
        count += len(replies)
    return count


def hostile_pieces(value: Any) -> list[str]:
    text = json.dumps(value, ensure_ascii=False)
    return [piece for piece in ("<img src=x", "<script>alert") if piece in text]


def html_of(page: PageCaller, event: dict[str, Any], reply: Reply) -> list[Any]:
    """What the page would write as HTML; texts in other controls are no markup."""
    kinds = [page.components[one]["type"] for one in event["outputs"]]
    return [value for kind, value in zip(kinds, reply.data, strict=False) if kind in ("html", "markdown")]


def looked_at(app: Application, page: PageCaller) -> list[tuple[dict[str, Any], Reply]]:
    """What the page shows of the hostile data set and run."""
    events = [event for event in page.events if looks_only(event)]
    calls = [(event, page.defaults(event, chosen(app))) for event in events]
    return list(zip(events, page.call_all(calls, {"value": key_of(app.workspace.output / EVIL)}), strict=True))


def test_30_03_names_and_texts_stay_text_and_the_token_is_in_no_answer_log_or_file(app: Application, page: PageCaller):
    answers = looked_at(app, page)
    shown = [html for event, reply in answers for html in html_of(page, event, reply)]
    assert hostile_pieces(shown) == []
    assert "&lt;img src=x" in json.dumps(shown), "nothing hostile was shown at all"
    told = json.dumps([reply.data for _, reply in answers]) + page.ask("GET", "config")[1].decode()
    assert app.token not in told and app.token not in page.ask("GET", "")[1].decode()
    # The console alone has it, once, in the address to open.
    assert app.log_text().count(app.token) == 1
    holders = [path for path in app.workspace.root.rglob("*") if path.is_file() and holds(path, app.token)]
    assert [path.parent for path in holders] == [app.workspace.private] * len(holders)


def holds(path: Path, token: str) -> bool:
    return path.stat().st_size < 1 << 20 and token.encode() in path.read_bytes()


@pytest.mark.slow
def test_30_the_same_in_chinese(app: Application):
    page = PageCaller(app, "zh")
    shown = [html for event, reply in looked_at(app, page) for html in html_of(page, event, reply)]
    assert hostile_pieces(shown) == [] and "&lt;img src=x" in json.dumps(shown)


def test_every_endpoint_answers_wrong_types_in_words(
    app: Application, page: PageCaller, record_figure: Callable[[str, str], None]
):
    rng = random.Random(SEED)
    rounds = [all_wrong(page, FILE), all_wrong(page, None), *one_wrong(app, page, rng, 1)]
    tried = sum(map(len, rounds))
    assert len(page.events) > 100
    record_figure("hostile: endpoints x wrong types", f"{call(page, rounds)} / {tried}")


@pytest.mark.slow
def test_every_endpoint_with_every_wrong_value(
    app: Application, page: PageCaller, record_figure: Callable[[str, str], None]
):
    rounds = [*(all_wrong(page, value) for value in WRONG), *one_wrong(app, page, random.Random(SEED + 1), 30)]
    tried = sum(map(len, rounds))
    record_figure("hostile: endpoints x wrong types, long form", f"{call(page, rounds)} / {tried}")


BODIES: tuple[Any, ...] = (
    b"", b"{", b"[]", b"null", b'"x"', b"[" * 100_000, b'{"data":' * 50_000, {"data": None}, {"data": {}},
    {"data": [], "fn_index": -1}, {"data": [], "fn_index": 10**9}, {"data": [], "fn_index": "0"},
    {"data": [1] * 5000, "fn_index": 6}, {"data": [], "fn_index": 6}, {"fn_index": 6}, {"data": [], "api_name": "x"},
    {"data": [], "fn_index": 6, "session_hash": "../../x"}, {"data": [], "fn_index": 6, "event_data": [FILE]},
)  # fmt: skip


@pytest.mark.parametrize("route", ["gradio_api/run/predict", "gradio_api/queue/join", "gradio_api/call/predict"])
def test_a_body_that_is_none_is_refused(page: PageCaller, route: str):
    answers = [(str(body)[:60], *page.ask("POST", route, body)) for body in BODIES]
    assert [each for each in answers if each[1] >= 500 and "error" not in json.loads(each[2])] == []
    # The queue takes what names a page, and tells that page what is wrong with it.
    taken = [text for text, status, _ in answers if status < 400]
    assert taken == [] or (route.endswith("join") and ["session_hash" in text for text in taken] == [True])


def test_02_no_event_does_anything_without_the_token(app: Application, page: PageCaller):
    before = settled(app.workspace)
    routes = ("gradio_api/run/predict", "gradio_api/queue/join", f"gradio_api/call/{page.events[0]['api_name']}")
    for event in page.events:
        body = {"data": page.defaults(event, {}), "fn_index": event["id"], "session_hash": "stranger"}
        assert {page.ask("POST", route, body, let_in=False)[0] for route in routes} == {401}
    assert page.ask("POST", "gradio_api/upload", b"x", let_in=False)[0] == 401
    assert settled(app.workspace) == before


@pytest.mark.parametrize("value", [FILE, [FILE], REMOTE, {"a": [FILE]}], ids=str)
def test_23_no_control_takes_a_file_that_was_not_uploaded(app: Application, page: PageCaller, value: Any):
    """Gradio alone copies it into the uploads, from where it can be fetched, and fetches what is remote."""
    events = [page.named("dataset-choice", "change"), page.named("dataset-files", "upload")]
    for reply in page.call_all([(event, [value] * len(event["inputs"])) for event in events]):
        assert "passwd" not in json.dumps(reply.data) and "evil.example" not in json.dumps(reply.data)
    picked = page.named("train-runs", "select")
    [reply] = page.call_all([(picked, page.defaults(picked, {}))], {"value": value})
    assert reply.failed


def test_31_each_field_with_a_wrong_value_starts_no_run(app: Application, page: PageCaller):
    """By direct call of Start: the answer names the field, and no run folder is made."""
    start = page.named("train-start", "click")
    before = {path.name for path in app.workspace.output.iterdir()}
    ids = [page.components[one]["props"].get("elem_id") or "" for one in start["inputs"]]
    good = page.defaults(start, {"config-output_name": "never", "config-train_data_dir": "/nowhere"})
    calls, names = [], []
    for spec in options():
        if f"config-{spec.name}" in ids:
            wrong: Any = {"int": -7, "float": -7.5, "bool": "notbool", "list": 5}.get(spec.type, "\0")
            place = ids.index(f"config-{spec.name}")
            calls.append((start, [*good[:place], wrong, *good[place + 1 :]]))
            names.append(spec.name)
    replies = page.call_all(calls)
    assert len(calls) > 40
    quiet = [name for name, reply in zip(names, replies, strict=True) if not reply.failed and not reply.said]
    assert quiet == []
    assert {path.name for path in app.workspace.output.iterdir()} == before


def form(files: int, same: bool) -> tuple[bytes, str]:
    """A multipart body of so many tiny pictures, as a browser sends a folder: by base name, equal ones among them."""
    edge = "edge-of-the-form"
    parts = []
    for at in range(files):
        name = "same.png" if same else f"{at}.png"
        picture = png(1, 1, colour=2, depth=8, pixel=(at + 5000 * same).to_bytes(3, "big"))
        head = f'--{edge}\r\nContent-Disposition: form-data; name="files"; filename="{name}"\r\n'
        parts.append(head.encode() + b"Content-Type: image/png\r\n\r\n" + picture + b"\r\n")
    return b"".join(parts) + f"--{edge}--\r\n".encode(), f"multipart/form-data; boundary={edge}"


def test_24_twelve_hundred_files_are_uploaded_and_go_into_one_import(app: Application, page: PageCaller):
    sent: list[str] = []
    for count, same in ((1000, False), (200, True)):
        body, kind = form(count, same)
        status, answer = page.ask("POST", "gradio_api/upload", body, kind=kind)
        assert status == 200, answer[:500]
        sent += json.loads(answer)
    assert len(set(sent)) == 1200, "equal names were not kept apart"
    upload = page.named("dataset-directory", "upload")
    # What was tried before may have renamed it.
    (app.workspace.datasets / "set").mkdir(exist_ok=True)
    values = page.defaults(upload, {"dataset-choose": "set"})
    place = [page.components[one]["props"].get("elem_id") for one in upload["inputs"]].index("dataset-directory")
    values[place] = [{"path": path, "meta": {"_type": "gradio.FileData"}} for path in sent]
    [reply] = page.call_all([(upload, values)])
    assert not reply.failed and not reply.said
    [spec] = [job for job in map(spec_of, app.workspace.jobs.glob("*/job.json")) if len(job.get("files", ())) == 1200]
    assert (
        set(spec["files"]) == set(sent)
        and page.ask("POST", "gradio_api/upload", form(1001, True)[0], kind=kind)[0] == 400
    )


def spec_of(file: Path) -> dict[str, Any]:
    return json.loads(file.read_text(encoding="utf-8")).get("spec", {})
