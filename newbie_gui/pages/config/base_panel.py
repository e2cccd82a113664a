"""The base model: built in, a folder, ComfyUI's files, converted or downloaded; checked at once."""

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component
from markupsafe import Markup

from newbie_gui.formatting import size_text
from newbie_gui.pages.config.base_jobs import BaseJobs, ended_since, is_plan, paths_of
from newbie_gui.pages.config.base_report import missing_bytes, render_job, render_report
from newbie_gui.pages.html import note
from newbie_gui.pages.ui import ACTION, QUIET, Ui, current_page, hidden, on_news, stamp_of
from trainer_core.contracts.base_part import BASE_OPTIONS, BASE_PARTS, BY_FOLDER
from trainer_core.contracts.errors import UserError
from trainer_core.contracts.forms import BASE_FORMS
from trainer_core.contracts.fsutil import json_text
from trainer_core.contracts.user_path import user_path
from trainer_core.jobs.queue import Entry
from trainer_core.planning.base_check import Candidate, check_base, find_in_comfyui
from trainer_core.planning.demo import TINY_BASE
from trainer_core.planning.hub_place import NEWBIE

HOWS = ("builtin", "folder", "comfyui", "convert", "download")
# Of `HOWS`, those that the form's own paths show; the others make a base first.
_SHOWN_BY_PATHS = ("builtin", "folder", "comfyui")
_BUSY_S, _IDLE_S = 1.0, 5.0


