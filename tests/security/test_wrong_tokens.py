"""Ten wrong tokens a minute from one address, in bounded memory."""

import pytest
from starlette.responses import PlainTextResponse
from starlette.testclient import TestClient

from newbie_gui.security import AccessRules, Guard, cookie_name
from newbie_gui.wrong_tokens import LIMIT, MOST_ADDRESSES, WrongTokens

TOKEN = "a-token-of-this-start-0123456789abcdef"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(clock: Clock):
    return Guard(PlainTextResponse("inside"), AccessRules(token=TOKEN), clock)


def client(app, address: str = "10.0.0.7", **options) -> TestClient:
    return TestClient(app, base_url="http://localhost", client=(address, 1), follow_redirects=False, **options)


def status(client: TestClient, path: str = "/", **headers: str) -> int:
    return client.get(path, headers=headers).status_code


@pytest.mark.parametrize("way", ["url", "bearer", "cookie"])
def test_10_the_eleventh_wrong_token_is_answered_429(app, way: str):
    def attempt(number: int) -> int:
        wrong = f"wrong{number}"
        if way == "cookie":
            return status(client(app), Cookie=f"{cookie_name(80)}={wrong}")
        return status(client(app), f"/?token={wrong}") if way == "url" else status(client(app), Authorization=wrong)

    assert [attempt(number) for number in range(12)] == [401] * 10 + [429] * 2


def test_10_the_same_wrong_token_counts_as_well(app):
    assert [status(client(app), "/?token=wrong") for _ in range(11)][-2:] == [401, 429]


def test_10_a_locked_address_is_not_let_in_by_the_right_token_until_a_minute_is_over(app, clock: Clock):
    for number in range(10):
        status(client(app), f"/?token={number}")
    locked = client(app).get(f"/?token={TOKEN}")
    assert locked.status_code == 429 and locked.headers["retry-after"] == "60"
    assert "Wait a minute" in locked.text and "等待一分钟" in locked.text
    assert status(client(app, "10.0.0.8"), f"/?token={TOKEN}") == 303
    clock.now += 60.5
    assert status(client(app), f"/?token={TOKEN}") == 303


def test_10_who_is_already_in_stays_in(app):
    for number in range(11):
        status(client(app), f"/?token={number}")
    assert status(client(app), Cookie=f"{cookie_name(80)}={TOKEN}") == 200


def test_10_a_tab_left_open_over_a_restart_locks_nobody_out(app):
    assert {status(client(app), Cookie=f"{cookie_name(80)}=of-last-time") for _ in range(100)} == {401}
    assert status(client(app), f"/?token={TOKEN}") == 303


def test_10_no_token_at_all_is_no_guess(app):
    assert {status(client(app)) for _ in range(30)} == {401}


def test_10_one_ipv6_machine_is_one_address(clock: Clock):
    wrong = WrongTokens(clock)
    for number in range(LIMIT):
        wrong.note(f"2001:db8::{number}", None)
    assert wrong.wait_s("2001:db8::ffff") == 60 and wrong.wait_s("2001:db8:0:1::1") == 0


def test_10_memory_is_bounded(clock: Clock):
    wrong = WrongTokens(clock)
    for number in range(3 * MOST_ADDRESSES):
        wrong.note(f"host{number}", None)
    assert len(wrong._failures) == MOST_ADDRESSES
    assert wrong.wait_s("host0") == 0
