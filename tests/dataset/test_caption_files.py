"""Captions in other encodings: how they are read."""

from pathlib import Path

import pytest

from trainer_core.dataset.caption_files import caption_of, read_caption, read_caption_file


@pytest.mark.parametrize(
    ("text", "encoding"),
    [("猫耳の女の子, 笑顔", "cp932"), ("猫, 少女, 微笑", "gbk"), ("ﾈ, 猫", "cp932"), ("café", "latin-1")],
)
def test_a_caption_that_is_no_utf_8_is_read_as_what_it_most_likely_is(text: str, encoding: str):
    found = caption_of(text.encode(encoding))
    assert (found.text, found.state) == (text, "encoding")


def test_the_page_reads_what_a_training_reads(tmp_path: Path):
    file = tmp_path / "a.txt"
    file.write_bytes(b"\xef\xbb\xbf 1girl\r\nsmile\rcat\n")
    assert read_caption_file(file).text == read_caption(file) == "1girl\nsmile\ncat"
