"""The pieces of HTML that several tabs are made of; every text is escaped by Markup.format."""

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

# For a gr.HTML: a click on <button data-do="..." data-on="..."> in it becomes the event "select", or the one that
# data-event names, with both. The list may be drawn anew at any moment: the button that was pressed may be gone, or
# another row's, when the finger is lifted.
CLICKS = """
(() => {
  const at = (event) => event.target.closest('button[data-do]:enabled');
  const of = (button) => ({do: button.dataset.do, on: button.dataset.on});
  const tell = (button, told) => trigger(button.dataset.event || 'select', told);
  let button = null, pressed = null;
  element.addEventListener('pointerdown', (event) => { button = at(event); pressed = button && of(button); });
  element.addEventListener('pointerup', (event) => {
    if (pressed && !button.isConnected && at(event)) tell(button, pressed);
  });
  element.addEventListener('click', (event) => {
    // The keyboard presses no pointer.
    if (at(event)) tell(at(event), (event.detail && pressed) || of(at(event)));
  });
})();
"""


@dataclass(frozen=True)
class Cell:
    """A table's cell with a class of its own."""

    content: object
    kind: str


def table(
    heads: Iterable[str], rows: Iterable[Sequence[object]], *, kind: str = "", box: str = "", caption: str = ""
) -> Markup:
    """A table that scrolls sideways where it is too wide. The first cell of each row is its heading.

    Args:
        heads: of the columns, "" for a corner that says nothing; none at all leaves them out.
        rows: cells are texts, Markup or a `Cell`.
        kind: the table's class.
        box: one more class of what scrolls, which the keyboard can scroll then as well.
    """
    columns = Markup("").join(
        Markup('<th scope="col">{}</th>').format(head) if head else Markup("<td></td>") for head in heads
    )
    return Markup('<div class="table-box{}"{}><table{}>{}{}<tbody>{}</tbody></table></div>').format(
        f" {box}" if box else "",
        Markup(' tabindex="0"') if box else "",
        Markup(' class="{}"').format(kind) if kind else "",
        Markup("<caption>{}</caption>").format(caption) if caption else "",
        Markup("<thead><tr>{}</tr></thead>").format(columns) if columns else "",
        Markup("").join(map(_row, rows)),
    )


def _row(cells: Sequence[object]) -> Markup:
    first, *others = cells
    return Markup('<tr><th scope="row">{}</th>{}</tr>').format(first, Markup("").join(map(_cell, others)))


def _cell(cell: object) -> Markup:
    if isinstance(cell, Cell):
        return Markup('<td class="{}">{}</td>').format(cell.kind, cell.content)
    return Markup("<td>{}</td>").format(cell)


def bullets(items: Iterable[str], kind: str = "") -> Markup:
    """A list, of the class ``kind``; nothing for none."""
    listed = Markup("").join(Markup("<li>{}</li>").format(item) for item in items)
    open_ = Markup('<ul class="{}">').format(kind) if kind else Markup("<ul>")
    return open_ + listed + Markup("</ul>") if listed else Markup("")


def note(kind: str, *parts: str, role: str = "") -> Markup:
    """A framed remark: kind is "good", "warning", "error" or ""; ``role`` is for screen readers."""
    spoken = Markup(' role="{}"').format(role) if role else ""
    return Markup('<div class="note {}"{}>{}</div>').format(kind, spoken, Markup(" ").join(parts))


def bar(done: float, total: float, label: str) -> Markup:
    """How far something is, empty where ``total`` is 0; ``label`` is for screen readers."""
    share = min(max(done / total, 0.0), 1.0) if total else 0.0
    return Markup('<progress max="1" value="{}" aria-label="{}"></progress>').format(f"{share:.3f}", label)


def button(do: str, on: object, text: str, label: str = "", *, disabled: bool = False, event: str = "") -> Markup:
    """What `CLICKS` listens to; ``label`` is for screen readers, where the text alone says too little."""
    extras = Markup("").join(
        Markup(' {}="{}"').format(name, value)
        for name, value in (("data-event", event), ("aria-label", label))
        if value
    )
    return Markup('<button type="button" class="small-button" data-do="{}" data-on="{}"{}{}>{}</button>').format(
        do, on, extras, Markup(" disabled") if disabled else "", text
    )


def download(url: str, text: str, label: str = "") -> Markup:
    """A link to a file of ours; ``label`` as of `button`."""
    spoken = Markup(' aria-label="{}"').format(label) if label else ""
    return Markup('<a class="small-button" href="{}" download{}>{}</a>').format(url, spoken, text)


def fact_list(rows: Iterable[tuple[str, object]], kind: str) -> Markup:
    """Names with their values, as a list of the class ``kind``."""
    items = Markup("").join(Markup("<dt>{}</dt><dd>{}</dd>").format(*row) for row in rows)
    return Markup('<dl class="{}">{}</dl>').format(kind, items)


def digest(*parts: object) -> str:
    """Short, and different whenever any part is: by it a page tells what it has."""
    return hashlib.blake2s(repr(parts).encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
