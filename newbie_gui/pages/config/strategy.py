"""The strategies: which one suits this machine and why, and what choosing another one would do."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup

from newbie_gui.formatting import cut
from newbie_gui.pages.config.form import default_values, to_form, values_from
from newbie_gui.pages.html import bullets, note
from newbie_gui.pages.ui import Ui
from newbie_gui.strategies import base_of, presets, proposed_values, starting_values, taken_back
from trainer_core.planning.hardware import Machine
from trainer_core.planning.presets import Choice, Preset, choose, reserve_gib


@dataclass(frozen=True, kw_only=True)
class StrategyPlan:
    """One strategy for this machine: what it sets, whether it fits, and why, as the engine's sentences."""

    preset: Preset
    proposed: bool
    fits: bool
    sentences: tuple[str, ...]
    values: Mapping[str, Any]


def new_values(ui: Ui) -> dict[str, Any]:
    """A new form's values: what suits this machine over the defaults, and the data set where there is only one."""
    values = {**default_values(ui.workspace), **starting_values(ui.machine.now())}
    folders = [folder for _, folder in ui.datasets.choices()]
    return {**values, "train_data_dir": folders[0]} if len(folders) == 1 else values


def titles(ui: Ui) -> list[tuple[str, str]]:
    """(title, name) of every strategy, the least demanding first."""
    return [(title_of(preset, ui), preset.name) for preset in presets()]


def title_of(preset: Preset, ui: Ui) -> str:
    return ui.t.pick((preset.title, preset.title_zh))


def plan_for(machine: Machine, name: str | None = None, form: Mapping[str, Any] | None = None) -> StrategyPlan:
    """The strategy of that name for this machine; the proposed one for no name or an unknown one.

    form: what it would be put into; what another strategy left there is part of what this one sets.
    """
    choice, shown = choose(machine, presets()), values_from(form or {})
    chosen = next((preset for preset in presets() if preset.name == name), choice.preset)
    if chosen is choice.preset:
        return StrategyPlan(
            preset=chosen, proposed=True, fits=choice.fits, sentences=choice.sentences,
            values={**taken_back(chosen, shown), **proposed_values(choice)},
        )  # fmt: skip
    return StrategyPlan(
        preset=chosen, proposed=False, fits=_fits(chosen, machine), sentences=_why_not(choice, chosen),
        values={**taken_back(chosen, shown), **chosen.values, **base_of(chosen)},
    )  # fmt: skip


def changed_by(plan: StrategyPlan, form: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Setting -> (shown now, shown then) for each that the strategy would change in a form."""
    now = to_form(values_from(form))
    return {name: (now.get(name), value) for name, value in to_form(plan.values).items() if now.get(name) != value}


def render_plan(plan: StrategyPlan, form: Mapping[str, Any], ui: Ui) -> Markup:
    """Why it is proposed, or why not; and what it would change."""
    sentences = bullets(map(ui.translate, plan.sentences), "config-list")
    if not plan.fits:
        head, kind = ui.t("config.strategy.short"), "warning"
    elif plan.proposed:
        head, kind = ui.t("config.strategy.proposed"), "good"
    else:
        head, kind = ui.t("config.strategy.other"), ""
    mark = "⚠ " if kind == "warning" else "✓ " if kind == "good" else ""
    reason = note(kind, Markup("<strong>{}{}</strong>").format(mark, head), sentences)
    return Markup("<div>{}{}</div>").format(reason, _changes(plan, form, ui))


def _changes(plan: StrategyPlan, form: Mapping[str, Any], ui: Ui) -> Markup:
    changed = changed_by(plan, form)
    if not changed:
        return Markup("<p class='muted'>{}</p>").format(ui.t("config.strategy.same"))
    lines = [
        ui.t("config.strategy.was", name=ui.t(f"options.{name}"), old=_short(old, ui), new=_short(new, ui))
        for name, (old, new) in changed.items()
    ]
    title = ui.t("config.strategy.changes", count=len(changed))
    return Markup("<details data-key='changes'><summary>{}</summary>{}</details>").format(
        title, bullets(lines, "config-list")
    )


def _short(value: Any, ui: Ui) -> str:
    if isinstance(value, bool):
        return ui.t("frame.yes") if value else ui.t("frame.no")
    text = "–" if value in (None, "") else str(value).replace("\n", ", ")
    return cut(text, 80)


def _fits(preset: Preset, machine: Machine) -> bool:
    if preset.device == "cpu":
        return True
    needed = preset.needs_gib + reserve_gib(machine)
    return any(gpu.free_mib / 1024 >= needed for gpu in machine.gpus)


def _why_not(choice: Choice, chosen: Preset) -> tuple[str, ...]:
    return tuple(other.why for other in choice.alternatives if other.preset.name == chosen.name)
