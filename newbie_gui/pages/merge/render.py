"""The Merge tab's HTML: what a LoRA and a base are, uploads, the tab's jobs with their results, the things kept."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from newbie_gui.formatting import MIB, gib, size_text
from newbie_gui.links import file_url, zip_url
from newbie_gui.pages.html import bar, bullets, button, note, table
from newbie_gui.pages.html import download as link
from newbie_gui.pages.merge.incoming import ReceivedFile
from newbie_gui.pages.merge.inventory import Asset
from newbie_gui.pages.merge.plans import DiskRoom, cpu_memory, title_of
from newbie_gui.pages.ui import Ui
from newbie_gui.translate import hints, say
from trainer_core.contracts.errors import UserError
from trainer_core.jobs.queue import Entry
from trainer_core.planning.base_check import BaseReport
from trainer_core.planning.lora_facts import LoraFacts

# Longer values are folded: a tag list may hold thousands of lines.
_LONG_VALUE = 200


def problem(ui: Ui, error: UserError | OSError) -> Markup:
    """An error with what to do about it."""
    if isinstance(error, UserError):
        return note("error", say(error, ui.lang), bullets(hints(error, ui.lang)))
    return note("error", ui.say(error))


def base_view(ui: Ui, report: BaseReport) -> Markup:
    """What the base is and what it can be used for."""
    transformer = next(part for part in report.parts if part.part == "transformer")
    if transformer.state in ("missing", "refused"):
        error = transformer.error or report.error
        return problem(ui, error) if error else note("error", ui.t("merge.error.no_transformer"))
    text = ui.t(
        "merge.base.is",
        layout=ui.t(f"merge.layout.{report.layout or 'parts'}"),
        size=size_text(transformer.size),
        dtype=transformer.dtype or "?",
    )
    if report.usable:
        return note("good", text)
    return note("good", f"{text} {ui.t('merge.base.only_merging')}")


def again_view(ui: Ui, sentences: Sequence[str]) -> Markup:
    """What would be applied a second time."""
    return Markup("").join(note("warning", "⚠", ui.translate(sentence), role="status") for sentence in sentences)


def room_view(ui: Ui, room: DiskRoom) -> Markup:
    """Size and free disk."""
    text = ui.t("merge.room", size=size_text(room.size), free=size_text(room.free))
    return note("", text) if room.enough else note("error", f"{text} {ui.t('merge.room.not')}")


def memory_view(ui: Ui, report: BaseReport) -> Markup:
    """What painting on the CPU asks of main memory; nothing to say where it is plenty."""
    needed, total = cpu_memory(report), ui.machine.now().memory_total_mib * MIB
    if needed < total * 0.8:
        return Markup("")
    return note("warning", ui.t("merge.try.memory", needed=gib(needed), total=gib(total)))


def facts_line(ui: Ui, facts: LoraFacts) -> str:
    """A LoRA in one line."""
    alpha = ui.t("merge.facts.no_alpha") if facts.alpha is None else f"{facts.alpha:g}"
    line = ui.t(
        "merge.facts.line" if facts.rank else "merge.facts.whole",
        form=ui.t(f"merge.lora_form.{facts.form}"), rank=facts.rank, alpha=alpha, modules=facts.modules,
        size=size_text(facts.bytes),
    )  # fmt: skip
    marks = {"mixed": facts.mixed, "dora": facts.dora, "lokr": facts.lokr}
    return " ".join([line, *(ui.t(f"merge.facts.{mark}") for mark, there in marks.items() if there)])


def facts_view(ui: Ui, facts: LoraFacts) -> Markup:
    """A LoRA with all its metadata."""
    head = Markup("<p><strong>{}</strong><br>{}<br>{}</p>").format(
        title_of(facts.path),
        facts_line(ui, facts),
        ui.t("merge.facts.parameters", count=f"{facts.parameters:,}"),
    )
    if not facts.metadata and not facts.more_metadata:
        return Markup("{}{}").format(head, note("", ui.t("merge.facts.no_metadata")))
    rows = [(name, _value(ui, value)) for name, value in sorted(facts.metadata.items())]
    more = note("", ui.t("merge.facts.more", count=facts.more_metadata)) if facts.more_metadata else Markup("")
    return head + table((), rows, kind="merge-metadata", caption=ui.t("merge.facts.metadata")) + more


def _value(ui: Ui, text: str) -> Markup | str:
    if len(text) <= _LONG_VALUE:
        return text
    try:
        shown = json.dumps(json.loads(text), indent=1, ensure_ascii=False)
    except (ValueError, RecursionError):
        shown = text
    summary = ui.t("merge.facts.long", count=f"{len(text):,}")
    return Markup("<details><summary>{}</summary><pre>{}</pre></details>").format(summary, shown)


def received_view(ui: Ui, received: Sequence[ReceivedFile]) -> Markup:
    """What became of uploaded files."""
    parts = []
    for one in received:
        if one.error is not None:
            parts.append(_refused(ui, one.name, one.error))
        elif one.facts is not None and one.path is not None:
            text = ui.t("merge.upload.taken", name=one.path.name, facts=facts_line(ui, one.facts))
            parts.append(note("good", text))
    return Markup("").join(parts)


def _refused(ui: Ui, name: str, error: UserError | OSError) -> Markup:
    """The engine's own sentences have the file's name in them."""
    if isinstance(error, UserError):
        return note("error", ui.t("merge.upload.refused", why=say(error, ui.lang)), bullets(hints(error, ui.lang)))
    return note("error", ui.t("merge.upload.refused", why=f"{name}: {ui.say(error)}"))


def job_view(ui: Ui, entry: Entry, pictures: Sequence[Mapping[str, Any]]) -> Markup:
    """One job of this tab: what it is, how far it is, what came of it."""
    status = ui.t(f"merge.status.{entry.status}")
    return Markup(
        '<article class="merge-job" data-status="{}"><div class="merge-job-head"><strong>{}</strong>'
        '<span class="merge-job-status">{}</span>{}</div>{}{}{}</article>'
    ).format(
        entry.status, entry.job.title, status, _buttons(ui, entry), _loras(ui, entry), _told(ui, entry),
        _pictures(ui, entry, pictures),
    )  # fmt: skip


def _loras(ui: Ui, entry: Entry) -> Markup:
    """What went in, with the strengths: of two tries the pictures alone do not tell."""
    loras = [one for one in entry.job.spec.get("loras", ()) if isinstance(one, Mapping)]
    if not loras:
        return Markup("")
    named = (f"{title_of(Path(str(one.get('path'))))} × {one.get('strength')}" for one in loras)
    return Markup('<p class="muted">{}</p>').format(ui.t.joined(named))


def _buttons(ui: Ui, entry: Entry) -> Markup:
    verb = {"waiting": "cancel", "running": "stop", "stopping": ""}.get(entry.status, "forget")
    if not verb:
        return Markup("")
    word = ui.t(f"merge.job.{verb}")
    return button(verb, entry.job.id, word, f"{word}: {entry.job.title}")


def _told(ui: Ui, entry: Entry) -> Markup:
    if entry.status == "failed":
        return problem(ui, UserError(entry.code, entry.message, entry.hints))
    if entry.at_work and entry.phase:
        return _progress(ui, entry)
    if entry.status == "finished" and entry.job.kind in ("merge", "convert_lora"):
        return _download(ui, Path(str(entry.result.get("output", ""))))
    return Markup("")


def _progress(ui: Ui, entry: Entry) -> Markup:
    phase = ui.t.phase(entry.phase)
    figures = f"{entry.done} / {entry.total}" if entry.total > 1 else ""
    if entry.job.kind == "merge":
        figures = f"{size_text(entry.done)} / {size_text(entry.total)}"
    return Markup('<div class="merge-progress">{} {} {}</div>').format(
        bar(entry.done, entry.total, phase), phase, figures
    )


def _download(ui: Ui, path: Path) -> Markup:
    link = download(ui, path)
    if not link:
        return Markup('<p class="muted">{}</p>').format(ui.t("merge.job.gone", name=path.name))
    return Markup("<p>{}</p>").format(link)


def download(ui: Ui, path: Path) -> Markup:
    """A link to a file, or to a folder as a zip, of the workspace's models and LoRAs; empty where it is not there."""
    roots = {"models": ui.workspace.models, "loras": ui.workspace.loras}
    root = next((name for name, folder in roots.items() if path.parent == folder), None)
    if root is None or not path.exists():
        return Markup("")
    url = zip_url(root, path.name) if path.is_dir() else file_url(root, path.name)
    word = ui.t("merge.download_zip") if path.is_dir() else ui.t("merge.download")
    return link(url, word, ui.t("merge.download_of", name=path.name))


