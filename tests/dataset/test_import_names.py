import pytest

from trainer_core.dataset.import_names import decoded_zip_names, free_stem, is_junk, safe_name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("猫 ü.png", "猫 ü.png"),
        ("e\u0301.png", "\u00e9.png"),
        ("a/b:c?.png", "a_b_c_.png"),
        ("..hidden.png", "hidden.png"),
        (".png", "png"),
        ("con.png", "_con.png"),
        ("dot. .png", "dot.png"),
        ("???.png", "___.png"),
        ("a\ud800.png", "a_.png"),
        ("x" * 300 + ".png", "x" * 180 + ".png"),
        ("猫" * 100 + ".png", "猫" * 60 + ".png"),
    ],
)
def test_names_are_made_safe(name: str, safe: str):
    assert safe_name(name) == safe


def test_free_stems_are_free_in_any_case_and_form():
    assert free_stem("A", {"a", "a-2"}) == "A-3"
    assert free_stem("e\u0301", {"\u00e9"}) == "e\u0301-2"
    assert free_stem("b", {"a"}) == "b"


@pytest.mark.parametrize("encoding", ["utf-8", "cp932", "gb18030", "cp437"])
def test_names_of_zips_from_everywhere(encoding: str):
    names = {
        "utf-8": ["猫/少女.png"],
        "cp932": ["ねこ/少女 ソ.png", "plain.png"],
        "gb18030": ["训练集/少女.png", "描述文字.txt"],
        "cp437": ["café.png", "plain.png"],
    }[encoding]
    assert decoded_zip_names([name.encode(encoding) for name in names]) == names


def test_junk_of_systems_is_known():
    assert all(map(is_junk, ["Thumbs.db", "a/.DS_Store", "__MACOSX/a.png", "a/._b.png", "desktop.ini"]))
    assert not is_junk("a/b.png")