class BasePanel:
    """The panel of one page; `place` it, then `wire` it to the controls of the five settings in `BASE_OPTIONS`."""

    def __init__(self, ui: Ui) -> None:
        self._ui = ui
        self._jobs = BaseJobs(ui)

    def place(self) -> None:
        t = self._ui.t
        hows = [(t(f"base.how.{how}"), how) for how in HOWS]
        self._how = gr.Radio(hows, value="folder", label=t("base.how"), elem_id="base-how")
        self._groups: dict[str, gr.Column] = {}
        for how, place in (
            ("builtin", self._place_builtin),
            ("folder", self._place_folder),
            ("comfyui", self._place_comfyui),
            ("convert", self._place_convert),
            ("download", self._place_download),
        ):
            with gr.Column(visible=how == "folder", elem_id=f"base-{how}") as self._groups[how]:
                place()
        self._job = gr.HTML(elem_id="base-job")
        with gr.Row(elem_classes="config-buttons"):
            self._confirm = gr.Button("", variant="primary", visible=False, elem_id="base-confirm")
            self._use = gr.Button(t("base.use"), visible=False, elem_id="base-use")
            self._stop = gr.Button(t("base.stop"), visible=False, elem_id="base-stop")
        self._report = gr.HTML(elem_id="base-report")
        # The job that the page shows, and what it has seen of it.
        self._id = hidden("base-job-id")
        self._stamp = hidden("base-job-stamp")
        # The paths that the report is about.
        self._seen = hidden("base-seen")
        self._timer = gr.Timer(_IDLE_S)

    def wire(self, fields: Mapping[str, Component]) -> None:
        """`fields`: at least the controls of `BASE_OPTIONS`, by name."""
        self._fields = {name: fields[name] for name in BASE_OPTIONS}
        five: list[Any] = list(self._fields.values())
        job: list[Any] = [self._job, self._confirm, self._use, self._stop, self._id, self._stamp, self._timer]
        page = current_page()
        page.load(self._loaded, None, [self._folder, *job], **QUIET)
        changes = [field.change for field in five]
        groups: list[Any] = list(self._groups.values())
        checked = [self._report, self._seen, self._folder, self._how, *groups]
        # Not "always_last": two such handlers of one change (the form has one) set each other off for ever where a
        # control is folded away.
        gr.on([page.load, *changes], self._checked, {self._how, *five}, checked, trigger_mode="multiple", **QUIET)
        looked: set[Any] = {self._id, self._stamp, self._seen, self._how, *five}
        on_news(self._timer, self._ticked, looked, [*five, *checked, *job])
        self._how.input(self._chosen_how, {self._how}, [*groups, *five], **QUIET)
        self._folder.input(self._chosen_folder, {self._folder}, five, **QUIET)
        guarded = self._ui.guarded
        find, use = guarded(self._found), guarded(self._used_files)
        self._find.click(find, {self._comfy}, [self._found_said, self._use_files, *self._files.values()], **ACTION)
        self._use_files.click(use, set(self._files.values()), five, **ACTION)
        convert = guarded(self._converted)
        own: set[Any] = {self._source, self._to, self._dtype, self._convert_name, *five}
        self._convert.click(convert, own, job, **ACTION)
        asked: set[Any] = {self._repo, self._download_name, *self._hub_parts.values()}
        self._plan.click(guarded(self._planned), asked, job, **ACTION)
        self._confirm.click(guarded(self._confirmed), {self._id}, job, **ACTION)
        self._stop.click(guarded(self._stopped), {self._id}, job, **ACTION)
        self._use.click(guarded(self._used_job), {self._id}, [*five, self._folder], **ACTION)

    def _place_builtin(self) -> None:
        gr.Markdown(self._ui.t("base.builtin.help"))

    def _place_folder(self) -> None:
        self._folder = gr.Dropdown(
            self._bases(),
            value="",
            label=self._ui.t("base.folder"),
            info=self._ui.t("base.folder.help"),
            allow_custom_value=True,
            elem_id="base-folder-path",
        )

    def _place_comfyui(self) -> None:
        t = self._ui.t
        with gr.Row(elem_classes="config-buttons"):
            self._comfy = gr.Textbox(
                self._ui.remember.get("comfyui") or "",
                label=t("base.comfyui.folder"),
                info=t("base.comfyui.help"),
                max_lines=1,
                elem_id="base-comfyui-folder",
                scale=3,
            )
            self._find = gr.Button(t("base.comfyui.find"), elem_id="base-comfyui-find", min_width=120)
        self._found_said = gr.HTML(elem_id="base-comfyui-said")
        self._files = {
            part: gr.Dropdown(
                [], value=None, label=t(f"base.part.{part}"), allow_custom_value=True, visible=False,
                elem_id=f"base-comfyui-{part}",
            )
            for part in BY_FOLDER
        }  # fmt: skip
        self._use_files = gr.Button(t("base.comfyui.use"), variant="primary", visible=False, elem_id="base-comfyui-use")

    def _place_convert(self) -> None:
        t = self._ui.t
        gr.Markdown(t("base.convert.help"))
        self._source = gr.Textbox(
            label=t("base.convert.source"), info=t("base.convert.source.help"), max_lines=1, elem_id="base-source"
        )
        with gr.Row():
            forms = [(t(f"base.convert.to.{form}"), form) for form in BASE_FORMS]
            self._to = gr.Radio(forms, value="official", label=t("base.convert.to"), elem_id="base-to")
            kinds = [(t("base.convert.dtype.keep"), "keep"), *((kind, kind) for kind in ("bf16", "fp16", "fp32"))]
            self._dtype = gr.Dropdown(
                kinds, value="keep", label=t("base.convert.dtype"), filterable=False, elem_id="base-dtype"
            )
        with gr.Row(elem_classes="config-buttons"):
            self._convert_name = self._place_name("base-convert-name", "")
            self._convert = gr.Button(t("base.convert.start"), elem_id="base-convert-start", min_width=120)

    def _place_download(self) -> None:
        t = self._ui.t
        gr.Markdown(t("base.download.help"))
        self._repo = gr.Textbox(NEWBIE, label=t("base.download.repo"), max_lines=1, elem_id="base-repo")
        with gr.Accordion(t("base.download.parts"), open=False):
            self._hub_parts = {
                kind: gr.Textbox(
                    label=t(f"base.part.{part}"), info=t("base.download.part.help"), max_lines=1,
                    elem_id=f"base-hub-{kind}",
                )
                for kind, part in (("gemma", "text_encoder"), ("clip", "clip_model"), ("vae", "vae"))
            }  # fmt: skip
        with gr.Row(elem_classes="config-buttons"):
            self._download_name = self._place_name("base-download-name", NEWBIE.partition("/")[2])
            self._plan = gr.Button(t("base.download.plan"), elem_id="base-plan", min_width=120)

    def _place_name(self, elem_id: str, value: str) -> gr.Textbox:
        help_ = self._ui.t("base.name.help", folder=self._ui.workspace.models)
        return gr.Textbox(
            value, label=self._ui.t("base.name"), info=help_, max_lines=1, elem_id=elem_id, scale=3, min_width=240
        )

    def _bases(self) -> list[tuple[str, str]]:
        """(name, path) of the bases that were made here, and the built-in one."""
        try:
            made = sorted(path for path in self._ui.workspace.models.iterdir() if path.name[0] != "." and path.is_dir())
        except OSError:
            made = []
        return [*((path.name, str(path)) for path in made), (self._ui.t("base.builtin.name"), str(TINY_BASE))]

    def _loaded(self) -> dict[Any, Any]:
        entry = self._jobs.newest()
        return {self._folder: gr.update(choices=self._bases()), **self._shown(entry)}

    def _checked(self, data: dict[Any, Any]) -> dict[Any, Any]:
        paths = self._named(data)
        how, shown = data[self._how], _how_of(paths)
        follows = how in _SHOWN_BY_PATHS and how != shown
        return {
            self._report: str(render_report(check_base(paths), self._ui)),
            self._seen: json_text(paths),
            self._folder: gr.update(value=paths["base_model_path"]),
            **({self._how: shown, **self._only(shown)} if follows else {}),
        }

    def _named(self, data: Mapping[Any, Any]) -> dict[str, str]:
        """The five settings as the form has them."""
        return {name: str(data.get(field) or "").strip() for name, field in self._fields.items()}

    def _chosen_how(self, data: dict[Any, Any]) -> dict[Any, Any]:
        how = str(data[self._how])
        # There is nothing more to choose.
        return {**self._only(how), **(self._set({"base_model_path": str(TINY_BASE)}) if how == "builtin" else {})}

    def _only(self, how: str) -> dict[Any, Any]:
        return {group: gr.update(visible=each == how) for each, group in self._groups.items()}

    def _chosen_folder(self, data: dict[Any, Any]) -> dict[Any, Any]:
        return self._set({"base_model_path": str(data[self._folder] or "")})

    def _set(self, paths: Mapping[str, str]) -> dict[Any, Any]:
        """Updates that name one base; what named another is cleared."""
        return {field: gr.update(value=paths.get(name, "")) for name, field in self._fields.items()}

    def _found(self, data: dict[Any, Any]) -> dict[Any, Any]:
        text = str(data[self._comfy] or "").strip()
        found = find_in_comfyui(user_path(text))
        self._ui.remember.set("comfyui", text)
        updates: dict[Any, Any] = {}
        counts = []
        for part, box in self._files.items():
            usable = [str(candidate.file) for candidate in found[part] if candidate.usable]
            choices = [(self._choice(candidate), str(candidate.file)) for candidate in found[part]]
            updates[box] = gr.update(choices=choices, value=usable[0] if len(usable) == 1 else None, visible=True)
            counts.append(f"{self._ui.t(f'base.part.{part}')}: {len(usable)}")
        words = self._ui.t("base.comfyui.found", counts=self._ui.t.joined(counts))
        said = Markup('<div role="status">{}</div>').format(note("", words))
        return {**updates, self._found_said: str(said), self._use_files: gr.update(visible=True)}

    def _choice(self, candidate: Candidate) -> str:
        words = [candidate.file.name, size_text(candidate.size)]
        if not candidate.usable:
            words.append(self._ui.t("base.comfyui.quantised" if candidate.quantised else "base.comfyui.misfit"))
        return self._ui.t.joined(words)

    def _used_files(self, data: dict[Any, Any]) -> dict[Any, Any]:
        chosen = {BY_FOLDER[part].option: str(data[box] or "").strip() for part, box in self._files.items()}
        if not all(chosen.values()):
            raise UserError("base_parts_open", self._ui.t("base.nothing"))
        return self._set(chosen)

    def _converted(self, data: dict[Any, Any]) -> dict[Any, Any]:
        now = self._named(data)
        source = str(data[self._source] or "").strip()
        parts: dict[str, str] = {}
        if not source:
            source = now["base_model_path"] or now["transformer_path"]
            parts = {part.kind: now[part.option] for part in BASE_PARTS}
        name = str(data[self._convert_name] or "")
        job_id = self._jobs.convert(source, parts, form=str(data[self._to]), dtype=str(data[self._dtype]), name=name)
        return self._shown(self._ui.queue.entry(job_id))

    def _planned(self, data: dict[Any, Any]) -> dict[Any, Any]:
        parts = {kind: str(data[box] or "") for kind, box in self._hub_parts.items()}
        job_id = self._jobs.plan(str(data[self._repo] or ""), parts, str(data[self._download_name] or ""))
        return self._shown(self._ui.queue.entry(job_id))

    def _confirmed(self, data: dict[Any, Any]) -> dict[Any, Any]:
        return self._shown(self._ui.queue.entry(self._jobs.confirm(str(data[self._id] or ""))))

    def _stopped(self, data: dict[Any, Any]) -> dict[Any, Any]:
        job_id = str(data[self._id] or "")
        self._jobs.stop(job_id)
        return self._shown(self._ui.queue.entry(job_id))

    def _used_job(self, data: dict[Any, Any]) -> dict[Any, Any]:
        paths = paths_of(self._ui.queue.entry(str(data[self._id] or "")))
        return {**self._set(paths), self._folder: gr.update(choices=self._bases())} if paths else gr.skip()

    def _ticked(self, data: dict[Any, Any]) -> Any:
        """What changed of the job; a base that was made while the page looked on is chosen."""
        entry, stamp = self._jobs.newest(), str(data[self._stamp] or "")
        # Answers to quick changes may arrive in another order.
        late = json_text(self._named(data)) != data[self._seen]
        updates = self._checked(data) if late else {}
        if stamp_of(entry) == stamp:
            return updates or gr.skip()
        updates |= self._shown(entry)
        if entry is not None and ended_since(entry, stamp) and (paths := paths_of(entry)):
            updates |= {**self._set(paths), self._folder: gr.update(choices=self._bases())}
        return updates

    def _shown(self, entry: Entry | None) -> dict[Any, Any]:
        """How the job stands, and what can be done about it."""
        active = entry is not None and entry.active
        fits = entry is not None and is_plan(entry) and not missing_bytes(entry.result)
        size = size_text(int(entry.result["bytes"]) - int(entry.result["have"])) if entry is not None and fits else ""
        return {
            self._job: str(render_job(entry, self._ui)) if entry is not None else "",
            self._confirm: gr.update(value=self._ui.t("base.download.confirm", size=size), visible=bool(fits)),
            self._use: gr.update(visible=bool(paths_of(entry))),
            self._stop: gr.update(visible=active),
            self._id: entry.job.id if entry is not None else "",
            self._stamp: stamp_of(entry),
            self._timer: gr.Timer(_BUSY_S if active else _IDLE_S),
        }


def _how_of(paths: Mapping[str, str]) -> str:
    """From where the base of these paths comes."""
    if paths["base_model_path"] == str(TINY_BASE):
        return "builtin"
    return "comfyui" if not paths["base_model_path"] and paths["transformer_path"] else "folder"
