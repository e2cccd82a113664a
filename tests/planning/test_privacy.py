"""What must not be pasted in public does not reach the page; what looks alike stays readable."""

from pathlib import Path, PureWindowsPath

import pytest

from trainer_core.planning.privacy import HIDDEN, environment_value, scrubbed, user_names


def clean(text: str, home: str = "/home/anna", names: tuple[str, ...] = ("anna",)) -> str:
    return scrubbed(text, home=Path(home), names=names)


@pytest.mark.parametrize(
    "text",
    [
        "hf_AbCdEfGhIjKlMnOpQr failed",
        "https://me:pa55word@proxy.example/x",
        "https://pa55word@proxy.example/x",
        "HTTPS_PROXY=http://me:p@pa55word@proxy:80",
        "Authorization: Bearer abcdefghijkl",
        'wandb_key = "abcdefghijkl"',
        "my_api_key: abcdefghijkl",
        '{"access_token": "abcdefghijkl"}',
    ],
)
def test_secrets_are_hidden(text: str):
    told = clean(text)
    assert HIDDEN in told and not any(secret in told for secret in ("AbCdEfGh", "pa55word", "abcdefghijkl"))


@pytest.mark.parametrize(
    "text", ["keep_tokens = 3", "max_gemma_tokens = 512", "tokenizers 0.23.3", "key: 1", "annabel"]
)
def test_what_is_no_secret_stays(text: str):
    assert clean(text) == text


def test_home_and_name_are_taken_out():
    assert clean("/home/anna/x and /home/annabel and /mnt/Anna/y, anna@pc") == (
        "~/x and /home/annabel and /mnt/<user>/y, <user>@pc"
    )


def test_windows_homes_are_found_in_every_spelling(monkeypatch: pytest.MonkeyPatch):
    home = PureWindowsPath(r"C:\Users\anna")
    monkeypatch.setattr(PureWindowsPath, "resolve", lambda self: self, raising=False)
    for written in (r"c:\users\Anna\data", "C:/Users/anna/data", r"C:\\Users\\anna\\data"):
        assert "nna" not in scrubbed(written, home=home, names=()) and "~" in scrubbed(written, home=home, names=())  # type: ignore[arg-type]


def test_names_that_say_nothing_are_not_replaced():
    assert "root" not in user_names(Path("/root")) and "anna" in user_names(Path("/home/anna"))


def test_secret_variables_show_only_that_they_are_set():
    assert environment_value("HF_TOKEN", "x") == environment_value("WANDB_API_KEY", "x") == HIDDEN
    assert environment_value("HF_TOKEN", "") == "" and environment_value("HF_HOME", "/x") == "/x"
