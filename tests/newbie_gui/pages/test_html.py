"""The pieces of HTML that several tabs are made of."""

from markupsafe import Markup

from newbie_gui.pages.html import Cell, bar, bullets, button, digest, table


def test_a_table_escapes_its_texts_and_names_rows_and_columns():
    html = table(["", "a<b"], [("x&y", Cell("<i>", "bad"), Markup("<b>1</b>"))], kind="k", box="scrolls", caption="c")
    assert html == (
        '<div class="table-box scrolls" tabindex="0"><table class="k"><caption>c</caption>'
        '<thead><tr><td></td><th scope="col">a&lt;b</th></tr></thead>'
        '<tbody><tr><th scope="row">x&amp;y</th><td class="bad">&lt;i&gt;</td><td><b>1</b></td></tr></tbody>'
        "</table></div>"
    )


def test_without_heads_a_table_has_no_head():
    assert table([], [("a", 1)]) == (
        '<div class="table-box"><table><tbody><tr><th scope="row">a</th><td>1</td></tr></tbody></table></div>'
    )


def test_nothing_makes_no_list():
    assert bullets([]) == "" and "<li>a&amp;b</li>" in bullets(["a&b"])


def test_a_digest_tells_parts_apart_also_where_a_file_name_is_not_text():
    assert digest("a", "b") == digest("a", "b") != digest("ab") and digest("\udcff")


def test_a_bar_is_never_more_than_full():
    assert [bar(*figures, "<x>")[25:30] for figures in ((1, 0), (1, 4), (5, 4))] == ["0.000", "0.250", "1.000"]
    assert 'aria-label="&lt;x&gt;"' in bar(0, 0, "<x>")


def test_a_button_says_what_it_does_and_to_what():
    html = button("pin", '"3', "Keep", "Keep step 3", event="input", disabled=True)
    assert 'data-do="pin" data-on="&#34;3" data-event="input" aria-label="Keep step 3" disabled>Keep<' in html
    assert button("stop", "x", "Stop").endswith('data-do="stop" data-on="x">Stop</button>')
