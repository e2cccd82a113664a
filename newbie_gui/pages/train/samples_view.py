"""Samples: base beside a chosen step for each prompt, and all by steps. The slider works in the browser."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from newbie_gui.pages.html import download, table
from newbie_gui.pages.train.places import Place
from newbie_gui.pages.ui import Ui
from newbie_gui.runs.results import Picture, picture_settings

_COLUMNS = 12

# The slider's place is kept over updates; at the right end it stays at the newest step.
SCRIPT = """
const show = () => {
  const slider = element.querySelector('.sample-slider');
  if (!slider) return;
  const steps = JSON.parse(slider.dataset.steps);
  const chosen = element.dataset.chosen;
  if (chosen && steps.includes(Number(chosen))) slider.value = steps.indexOf(Number(chosen));
  const step = steps[Number(slider.value)];
  slider.setAttribute('aria-valuetext', slider.dataset.word.replace('{step}', step));
  element.querySelectorAll('.sample-now').forEach((figure) => {
    const pictures = JSON.parse(figure.dataset.pictures);
    const known = pictures.filter((picture) => picture[0] <= step).pop() || pictures[0];
    const image = figure.querySelector('img');
    const url = figure.dataset.folder + known[1];
    if (image.getAttribute('src') !== url) image.setAttribute('src', url);
    image.alt = figure.dataset.alt.replace('{step}', known[0]);
    figure.querySelectorAll('a').forEach((link) => link.setAttribute('href', url));
    figure.querySelector('.sample-step').textContent = slider.dataset.word.replace('{step}', known[0]);
    figure.querySelector('.sample-settings').textContent = known[2];
  });
};
element.addEventListener('input', (event) => {
  const slider = event.target.closest('.sample-slider');
  if (!slider) return;
  const steps = JSON.parse(slider.dataset.steps);
  const place = Number(slider.value);
  if (place === steps.length - 1) delete element.dataset.chosen;
  else element.dataset.chosen = steps[place];
  show();
});
watch('value', show);
show();
"""


def render(ui: Ui, place: Place, found: Sequence[Picture], prompts: Sequence[str]) -> Markup:
    """Everything about the samples of one run; ``prompts`` are those of its settings."""
    if not found:
        return Markup('<p class="muted">{}</p>').format(ui.t("train.samples.none"))
    numbers = sorted({picture.number for picture in found})
    steps = sorted({picture.step for picture in found})
    texts = {number: _prompt(place, found, number, prompts) for number in numbers}
    pairs = Markup("").join(_pair(ui, place, [p for p in found if p.number == n], n, texts[n]) for n in numbers)
    link = download(place.zip_url("samples"), ui.t("train.samples.download_all"))
    return Markup('<div class="samples">{}{}<p>{}</p>{}</div>').format(
        _slider(ui, steps), pairs, link, _grid(ui, place, found, numbers, steps)
    )


def _slider(ui: Ui, steps: Sequence[int]) -> Markup:
    if len(steps) < 2:
        return Markup('<input class="sample-slider" type="hidden" value="0" data-steps="{}" data-word="{}">').format(
            json.dumps(list(steps)), ui.t("train.samples.now", step="{step}")
        )
    return Markup(
        '<label class="sample-choice"><span>{}</span> <input class="sample-slider" type="range" min="0" max="{}" '
        'step="1" value="{}" data-steps="{}" data-word="{}"></label>'
    ).format(
        ui.t("train.samples.step"),
        len(steps) - 1,
        len(steps) - 1,
        json.dumps(list(steps)),
        ui.t("train.samples.now", step="{step}"),
    )


def _pair(ui: Ui, place: Place, found: Sequence[Picture], number: int, prompt: str) -> Markup:
    """The first picture of a prompt beside the chosen one."""
    first, last = found[0], found[-1]
    base = "train.samples.base" if first.step == 0 else "train.samples.first"
    settings = {picture.step: settings_text(ui, _settings(place, picture)) for picture in found}
    pictures = [[picture.step, picture.file, settings[picture.step]] for picture in found]
    now = Markup('<figure class="sample-now" data-folder="{}" data-pictures="{}" data-alt="{}">{}</figure>').format(
        place.file_url("samples") + "/",
        json.dumps(pictures, ensure_ascii=False),
        ui.t("train.samples.alt", number=number + 1, step="{step}"),
        _figure(ui, place, last, ui.t("train.samples.now", step=last.step), settings[last.step]),
    )
    before = Markup('<figure class="sample-base">{}</figure>').format(
        _figure(ui, place, first, ui.t(base, step=first.step), settings[first.step])
    )
    title = ui.t("train.samples.prompt", number=number + 1, prompt=prompt) if prompt else _title(ui, number)
    pair = before + now if first.step != last.step else now
    return Markup('<section class="sample"><h4>{}</h4><div class="sample-pair">{}</div></section>').format(title, pair)


def _figure(ui: Ui, place: Place, picture: Picture, caption: str, settings: str) -> Markup:
    url = place.file_url("samples", picture.file)
    alt = ui.t("train.samples.alt", number=picture.number + 1, step=picture.step)
    return Markup(
        '<a href="{}" target="_blank" rel="noopener"><img src="{}" alt="{}" loading="lazy"></a>'
        '<figcaption><span class="sample-step">{}</span><span class="sample-settings muted">{}</span>'
        '<a href="{}" download class="sample-download">{}</a></figcaption>'
    ).format(url, url, alt, caption, settings, url, ui.t("train.samples.download"))


def _grid(ui: Ui, place: Place, found: Sequence[Picture], numbers: Sequence[int], steps: Sequence[int]) -> Markup:
    shown = [steps[i] for i in np.unique(np.linspace(0, len(steps) - 1, min(len(steps), _COLUMNS)).astype(int))]
    by_place = {(picture.number, picture.step): picture for picture in found}
    heads = ["", *(ui.t("train.samples.now", step=step) for step in shown)]
    rows = [
        (_title(ui, number), *(_small(ui, place, by_place.get((number, step))) for step in shown)) for number in numbers
    ]
    return Markup('<details class="sample-grid"><summary>{}</summary>{}</details>').format(
        ui.t("train.samples.grid"), table(heads, rows)
    )


def _small(ui: Ui, place: Place, picture: Picture | None) -> Markup:
    if picture is None:
        return Markup("")
    url = place.file_url("samples", picture.file)
    alt = ui.t("train.samples.alt", number=picture.number + 1, step=picture.step)
    return Markup('<a href="{}" target="_blank" rel="noopener"><img src="{}" alt="{}" loading="lazy"></a>').format(
        url, url, alt
    )


def settings_text(ui: Ui, values: Mapping[str, Any]) -> str:
    """What a picture was drawn with, without its prompt; "" where the picture does not say."""
    names = ("seed", "steps", "cfg", "shift", "width", "height")
    if not all(name in values for name in names):
        return ""
    text = ui.t("train.samples.settings", **{name: values[name] for name in names})
    negative = str(values.get("negative_prompt") or "")
    return f"{text}. {ui.t('train.samples.negative', text=negative)}" if negative else text


def _title(ui: Ui, number: int) -> str:
    return ui.t("train.samples.prompt_only", number=number + 1)


def _prompt(place: Place, found: Sequence[Picture], number: int, prompts: Sequence[str]) -> str:
    """As the newest picture says; the settings may have changed since."""
    newest = max((picture for picture in found if picture.number == number), key=lambda picture: picture.step)
    own = str(_settings(place, newest).get("prompt") or "")
    return own or (prompts[number] if number < len(prompts) else "")


def _settings(place: Place, picture: Picture) -> Mapping[str, Any]:
    return picture_settings(place.folder / "samples" / picture.file)
