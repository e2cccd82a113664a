"""A page that looks at what an event brings before Gradio does.

Gradio believes a value of the form ``{"path": ...}`` in the place of any control: on a page that is mounted, as ours
are, it copies that file, whichever it is, into the folder of uploads and serves it, and it fetches what begins with
http. And whatever a control refuses ends as a traceback in the log.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

# What Gradio's controls raise for values that they cannot hold; its own errors are ValueErrors.
_REFUSALS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError, OSError)


class CheckedBlocks(gr.Blocks):
    """Takes only values that its controls can hold, and only files that were uploaded.

    Args:
        uploads: the folder that Gradio keeps uploads in.
        refusal: what the browser is told about anything else; "{name}" in it becomes the control's label.
    """

    def __init__(self, uploads: Path, refusal: str, **options: Any) -> None:
        super().__init__(**options)
        self._uploads = uploads.resolve()
        self._refusal = refusal

    async def preprocess_data(self, block_fn: Any, inputs: list[Any], *args: Any, **kwargs: Any) -> Any:
        """As Gradio's. Raises gr.Error, without a traceback in the log, where a value is not fit."""
        if block_fn.fn is None:
            # What the browser does by itself; only somebody else asks for it here.
            raise self._refused("")
        try:
            require_uploaded(inputs, self._uploads)
            return await super().preprocess_data(block_fn, inputs, *args, **kwargs)
        except _REFUSALS as error:
            raise self._refused(_culprit(block_fn.inputs, inputs, self._uploads)) from error

    async def call_function(self, *args: Any, **kwargs: Any) -> Any:
        """As Gradio's, for events whose own data names no file either."""
        told = [each._data for each in (*args, *kwargs.values()) if isinstance(each, gr.EventData)]
        try:
            require_uploaded(told, self._uploads)
        except _REFUSALS as error:
            raise self._refused("") from error
        return await super().call_function(*args, **kwargs)

    async def postprocess_data(self, block_fn: Any, predictions: Any, state: Any) -> list[Any]:
        """As Gradio's; what it puts in a control's place in a session keeps that control's id.

        For every update, `gr.skip()` too, Gradio makes the control anew, with an id of its own, and the next event that
        reads the control enters it under this id as well: a session whose page stays open grew with each tick.
        """
        answer = await super().postprocess_data(block_fn, predictions, state)
        if state is not None:
            for control in block_fn.outputs:
                if not control.stateful and control._id in state:
                    state[control._id]._id = control._id
        return answer

    def _refused(self, name: str) -> gr.Error:
        return gr.Error(self._refusal.format(name=name or "?"), print_exception=False)


def _culprit(controls: Sequence[Any], values: Sequence[object], uploads: Path) -> str:
    """The label of the first control that cannot hold its value; "" where none is to blame alone."""
    for control, value in zip(controls, values, strict=False):
        try:
            require_uploaded(value, uploads)
            control.preprocess(value)
        except _REFUSALS:
            return str(getattr(control, "label", None) or "")
    return ""


def require_uploaded(value: object, uploads: Path) -> None:
    """Raises ValueError for a file that does not lie below ``uploads`` (resolved), wherever in ``value`` it stands."""
    for path in _paths(value):
        if "\0" in path or uploads not in Path(path).resolve().parents:
            raise ValueError("not a file that was uploaded")


def _paths(value: object) -> Iterator[str]:
    """What Gradio may take for files: the "path" of every dictionary. Without recursion: nesting is the sender's."""
    left = [value]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            if "path" in one:
                yield str(one["path"])
            left.extend(one.values())
        elif isinstance(one, list | tuple):
            left.extend(one)
