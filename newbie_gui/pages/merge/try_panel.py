"""Try it: pictures with and without the LoRAs, from one seed."""

from contextlib import suppress
from functools import partial
from typing import Any

import gradio as gr

from newbie_gui.formatting import GIB
from newbie_gui.pages.merge.choose_panel import ChoosePanel, Values
from newbie_gui.pages.merge.plans import STRENGTH, choice, try_spec
from newbie_gui.pages.merge.render import memory_view
from newbie_gui.pages.ui import QUIET, Ui
from trainer_core.contracts.jobdir import LIGHT
from trainer_core.contracts.sampling_limits import CFG, SHIFT, SIDE, STEPS
from trainer_core.planning.base_check import BaseReport, check_base

# By whether the base is of the built-in one's kind; a merged copy of it is too. The real transformer has 7 GB.
_SIDES = {True: 128, False: 1024}
_SMALL = GIB
# What was typed, by field: a reload, a restart and the other language find it again.
_REMEMBERED = "merge.try"
_CPU = "cpu"


class TryPanel:
    start: gr.Button
    memory: gr.HTML

    def __init__(self, ui: Ui, choose: ChoosePanel) -> None:
        self._ui = ui
        self._choose = choose
        self.fields: dict[str, Any] = {}

    def place(self) -> None:
        t = self._ui.t
        fields = self.fields
        with gr.Accordion(t("merge.try"), open=True, elem_id="merge-try"):
            gr.Markdown(t("merge.try.help"))
            fields["prompt"] = gr.Textbox(
                "", lines=2, max_lines=6, label=t("merge.try.prompt"), info=t("merge.try.prompt.help"),
                elem_id="merge-try-prompt",
            )  # fmt: skip
            with gr.Row():
                for name, value in (("half", 0.5), ("full", 1.0)):
                    fields[name] = gr.Slider(
                        *STRENGTH, value=value, step=0.05, label=t(f"merge.try.{name}"),
                        info=t("merge.try.strength.help"), elem_id=f"merge-try-{name}", min_width=200,
                    )  # fmt: skip
            with gr.Row():
                fields["seed"] = _number(t("merge.try.seed"), 42, "seed")
                devices = [(t("merge.try.cpu"), _CPU)]
                devices += [
                    (t("merge.try.gpu", number=gpu.index, name=gpu.name), f"gpu:{gpu.index}")
                    for gpu in self._ui.machine.now().gpus
                ]
                fields["device"] = gr.Radio(
                    devices, value=_CPU, label=t("merge.try.device"), info=t("merge.try.device.help"),
                    elem_id="merge-try-device", min_width=240,
                )  # fmt: skip
            self._place_more()
            self.memory = gr.HTML(elem_id="merge-try-memory")
            self.start = gr.Button(t("merge.try.start"), elem_id="merge-try-start")

    def _place_more(self) -> None:
        t = self._ui.t
        fields = self.fields
        with gr.Accordion(t("merge.try.more"), open=False, elem_id="merge-try-more"):
            fields["negative"] = gr.Textbox("", label=t("merge.try.negative"), elem_id="merge-try-negative")
            with gr.Row():
                fields["width"] = _number(t("merge.try.width"), 1024, "width", step=SIDE[2])
                fields["height"] = _number(t("merge.try.height"), 1024, "height", step=SIDE[2])
                fields["steps"] = _number(t("merge.try.steps"), STEPS[2], "steps")
                fields["cfg"] = _number(t("merge.try.cfg"), CFG[2], "cfg", step=0.1)
                fields["shift"] = _number(t("merge.try.shift"), SHIFT[2], "shift", step=0.1)

    @property
    def inputs(self) -> set[Any]:
        return set(self.fields.values())

    def wire(self) -> None:
        for name, field in self.fields.items():
            field.input(partial(self._kept, name), field, None, trigger_mode="always_last", **QUIET)

    def _kept(self, name: str, value: Any) -> None:
        with suppress(OSError):
            # The next change tries again; to say it at each press of a key would be worse.
            self._ui.remember.amend(_REMEMBERED, {name: value})

    def filled(self, base: str) -> dict[Any, Any]:
        """Values for a fresh page: what was typed last; else sizes that suit the base."""
        kept = self._ui.remember.get(_REMEMBERED)
        values = {name: value for name, value in kept.items() if name in self.fields} if isinstance(kept, dict) else {}
        if values.get("device") not in [value for _, value in self.fields["device"].choices]:
            values["device"] = _CPU
        typed = {self.fields[name]: value for name, value in values.items()}
        return {**self.sized(check_base({"base_model_path": base}), None), **typed}

    def sized(self, report: BaseReport, side: object) -> dict[Any, Any]:
        """The usual size of the base, unless another than the other kind's usual one was typed."""
        usual = _SIDES[0 < report.size < _SMALL]
        if side not in (None, *_SIDES.values()) or side == usual:
            return {}
        return {self.fields["width"]: usual, self.fields["height"]: usual}

    def looked(self, values: Values, report: BaseReport) -> dict[Any, Any]:
        """What painting asks of main memory."""
        on_cpu = values[self.fields["device"]] == _CPU and report.usable
        return {self.memory: str(memory_view(self._ui, report)) if on_cpu else ""}

    def asked(self, values: Values) -> dict[str, Any]:
        """The fields by name."""
        return {name: values[field] for name, field in self.fields.items()}

    def go(self, values: Values) -> dict[Any, Any]:
        """Queue the job. Raises UserError."""
        ui = self._ui
        stack = self._choose.stack(values)
        asked = self.asked(values)
        devices = [value for _, value in self.fields["device"].choices]
        device = choice(ui.t, "merge.try.device", asked["device"], devices)
        spec = try_spec(ui.t, stack, {**asked, "strengths": [asked["half"], asked["full"]]})
        spec["device"] = "cpu" if device == _CPU else "cuda"
        title = ui.t("merge.title.try", prompt=" ".join(spec["prompt"].split())[:60])
        ui.queue.add("try", title, spec, resources=(LIGHT if device == _CPU else device,))
        gr.Info(ui.t("merge.queued", title=title))
        return {}


def _number(label: str, value: float, name: str, step: float = 1) -> gr.Number:
    """Without limits: Gradio would refuse what lies beyond them, at each key pressed on the way to a number that fits,
    before `try_spec` can say what they are."""
    return gr.Number(
        value, label=label, step=step, elem_id=f"merge-try-{name}", min_width=110, precision=0 if step >= 1 else None,
    )  # fmt: skip
