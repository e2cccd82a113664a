"""Filling a page that somebody may be using already: what was chosen before the answer came stays."""

from collections.abc import Mapping, Sequence
from typing import Any

import gradio as gr
from gradio.components import FormComponent

from newbie_gui.pages.ui import QUIET, hidden
from trainer_core.contracts.fsutil import json_text

# In the browser, in one go: only there it is known what is chosen at the moment of filling. What is undefined stays.
_FILL = """(wanted, ...now) => {
  const fields = wanted ? JSON.parse(wanted) : [];
  const touched = fields.filter(({ begun }, at) => (now[at] ?? '') !== (begun ?? '')).map(({ group }) => group);
  const left = new Set(touched);
  return now.map((_, at) => (fields[at] && !left.has(fields[at].group) ? fields[at].value : undefined));
}"""


class Filling:
    """Place it with the components; what `wanted` gives goes into ``box``, and the fields follow.

    Args:
        groups: fields that belong together: none of them is filled where one holds no more what the page began with.
    """

    box: gr.Textbox

    def __init__(self, groups: Sequence[Sequence[FormComponent]], elem_id: str) -> None:
        self._fields = [(field, number) for number, group in enumerate(groups) for field in group]
        self.box = hidden(elem_id)

    def wire(self) -> None:
        fields = [field for field, _ in self._fields]
        self.box.change(None, [self.box, *fields], fields, js=_FILL, **QUIET)

    def wanted(self, values: Mapping[Any, Any]) -> str:
        """The text for ``box`` that fills these values (JSON, by field) in; fields without one stay."""
        return json_text(
            [
                {"begun": field.value, "group": number, **({"value": values[field]} if field in values else {})}
                for field, number in self._fields
            ]
        )
