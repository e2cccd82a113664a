"""What was set last stays."""

from newbie_gui.newest import Newest


def test_the_oldest_goes_and_what_is_set_anew_is_new() -> None:
    kept = Newest[str, int](2)
    for key in "aba":
        kept[key] = ord(key)
    kept["c"] = 1
    assert list(kept) == ["a", "c"] and kept["a"] == ord("a")
