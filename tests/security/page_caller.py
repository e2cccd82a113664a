"""Calls every event of a running page as a script would that holds the token: by the page's own config, no browser."""

import http.client
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from gui_app import Application

from newbie_gui.security import cookie_name


@dataclass(frozen=True, kw_only=True)
class Reply:
    """How an event ended. ``failed``: its error, "" for none; ``said``: the toasts; ``data``: its outputs."""

    failed: str
    said: tuple[str, ...] = ()
    data: tuple[Any, ...] = ()


class PageCaller:
    """One page (``lang``) of the app. ``events``: those that the server answers, as the page's config lists them."""

    def __init__(self, app: Application, lang: str = "en") -> None:
        self._app = app
        self._lang = lang
        port = int(app.base.rpartition(":")[2])
        self._cookie = {"Cookie": f"{cookie_name(port)}={app.token}"}
        self._session = 0
        config = json.loads(self.ask("GET", "config")[1])
        self.components: dict[int, dict[str, Any]] = {each["id"]: each for each in config["components"]}
        self.events: list[dict[str, Any]] = [each for each in config["dependencies"] if each["backend_fn"]]

    def ask(
        self, method: str, path: str, body: Any = None, *, let_in: bool = True, kind: str = "application/json"
    ) -> tuple[int, bytes]:
        """One request below the page's address, with the token or without; ``kind``: what the body is.

        A body of bytes, or of an iterator of bytes (chunked), goes as it is; anything else as JSON.
        """
        headers = {"Content-Type": kind, **(self._cookie if let_in else {})}
        data = body if isinstance(body, bytes | Iterator) else json.dumps(body).encode()
        connection = http.client.HTTPConnection(self._app.base.removeprefix("http://"), timeout=60)
        with closing(connection):
            connection.request(method, f"/{self._lang}/{path}", None if body is None else data, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def defaults(self, event: Mapping[str, Any], chosen: Mapping[str, Any]) -> list[Any]:
        """The values that the page begins with; ``chosen``: others, by elem_id."""
        props = [self.components[one]["props"] for one in event["inputs"]]
        return [chosen.get(prop.get("elem_id"), prop.get("value")) for prop in props]

    def named(self, elem_id: str, target: str) -> dict[str, Any]:
        """The event of a control, such as ("train-start", "click")."""
        own = {key for key, each in self.components.items() if each["props"].get("elem_id") == elem_id}
        return next(e for e in self.events if any(one in own and name == target for one, name in e["targets"]))

    def call_all(self, calls: Sequence[tuple[Mapping[str, Any], list[Any]]], event_data: Any = None) -> list[Reply]:
        """Raise these events with these values; those that wait in Gradio's queue all at once."""
        self._session += 1
        session = f"session{self._session}"
        replies: dict[int, Reply] = {}
        waiting: dict[str, int] = {}
        for place, (event, values) in enumerate(calls):
            body = {
                "data": values, "fn_index": event["id"], "session_hash": session, "trigger_id": event["targets"][0][0],
                "event_data": event_data if event["collects_event_data"] else None,
            }  # fmt: skip
            if not event["queue"]:
                status, answer = self.ask("POST", "gradio_api/run/predict", body)
                replies[place] = _reply_of(status, json.loads(answer))
                continue
            status, answer = self.ask("POST", "gradio_api/queue/join", body)
            assert status == 200, answer
            waiting[json.loads(answer)["event_id"]] = place
        replies |= self._wait(session, waiting)
        return [replies[place] for place in range(len(calls))]

    def _wait(self, session: str, waiting: dict[str, int]) -> dict[int, Reply]:
        replies: dict[int, Reply] = {}
        said: dict[str, list[str]] = {}
        if not waiting:
            return {}
        connection = http.client.HTTPConnection(self._app.base.removeprefix("http://"), timeout=60)
        deadline = time.monotonic() + 120
        with closing(connection):
            path = f"/{self._lang}/gradio_api/queue/data?session_hash={session}"
            connection.request("GET", path, headers=self._cookie)
            for line in connection.getresponse():
                assert time.monotonic() < deadline, f"no answer for {waiting}"
                message = json.loads(line[5:]) if line.startswith(b"data:") else {}
                told = message.get("event_id")
                if message.get("msg") == "log":
                    said.setdefault(told, []).append(message["log"])
                if message.get("msg") == "process_completed" and told in waiting:
                    made = _reply_of(200 if message["success"] else 500, message["output"])
                    replies[waiting.pop(told)] = Reply(
                        failed=made.failed, said=tuple(said.get(told, ())), data=made.data
                    )
                    if not waiting:
                        return replies
        raise AssertionError(f"the stream ended before {waiting}")


def _reply_of(status: int, answer: Mapping[str, Any]) -> Reply:
    if status == 200:
        return Reply(failed="", data=tuple(answer.get("data", ())))
    return Reply(failed=str(answer.get("error") or "an error without a word"))
