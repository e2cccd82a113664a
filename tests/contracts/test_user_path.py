from pathlib import Path

import pytest

from trainer_core.contracts.errors import UserError
from trainer_core.contracts.user_path import user_path


def test_home_is_expanded_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(tmp_path))
    assert user_path("~/a b") == tmp_path / "a b" and user_path("a/~") == Path("a/~")
    assert user_path("./~x") == Path("~x")


def test_nobodys_home_is_refused_by_name():
    with pytest.raises(UserError, match="known for ~of-nobody") as caught:
        user_path("~of-nobody/x")
    assert caught.value.code == "home_unknown"