def _pictures(ui: Ui, entry: Entry, pictures: Sequence[Mapping[str, Any]]) -> Markup:
    """Side by side, in the order in which they were painted."""
    if entry.job.kind != "try":
        return Markup("")
    spec = entry.job.spec
    settings = ui.t(
        "merge.try.settings",
        **{name: spec.get(name, "?") for name in ("seed", "width", "height", "steps", "cfg", "shift")},
    )
    figures = Markup("").join(_figure(ui, entry, picture) for picture in pictures)
    return Markup('<p class="merge-prompt">{}</p><p class="muted">{}</p><div class="merge-pictures">{}</div>').format(
        spec.get("prompt", ""), settings, figures
    )


def _figure(ui: Ui, entry: Entry, picture: Mapping[str, Any]) -> Markup:
    strength = picture.get("strength", 0)
    text = ui.t("merge.try.with", strength=f"{strength:g}") if strength else ui.t("merge.try.without")
    url = file_url("jobs", f"{entry.job.id}/samples/{picture.get('file', '')}")
    alt = ui.t("merge.try.alt", what=text, prompt=str(picture.get("text", ""))[:200])
    return Markup(
        '<figure><a href="{}" target="_blank"><img src="{}" alt="{}" loading="lazy"></a>'
        "<figcaption>{}</figcaption></figure>"
    ).format(url, url, alt, text)


def assets_view(ui: Ui, assets: Sequence[Asset]) -> Markup:
    """LoRAs and models of the workspace, with download and delete."""
    if not assets:
        return Markup('<p class="muted">{}</p>').format(ui.t("merge.assets.none"))
    heads = [ui.t(f"merge.assets.{key}") for key in ("name", "kind", "size", "actions")]
    return table(heads, [_asset(ui, asset) for asset in assets])


def _asset(ui: Ui, asset: Asset) -> tuple[object, ...]:
    word = ui.t("merge.assets.delete")
    delete = button("delete", asset.key, word, f"{word}: {asset.path.name}")
    actions = Markup('<span class="merge-actions">{}{}</span>').format(download(ui, asset.path), delete)
    return asset.path.name, ui.t(f"merge.assets.{asset.kind}"), size_text(asset.size), actions
